"""The schema is the one that the code believes in, and every private route is for its own institution or the office."""

from collections.abc import Iterable

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from services.members.api import router
from services.members.app import service
from shared.kit import migrate
from tests.integration.members.members_house import OFFICE, OTHER, OWNER, House

FOR_ALL = {
    ("GET", "/institutions"),
    ("GET", "/institutions/{slug}"),
    ("GET", "/projects"),
    ("GET", "/projects/{project_id}"),
}


def _routes(of: APIRouter) -> Iterable[tuple[str, str]]:
    for route in of.routes:
        assert isinstance(route, APIRoute)
        for method in sorted(route.methods or ()):
            yield method, route.path


ROUTES = sorted(set(_routes(router)) - FOR_ALL)
OWN = [(method, path) for method, path in ROUTES if path.startswith("/institutions/{institution}/")]
OF_THE_OFFICE = [route for route in ROUTES if route not in OWN]


async def test_the_migrated_schema_is_what_the_tables_say(house: House) -> None:
    """Migrations and tables never drift apart."""
    assert await migrate.differences(service, house.works.database) == []


def test_there_are_routes_to_walk() -> None:
    """Eight routes of institutions, six of the office."""
    assert (len(OWN), len(OF_THE_OFFICE)) == (8, 6)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_foreign_key_and_no_key_open_nothing(house: House, method: str, path: str) -> None:
    """Another institution's key, and the office's key where it is not the office's to say, get 403; no key gets 401."""
    filled = {"slug": OWNER, "project_id": "project_00000000"}
    url = path.format(institution=OTHER, **filled)
    assert (await house.api.request(method, url, json={})).status_code == 403
    assert (await house.everybody.request(method, url, json={})).status_code == 401
    if (method, path) in OWN:
        assert (await house.office.request(method, url, json={})).status_code == 403
        mine = path.format(institution=OFFICE, **filled)
        assert (await house.office.request(method, mine, json={})).status_code != 403


async def test_a_project_of_another_institution_is_not_found_by_its_id(house: House) -> None:
    """The own slug in the path with another's project in it gives 404."""
    body = {"title": "Wir leben in Hannover", "field_of_action": "Dialog und Begegnung", "starts_on": "2027-01-01"}
    project = (await house.api.post(f"/institutions/{OWNER}/projects", json=body)).json()
    theirs = {"Authorization": f"Bearer {OTHER}"}
    for method, rest in (("GET", ""), ("PATCH", ""), ("POST", "/start"), ("POST", "/end")):
        url = f"/institutions/{OTHER}/projects/{project['project_id']}{rest}"
        assert (await house.api.request(method, url, json={}, headers=theirs)).status_code == 404
