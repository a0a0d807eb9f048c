"""The schema is the one that the code believes in, and every private route is for its own institution alone."""

from collections.abc import Iterable

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from services.events.api import router
from services.events.app import service
from shared.kit import migrate
from tests.integration.events.events_house import OTHER, OWNER, House

IDS = {"meeting_id": "meeting_00000000", "registration_id": "registration_00000000"}
FILLED = {**IDS, "participant_id": "participant_00000000", "token": "x"}
WITHOUT_KEY = {"/meetings", "/meetings/{meeting_id}", "/meetings/{meeting_id}/registrations", "/l/{token}"}


def _routes(of: APIRouter) -> Iterable[tuple[str, str]]:
    for route in of.routes:
        assert isinstance(route, APIRoute)
        for method in sorted(route.methods or ()):
            yield method, route.path


ROUTES = sorted(set(_routes(router)))
PRIVATE = [(method, path) for method, path in ROUTES if path not in WITHOUT_KEY]


async def test_the_migrated_schema_is_what_the_tables_say(house: House) -> None:
    """Migrations and tables never drift apart."""
    assert await migrate.differences(service, house.works.database) == []


def test_there_are_routes_to_walk_and_all_private_ones_name_the_institution() -> None:
    """A private route without the institution in its path would escape the check of the key."""
    assert len(PRIVATE) >= 17
    assert all(path.startswith("/institutions/{institution}/") for _, path in PRIVATE)


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_a_foreign_key_and_no_key_open_nothing(house: House, method: str, path: str) -> None:
    """Another institution's key gets 403 or 404, no key gets 401."""
    url = path.format(institution=OTHER, **FILLED)
    foreign = await house.api.request(method, url, json={})
    assert foreign.status_code in (403, 404), foreign.text
    keyless = await house.everybody.request(method, path.format(institution=OWNER, **FILLED), json={})
    assert keyless.status_code == 401


async def test_a_thing_of_another_institution_is_not_found_by_its_id(house: House) -> None:
    """The own slug in the path with another's id in it gives 404; with the owner's key the same id works."""
    meeting_id = await house.meeting()
    registration_id = await house.come(meeting_id)
    participant_id = (await house.registration(registration_id)).participant_id
    theirs = {"Authorization": f"Bearer {OTHER}"}
    for method, path in PRIVATE:
        if "{meeting_id}" not in path and "{registration_id}" not in path and "{participant_id}" not in path:
            continue
        url = path.format(
            institution=OTHER, meeting_id=meeting_id, registration_id=registration_id, participant_id=participant_id
        )
        body = {"reason": "x"} if path.endswith("/cancel") else {}
        answer = await house.api.request(method, url, json=body, headers=theirs)
        assert answer.status_code == 404, (method, path, answer.text)
    assert (await house.get(f"meetings/{meeting_id}"))["taken"] == 1
