"""Institutions join, take part and leave; the office speaks of them, everybody reads of them."""

import asyncio
from typing import Any

import pytest

from services.members import timers
from shared.contract import members as told
from shared.contract.members import InstitutionMessage, ProjectMessage
from tests.integration.members.members_house import OWNER, House

PROJECT = {"title": "Wir leben in Hannover", "field_of_action": "Dialog und Begegnung", "starts_on": "2027-01-01"}


async def test_an_institution_lives_from_application_to_leaving(house: House) -> None:
    """Each step is told by the office with the whole picture and a growing version."""
    await house.apply(quarter="Linden-Nord")
    for step in ("admit", "activate", "suspend", "activate", "leave"):
        answer = await house.office.post(f"/institutions/vhs-nord/{step}")
        assert answer.status_code == 200, answer.text
    messages = await house.told()
    assert [type(each) for each in messages] == [
        told.InstitutionApplied,
        told.InstitutionAdmitted,
        told.InstitutionActivated,
        told.InstitutionSuspended,
        told.InstitutionActivated,
        told.InstitutionLeft,
    ]
    assert [each.version for each in messages] == [1, 2, 3, 4, 5, 6]
    assert {each.institution for each in messages} == {"office"}
    for each in messages:
        assert isinstance(each, InstitutionMessage)
        assert (each.picture.quarter, each.picture.district) == ("Linden-Nord", "Linden-Limmer")


async def test_a_step_that_leads_nowhere_is_refused_and_not_told(house: House) -> None:
    """Applied institutions are not activated; the office itself is never suspended; a slug is taken once."""
    await house.apply()
    before = len(await house.told())
    assert (await house.office.post("/institutions/vhs-nord/activate")).json()["code"] == "wrong_state"
    assert (await house.office.post("/institutions/office/suspend")).json()["code"] == "office_stays"
    assert (await house.office.post("/institutions/nobody/admit")).status_code == 404
    again = await house.office.post("/institutions", json={"slug": "vhs-nord", "name": "Zweite"})
    assert (again.status_code, again.json()["code"]) == (409, "slug_taken")
    assert len(await house.told()) == before


@pytest.mark.parametrize(
    ("profile", "code"),
    [
        ({"quarter": "Linden-Nord", "district": "Mitte"}, "quarter_elsewhere"),
        ({"quarter": "Atlantis"}, "invalid"),
        ({"district": "Atlantis"}, "invalid"),
        ({"fields_of_action": ["Weltfrieden"]}, "invalid"),
        ({"website": "javascript:alert(1)"}, "invalid"),
        ({"slug": "Groß"}, "invalid"),
        ({"name": "  "}, "invalid"),
        ({"state": "active"}, "invalid"),
    ],
)
async def test_what_does_not_fit_is_refused(house: House, profile: dict[str, Any], code: str) -> None:
    """Places are checked against the real list, and nothing unknown is passed over."""
    answer = await house.office.post("/institutions", json={"slug": "vhs-nord", "name": "VHS", **profile})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert await house.told() == []


async def _own(house: House) -> None:
    await house.apply(OWNER)
    await house.office.post(f"/institutions/{OWNER}/admit")
    await house.office.post(f"/institutions/{OWNER}/activate")


async def test_an_institution_changes_its_profile_and_accepts_the_statute(house: House) -> None:
    """Fields that are not sent stay; the same again is not told; the date is today's where none is given."""
    await _own(house)
    profile = {"about": "Kunst und Kultur", "fields_of_action": ["Kulturelle Bildung"], "languages": ["fa", "de"]}
    for _ in range(2):
        answer = await house.api.patch(f"/institutions/{OWNER}/profile", json=profile)
        assert answer.status_code == 200, answer.text
    changed = await house.api.patch(f"/institutions/{OWNER}/profile", json={"quarter": "Zoo"})
    assert (changed.json()["about"], changed.json()["district"]) == ("Kunst und Kultur", "Mitte")
    assert (await house.api.patch(f"/institutions/{OWNER}/profile", json={"name": None})).status_code == 422
    accepted = await house.api.post(f"/institutions/{OWNER}/statute", json={"version": "2021"})
    assert accepted.json()["statute_accepted_on"] == "2027-01-11"
    messages = (await house.told())[3:]
    assert [type(each) for each in messages] == [told.InstitutionChanged] * 3
    assert [each.version for each in messages] == [4, 5, 6]


async def test_the_office_is_an_institution_from_the_first_start_on_and_told_once(house: House) -> None:
    """Two copies start at the same moment, and one starts again later: one row, one message."""
    await asyncio.gather(*(timers.begin(house.node) for _ in range(4)))
    await timers.begin(house.node)
    [message] = await house.told()
    assert isinstance(message, told.InstitutionActivated)
    assert (message.institution, message.picture.slug, message.picture.state) == ("office", "office", "active")


async def test_a_node_that_does_not_host_the_office_never_speaks_for_it(house: House) -> None:
    """Two first versions of the office would contradict each other."""
    house.works.settings.hosted = OWNER
    await timers.begin(house.node)
    assert await house.told() == []


async def test_projects_are_planned_started_changed_and_ended(house: House) -> None:
    """The institution speaks of its own projects; after the end the record stays."""
    project = (await house.api.post(f"/institutions/{OWNER}/projects", json={**PROJECT, "partners": ["Kubus"]})).json()
    one = f"/institutions/{OWNER}/projects/{project['project_id']}"
    assert (await house.api.post(f"{one}/end")).json()["code"] == "wrong_state"
    assert (await house.api.post(f"{one}/start")).json()["state"] == "running"
    assert (await house.api.patch(one, json={"ends_on": "2026-12-31"})).json()["code"] == "ends_before_start"
    assert (await house.api.patch(one, json={"ends_on": "2027-12-31"})).json()["partners"] == ["Kubus"]
    assert (await house.api.post(f"{one}/end")).json()["state"] == "ended"
    assert (await house.api.patch(one, json={"title": "Neu"})).json()["code"] == "wrong_state"
    messages = await house.told()
    kinds = [told.ProjectPlanned, told.ProjectStarted, told.ProjectChanged, told.ProjectEnded]
    assert [type(each) for each in messages] == kinds
    assert [each.version for each in messages] == [1, 2, 3, 4]
    assert {each.institution for each in messages} == {OWNER}


async def test_everybody_reads_who_is_in_the_network(house: House) -> None:
    """Lists come from what was told, with filters and pages; the kit's directory hears the same messages."""
    await timers.begin(house.node)
    await house.apply("a-haus", fields_of_action=["Kulturelle Bildung", "Dialog und Begegnung"])
    await house.apply("b-haus", fields_of_action=["Kulturelle Teilhabe"])
    await house.hear()

    async def slugs(query: str) -> list[str]:
        answer = await house.everybody.get(f"/institutions?{query}")
        assert answer.status_code == 200, answer.text
        return [each["slug"] for each in answer.json()["items"]]

    assert await slugs("") == ["a-haus", "b-haus", "office"]
    assert await slugs("field_of_action=Dialog und Begegnung") == ["a-haus"]
    assert await slugs("state=active") == ["office"]
    first = (await house.everybody.get("/institutions?limit=2")).json()
    assert await slugs(f"limit=2&after={first['next']}") == ["office"]
    assert (await house.everybody.get("/institutions/b-haus")).json()["name"] == "Haus b-haus"
    assert (await house.everybody.get("/institutions/nobody")).status_code == 404


async def test_everybody_reads_the_projects_of_the_network(house: House) -> None:
    """Projects are found by field of action, institution and state, page by page."""
    for title in ("A", "B", "C"):
        await house.clock.sleep(1)
        project = (await house.api.post(f"/institutions/{OWNER}/projects", json={**PROJECT, "title": title})).json()
    await house.api.post(f"/institutions/{OWNER}/projects/{project['project_id']}/start")
    await house.hear()

    async def titles(query: str) -> list[str]:
        answer = await house.everybody.get(f"/projects?{query}")
        assert answer.status_code == 200, answer.text
        return [each["project"]["title"] for each in answer.json()["items"]]

    assert await titles("") == ["A", "B", "C"]
    assert await titles("state=running") == ["C"]
    assert await titles("field_of_action=Politische Bildung und Beteiligung") == []
    assert await titles(f"institution={OWNER}") == ["A", "B", "C"]
    first = (await house.everybody.get("/projects?limit=2")).json()
    assert await titles(f"limit=2&after={first['next']}") == ["C"]


async def test_only_the_office_is_believed_about_institutions(house: House) -> None:
    """An institution that speaks of itself as active changes no copy; the same message of the office does."""
    picture = told.InstitutionPicture(slug=OWNER, name="Wir", state="active")
    for speaker, found in ((OWNER, 404), ("office", 200)):
        message = told.InstitutionActivated(institution=speaker, version=1, picture=picture)
        async with house.works() as work:
            work.tell(message)
        await house.hear()
        assert (await house.everybody.get(f"/institutions/{OWNER}")).status_code == found


async def test_what_was_told_of_projects_stays_with_its_speaker(house: House) -> None:
    """Another institution that uses a project's id makes a row of its own and does not take the project over."""
    project = (await house.api.post(f"/institutions/{OWNER}/projects", json=PROJECT)).json()
    [message] = await house.told()
    assert isinstance(message, ProjectMessage)
    stolen = told.ProjectEnded(institution="amfn", version=9, picture=message.picture)
    async with house.works() as work:
        work.tell(stolen)
    await house.hear()
    items = (await house.everybody.get("/projects")).json()["items"]
    assert [(each["institution"], each["project"]["project_id"]) for each in items] == [
        ("amfn", project["project_id"]),
        (OWNER, project["project_id"]),
    ]
