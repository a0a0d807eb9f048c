"""ETags and If-Match of institutions and projects; nothing is changed in another state than was seen."""

import pytest
from fastapi.routing import APIRoute

from services.members.api import router
from shared.kit import matching
from tests.integration.members.members_house import OWNER, House

CHANGES = [
    (method, route.path)
    for route in router.routes
    if isinstance(route, APIRoute) and "{" in route.path
    for method in sorted((route.methods or set()) - {"GET"})
]
PROJECT = {"title": "Garten", "field_of_action": "Dialog und Begegnung", "starts_on": "2027-03-01"}


async def _project(house: House) -> str:
    added = await house.api.post(f"/institutions/{OWNER}/projects", json=PROJECT)
    assert added.status_code == 201, added.text
    return f"/institutions/{OWNER}/projects/{added.json()['project_id']}"


async def test_no_change_is_made_to_another_state_than_was_seen(house: House) -> None:
    """Every route about one thing refuses a state that never was, even where it has nothing to compare."""
    await house.apply(OWNER)
    project_id = (await _project(house)).rpartition("/")[2]
    bodies = {
        "/keys": {"scopes": ["read"]},
        "/profile": {"about": "Anders"},
        "/statute": {"version": "2026"},
        "/projects": PROJECT,
        "{project_id}": {"title": "Anders"},
    }
    before = await house.told()
    for method, path in CHANGES:
        body = next((body for end, body in bodies.items() if path.endswith(end)), None)
        url = path.format(slug=OWNER, institution=OWNER, project_id=project_id)
        ask = house.office if "{slug}" in path else house.api
        answer = await ask.request(method, url, json=body, headers={"If-Match": '"seen"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "version_mismatch"), (method, path)
    assert len(CHANGES) >= 11
    assert await house.told() == before


@pytest.mark.parametrize("compared", [True, False])
async def test_a_profile_and_a_project_are_changed_in_the_state_that_was_seen(
    house: House, monkeypatch: pytest.MonkeyPatch, compared: bool
) -> None:
    """The control: without the comparison the second editor overwrites what was never seen."""
    await house.apply(OWNER)
    if not compared:
        monkeypatch.setattr(matching, "_named_in", lambda _: "")
        monkeypatch.setattr(matching, "check_met", lambda: None)
    for url, field in ((f"/institutions/{OWNER}/profile", "about"), (await _project(house), "title")):
        seen = {"If-Match": (await house.api.get(url)).headers["etag"]}
        assert (await house.api.patch(url, json={field: "Eins"}, headers=seen)).status_code == 200
        status = (await house.api.patch(url, json={field: "Zwei"}, headers=seen)).status_code
        assert status == (412 if compared else 200)


async def test_the_office_decides_on_what_everybody_sees(house: House) -> None:
    """The copy has the tag of the original: a profile that changed since it was heard is looked at once more."""
    await house.apply(OWNER)
    await house.hear()
    url = f"/institutions/{OWNER}"
    seen = {"If-Match": (await house.everybody.get(url)).headers["etag"]}
    await house.api.patch(f"{url}/profile", json={"about": "Neu"})
    assert (await house.office.post(f"{url}/admit", headers=seen)).status_code == 412
    await house.hear()
    fresh = {"If-Match": (await house.everybody.get(url)).headers["etag"]}
    assert (await house.office.post(f"{url}/admit", headers=fresh)).status_code == 200


async def test_what_is_known_already_comes_as_304(house: House) -> None:
    """Institutions and projects, one and all, for everybody and for their own."""
    await house.apply(OWNER)
    own = await _project(house)
    await house.hear()
    seen_by_all = f"/projects/{own.rpartition('/')[2]}"
    for url in ("/institutions", f"/institutions/{OWNER}", "/projects", seen_by_all):
        first = await house.everybody.get(url)
        again = await house.everybody.get(url, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.headers["cache-control"]) == (200, 304, "no-cache"), url
    for url in (f"/institutions/{OWNER}/profile", own):
        first = await house.api.get(url)
        again = await house.api.get(url, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.headers["vary"]) == (200, 304, "Authorization"), url
    assert (await house.everybody.get(seen_by_all)).json()["institution"] == OWNER


async def test_institutions_and_projects_are_found_by_place_and_time(house: House) -> None:
    """An institution by its district, which a quarter implies; a project by the day on which it begins."""
    await house.apply("awo", quarter="Linden-Nord")
    await house.apply("vhs-nord", district="Mitte")
    await _project(house)
    await house.hear()
    for query, found in (({"district": "Linden-Limmer"}, ["awo"]), ({"district": "Mitte"}, ["vhs-nord"])):
        page = (await house.everybody.get("/institutions", params=query)).json()
        assert [each["slug"] for each in page["items"]] == found
    for query, count in (({"from": "2027-03-01", "to": "2027-03-01"}, 1), ({"from": "2027-03-02"}, 0)):
        page = (await house.everybody.get("/projects", params=query)).json()
        assert len(page["items"]) == count
