"""A change with If-Match is made to the state that its sender has seen, or not at all."""

import asyncio
import re

import pytest
from fastapi.routing import APIRoute

from services.courses.api import router
from shared.kit import matching
from tests.integration.courses.courses_house import OWNER, House


async def _tag(house: House, path: str) -> str:
    answer = await house.api.get(f"/institutions/{OWNER}/{path}")
    return answer.headers["etag"]


async def _change(house: House, path: str, body: dict[str, object], tag: str | None) -> tuple[int, str | None]:
    headers = {} if tag is None else {"If-Match": tag}
    answer = await house.api.patch(f"/institutions/{OWNER}/{path}", json=body, headers=headers)
    return answer.status_code, answer.json().get("code")


async def test_a_change_to_another_state_than_was_seen_is_refused(house: House) -> None:
    """The second editor of a published run, a draft and a participant file gets 412; without it none."""
    runs = [f"runs/{await house.run()}", f"runs/{await house.run(publish=False)}"]
    for path, body in [
        *((run, {"title": "Neu"}) for run in runs),
        (f"participants/{await house.person()}", {"goal": "B2"}),
    ]:
        seen = await _tag(house, path)
        assert (await _change(house, path, {**body}, seen))[0] == 200
        last = dict.fromkeys(body, "Anders")
        assert await _change(house, path, {**last}, seen) == (412, "version_mismatch")
        assert (await _change(house, path, {**last}, await _tag(house, path)))[0] == 200
        assert (await _change(house, path, {**body}, None))[0] == 200


async def test_of_two_editors_at_once_one_is_refused(house: House) -> None:
    """The comparison is made under the lock."""
    path = f"runs/{await house.run()}"
    seen = await _tag(house, path)
    done = await asyncio.gather(*(_change(house, path, {"title": word}, seen) for word in ("Eins", "Zwei", "Drei")))
    assert sorted(status for status, _ in done) == [200, 412, 412]


async def test_who_enrols_changes_what_is_seen_and_not_what_can_be_edited(house: House) -> None:
    """The ETag names the whole answer; a seat that is taken makes another one, and the run can still be cancelled."""
    path = f"/institutions/{OWNER}/runs/{await house.run()}"
    first = await house.api.get(path)
    await house.ask(path.rpartition("/")[2])
    known = {"If-None-Match": first.headers["etag"]}
    second = await house.api.get(path, headers=known)
    assert (second.status_code, second.json()["taken"]) == (200, 1)
    again = await house.api.get(path, headers={"If-None-Match": second.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    assert again.headers["vary"] == "Authorization"
    for tag in ('"another"', f"W/{first.headers['etag']}", ""):
        refused = await house.api.post(f"{path}/cancel", json={"reason": "Grund"}, headers={"If-Match": tag})
        assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
    seen = {"If-Match": f'"another", {first.headers["etag"]}'}
    done = await house.api.post(f"{path}/cancel", json={"reason": "Grund"}, headers=seen)
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")


CHANGES = [
    (method, route.path)
    for route in router.routes
    if isinstance(route, APIRoute) and "{institution}" in route.path
    for method in sorted((route.methods or set()) - {"GET"})
]
SINGLE = [
    ("runs/{run_id}", "cancel", {"reason": "Grund"}),
    ("enrolments/{enrolment_id}", "withdraw", None),
    ("enrolments/{enrolment_id}", "attend", None),
    ("enrolments/{enrolment_id}", "drop", None),
    ("entitlements/{entitlement_id}", "revoke", None),
]


async def _ids(house: House) -> dict[str, str]:
    run_id, participant = await house.run(), await house.person(obliged=True)
    asked = await house.ask(run_id)
    file = await house.get(f"participants/{participant}")
    return {
        "run_id": run_id,
        "participant_id": participant,
        "enrolment_id": asked["enrolment_id"],
        "entitlement_id": file["entitlements"][0]["entitlement_id"],
    }


async def test_no_change_is_made_to_another_state_than_was_seen(house: House) -> None:
    """Every route that changes something refuses a state that never was, even where it has nothing to compare."""
    ids = await _ids(house)
    bodies = {
        "/offers": {"title": "Kurs", "kind": "other"},
        "/cancel": {"reason": "Grund"},
        "/enrolments": {"participant_id": ids["participant_id"]},
        "/entitlements": {"issuing_office": "Amt", "valid_until": "2027-12-31"},
        "/participants": {"language": "tr"},
        "{run_id}": {"title": "Anders"},
        "{participant_id}": {"goal": "Anders"},
    }
    mark, left = await house.mark(), []
    for method, path in CHANGES:
        body = next((body for end, body in bodies.items() if path.endswith(end)), None)
        nothing = dict.fromkeys(re.findall(r"{(\w+)}", path), "nothing_00000000")
        url = path.format(**nothing | ids | {"institution": OWNER})
        answer = await house.api.request(method, url, json=body, headers={"If-Match": '"seen"'})
        if answer.status_code != 412:
            left.append((answer.status_code, method, path))
    assert {status for status, _, _ in left} <= {404, 422}, left  # what there is nothing of, or what takes other bodies
    assert len(CHANGES) - len(left) >= 18
    assert await house.mark() == mark


async def test_a_single_thing_gives_the_tag_that_its_change_needs(house: House) -> None:
    """Also of enrolments and entitlements: the tag that was read is met, and no more after the change."""
    for path, step, body in SINGLE:
        url = f"/institutions/{OWNER}/{path}".format(**await _ids(house))
        seen = {"If-Match": (await house.api.get(url)).headers["etag"]}
        first = await house.api.post(f"{url}/{step}", json=body, headers=seen)
        second = await house.api.post(f"{url}/{step}", json=body, headers=seen)
        assert (first.status_code, second.status_code) == (200, 412), (path, step, first.text)


async def test_without_the_comparison_a_stale_change_would_be_made(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what the second editor has not seen is lost."""
    monkeypatch.setattr(matching, "_named_in", lambda _: "")
    monkeypatch.setattr(matching, "check_met", lambda: None)
    path = f"runs/{await house.run()}"
    seen = await _tag(house, path)
    assert (await _change(house, path, {"title": "Eins"}, seen))[0] == 200
    assert (await _change(house, path, {"title": "Zwei"}, seen))[0] == 200
