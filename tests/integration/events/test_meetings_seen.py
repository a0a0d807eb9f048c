"""ETags and If-Match of meetings and registrations; nothing is changed in another state than was seen."""

import pytest
from fastapi.routing import APIRoute

from services.events.api import router
from shared.kit import matching
from tests.integration.events.events_house import OWNER, House

CHANGES = [
    (method, route.path)
    for route in router.routes
    if isinstance(route, APIRoute) and "{institution}" in route.path
    for method in sorted((route.methods or set()) - {"GET"})
]


async def _ids(house: House) -> dict[str, str]:
    meeting_id = await house.meeting()
    registration = await house.come(meeting_id)
    participant = (await house.registration(registration)).participant_id
    return {"meeting_id": meeting_id, "registration_id": registration, "participant_id": participant}


async def test_no_change_is_made_to_another_state_than_was_seen(house: House) -> None:
    """Every route that changes something refuses a state that never was, even where it has nothing to compare."""
    ids = await _ids(house)
    bodies = {
        "/series": {"title": "Reihe", "kind": "open"},
        "/meetings": {"title": "Treff", "starts": "2027-03-01T17:00:00Z", "capacity": 9},
        "/postpone": {},
        "/cancel": {"reason": "Grund"},
        "{meeting_id}": {"title": "Anders"},
    }
    mark = await house.mark()
    for method, path in CHANGES:
        body = next((body for end, body in bodies.items() if path.endswith(end)), None)
        url = path.format(institution=OWNER, **ids)
        answer = await house.api.request(method, url, json=body, headers={"If-Match": '"seen"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "version_mismatch"), (method, path)
    assert len(CHANGES) >= 13
    assert await house.mark() == mark


@pytest.mark.parametrize("compared", [True, False])
async def test_a_registration_is_changed_in_the_state_that_was_seen(
    house: House, monkeypatch: pytest.MonkeyPatch, compared: bool
) -> None:
    """The control: without the comparison, who has cancelled meanwhile would be noted as having come."""
    ids = await _ids(house)
    url = f"/institutions/{OWNER}/registrations/{ids['registration_id']}"
    seen = {"If-Match": (await house.api.get(url)).headers["etag"]}
    house.clock.at = house.clock.at.replace(year=2027, month=3, day=1, hour=18)
    assert (await house.api.post(f"{url}/attended")).status_code == 200
    if not compared:
        monkeypatch.setattr(matching, "_named_in", lambda _: "")
        monkeypatch.setattr(matching, "check_met", lambda: None)
    status = (await house.api.post(f"{url}/no_show", headers=seen)).status_code
    assert status == (412 if compared else 200)
    fresh = {"If-Match": (await house.api.get(url)).headers["etag"]}
    assert (await house.api.post(f"{url}/no_show", headers=fresh)).status_code == 200


async def test_a_meeting_that_is_known_already_comes_as_304(house: House) -> None:
    """For its own institution, for everybody, and in lists."""
    meeting_id = await house.meeting()
    await house.hear()
    for ask, url in (
        (house.api, f"/institutions/{OWNER}/meetings/{meeting_id}"),
        (house.everybody, f"/meetings/{meeting_id}"),
        (house.everybody, "/meetings"),
    ):
        first = await ask.get(url)
        again = await ask.get(url, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    await house.api.patch(f"/institutions/{OWNER}/meetings/{meeting_id}", json={"title": "Anders"})
    await house.hear()
    other = await house.everybody.get("/meetings", headers={"If-None-Match": first.headers["etag"]})
    assert other.json()["items"][0]["meeting"]["title"] == "Anders"


async def test_meetings_are_found_by_place_and_time(house: House) -> None:
    """By district as by quarter, and by a span of starts; both ends count."""
    await house.meeting(place={"quarter": "Linden-Nord"})
    await house.meeting(place={"quarter": "List"}, starts="2027-04-01T17:00:00Z")
    await house.hear()
    first, second = [each["meeting"]["meeting_id"] for each in (await house.everybody.get("/meetings")).json()["items"]]
    for query, found in (
        ({"district": "Linden-Limmer"}, [first]),
        ({"district": "Vahrenwald-List", "free": "true"}, [second]),
        ({"district": "Mitte"}, []),
        ({"to": "2027-03-01T17:00:00Z"}, [first]),
        ({"from": "2027-03-01T17:00:01Z", "to": "2027-04-01T19:00:00+02:00"}, [second]),
    ):
        page = (await house.everybody.get("/meetings", params=query)).json()
        assert [each["meeting"]["meeting_id"] for each in page["items"]] == found, query
