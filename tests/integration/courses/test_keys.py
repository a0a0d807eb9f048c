"""Every private route is closed to other institutions, and things of others cannot be found by their ids."""

import re

import pytest
from fastapi.routing import APIRoute

from services.courses.api import router
from tests.integration.courses.courses_house import OTHER, OWNER, House
from tests.integration.courses.referral_network import referred

ROUTES = [
    (method, route.path) for route in router.routes if isinstance(route, APIRoute) for method in route.methods or ()
]
PRIVATE = [(method, path) for method, path in ROUTES if "{institution}" in path]
WITH_ID = [(method, path) for method, path in PRIVATE if path.count("{") > 1]


async def _ids(house: House) -> dict[str, str]:
    run_id = await house.run()
    participant = await house.person(obliged=True)
    asked = await house.ask(run_id, participant)
    await house.patch(f"participants/{participant}", {"contact_consent": True, "mail": "ada@example.org"})
    file = await house.get(f"participants/{participant}")
    referral = await referred(house, participant)
    return {
        "referral_id": referral["referral_id"],
        "run_id": run_id,
        "participant_id": participant,
        "enrolment_id": asked["enrolment_id"],
        "entitlement_id": file["entitlements"][0]["entitlement_id"],
    }


def _body(path: str, ids: dict[str, str]) -> dict[str, object] | None:
    """Give a body that would be good, so that nothing but the key can refuse the request."""
    bodies: dict[str, dict[str, object]] = {
        "/cancel": {"reason": "Grund"},
        "/enrolments": {"participant_id": ids["participant_id"]},
        "/entitlements": {"issuing_office": "Amt", "valid_until": "2027-12-31"},
        "{run_id}": {"title": "Fremd"},
        "{participant_id}": {"goal": "Fremd"},
    }
    return next((body for end, body in bodies.items() if path.endswith(end)), None)


def test_the_walk_sees_the_routes() -> None:
    """Only the network's pictures and the small pages are open to everybody."""
    assert {path for _, path in ROUTES} - {path for _, path in PRIVATE} == {
        "/runs",
        "/runs/{run_id}",
        "/exports/runs.{form}",
        "/l/{token}",
    }
    assert len(PRIVATE) >= 29


async def test_another_institutions_key_opens_no_private_route(house: House) -> None:
    """Each route with the owner in its path answers the other's key with 403."""
    ids = await _ids(house)
    for method, path in PRIVATE:
        url = path.format(institution=OWNER, **ids)
        answer = await house.api.request(
            method, url, json=_body(path, ids), headers={"Authorization": f"Bearer {OTHER}"}
        )
        assert answer.status_code in (403, 404), (method, path, answer.status_code)


async def test_things_of_others_are_not_found_under_ones_own_name(house: House) -> None:
    """The other's key with its own path and the owner's ids gets 404 on each route that names a thing."""
    ids = await _ids(house)
    mark = await house.mark()
    for method, path in WITH_ID:
        url = path.format(institution=OTHER, **ids)
        answer = await house.api.request(
            method, url, json=_body(path, ids), headers={"Authorization": f"Bearer {OTHER}"}
        )
        assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
    assert await house.told_since(mark) == []


async def test_the_owners_key_opens_what_the_others_does_not(house: House) -> None:
    """The control: the same requests with the owner's key are never 401, 403 or 404."""
    for method, path in WITH_ID:
        ids = await _ids(house)
        answer = await house.api.request(method, path.format(institution=OWNER, **ids), json=_body(path, ids))
        assert answer.status_code not in (401, 403, 404, 422), (method, path, answer.status_code, answer.text)


async def test_an_offer_of_another_institution_gives_no_run(house: House) -> None:
    """A run cannot hang on somebody else's offer."""
    offer = await house.post("offers", {"title": "Deutsch", "kind": "other"}, 201)
    body = {"offer_id": offer["offer_id"], "number": "1", "capacity": 3}
    answer = await house.api.post(
        f"/institutions/{OTHER}/runs", json=body, headers={"Authorization": f"Bearer {OTHER}"}
    )
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "body", [{"title": None}, {"unknown": 1}, {"capacity": -1}, {"place": {"quarter": "Kreuzberg"}}]
)
async def test_what_does_not_fit_is_refused(house: House, body: dict[str, object]) -> None:
    """Nulls, unknown fields, negative seats and quarters of another city are 422 with a sentence."""
    run_id = await house.run()
    answer = await house.api.patch(f"/institutions/{OWNER}/runs/{run_id}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert re.search(r"\w", answer.json()["detail"])
