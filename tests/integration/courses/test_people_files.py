"""Participant files through the service: contacts travel once, erasing keeps the counts."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from services.courses import timers
from services.courses.store.tables import participant
from shared.contract.courses import EnrolmentChanged, ParticipantContactRecorded, ParticipantErased
from tests.integration.courses.courses_house import OWNER, House

CONTACT: dict[str, Any] = {"contact_consent": True, "mail": "ada@example.org", "phone": "0511 168-0"}


async def test_a_contact_travels_once_and_again_when_it_changes(house: House) -> None:
    """Name, mail and language are told when they change; a new goal is nobody's business."""
    person = await house.person(**CONTACT)
    await house.patch(f"participants/{person}", {"goal": "Pflege"})
    await house.patch(f"participants/{person}", {"mail": "neu@example.org"})
    told = [each for each in await house.told() if isinstance(each, ParticipantContactRecorded)]
    assert [each.mail for each in told] == ["ada@example.org", "neu@example.org"]
    assert told[0].version < told[1].version


async def test_a_mail_without_consent_is_refused(house: House) -> None:
    """The answer names the reason, and nothing is kept."""
    refused = await house.post("participants", {"language": "de", "mail": "ada@example.org"}, 422)
    assert refused["code"] == "consent_missing"


async def test_taking_consent_back_drops_mail_and_phone_everywhere(house: House) -> None:
    """The next contact message has no mail, so that nobody writes any more."""
    person = await house.person(**CONTACT)
    file = await house.patch(f"participants/{person}", {"contact_consent": False})
    assert (file["mail"], file["phone"]) == (None, None)
    told = [each for each in await house.told() if isinstance(each, ParticipantContactRecorded)]
    assert told[-1].mail is None


async def test_erasing_deletes_the_person_and_keeps_the_counts(house: House) -> None:
    """The seat goes to the next, nothing personal is left in the row, and the enrolment still counts."""
    run_id, person = await house.run(capacity=1), await house.person(obliged=True, goal="Pflege", **CONTACT)
    asked, following = await house.ask(run_id, person), await house.ask(run_id)
    answer = await house.api.delete(f"/institutions/{OWNER}/participants/{person}")
    assert answer.status_code == 204
    assert (await house.enrolment(asked["enrolment_id"]))["state"] == "withdrawn"
    assert (await house.enrolment(following["enrolment_id"]))["state"] == "offered"
    async with house.works.database.reading() as connection:
        row = (await connection.execute(sa.select(participant).where(participant.c.id == person))).one()
    assert (row.name, row.mail, row.phone, row.goal, row.state) == (None, None, None, None, "erased")
    last = await house.told()
    assert isinstance(last[-1], ParticipantErased)
    mark = len(last)
    assert (await house.api.delete(f"/institutions/{OWNER}/participants/{person}")).status_code == 204
    assert await house.told_since(mark) == []
    refused = await house.post(f"runs/{run_id}/enrolments", {"participant_id": person}, 409)
    assert refused["code"] == "participant_erased"


async def test_levels_get_stale_by_the_calendar(house: House) -> None:
    """Six months after the oldest skill was found, the file says so."""
    skills = {name: {"level": "B1", "on": "2027-01-11"} for name in ("listening", "reading", "speaking", "writing")}
    person = await house.person(goal="Pflege", availability=["morning"], skills=skills)
    house.clock.at += timedelta(days=180)
    await timers.outdate_levels(house.node)
    assert (await house.get(f"participants/{person}"))["state"] == "current"
    house.clock.at += timedelta(days=1)
    await timers.outdate_levels(house.node)
    assert (await house.get(f"participants/{person}"))["state"] == "stale"


async def test_entitlements_begin_end_and_are_revoked(house: House) -> None:
    """By the calendar, or by staff; each only once."""
    person = await house.person()
    path = f"participants/{person}/entitlements"
    later = {"issuing_office": "Jobcenter", "obliged": True, "valid_from": "2027-02-01", "valid_until": "2027-02-28"}
    recorded = await house.post(path, later, 201)
    assert recorded["state"] == "recorded"
    for day, state in ((21, "valid"), (49, "expired")):
        house.clock.turn(days=day - (house.clock.at.date() - house.clock.at.date().replace(month=1, day=11)).days)
        await timers.date_entitlements(house.node)
        file = await house.get(f"participants/{person}")
        assert [each["state"] for each in file["entitlements"]] == [state]
    refused = await house.post(f"entitlements/{recorded['entitlement_id']}/revoke", expect=409)
    assert refused["code"] == "entitlement_is_expired"
    valid = await house.post(path, {"issuing_office": "BAMF", "valid_until": "2027-12-31"}, 201)
    assert (await house.post(f"entitlements/{valid['entitlement_id']}/revoke"))["state"] == "revoked"


async def test_own_messages_name_people_by_id_alone(house: House) -> None:
    """Only the contact message holds a name."""
    run_id, person = await house.run(), await house.person(**CONTACT)
    await house.ask(run_id, person)
    holding = {type(each) for each in await house.told() if "Ada Beispiel" in each.model_dump_json()}
    assert holding == {ParticipantContactRecorded}
    assert any(isinstance(each, EnrolmentChanged) for each in await house.told())


async def test_participants_are_listed_page_by_page(house: House) -> None:
    """Each once, in order; the last page ends the list even if it is full, and an erased person has no name."""
    people = sorted([await house.person(name=f"Ada {number}") for number in range(4)])
    await house.api.delete(f"/institutions/{OWNER}/participants/{people[0]}")
    first = await house.get("participants?limit=2")
    second = await house.get(f"participants?limit=2&after={first['next']}")
    assert [each["participant_id"] for each in first["items"] + second["items"]] == people
    assert second["next"] is None
    assert (first["items"][0]["state"], first["items"][0]["name"]) == ("erased", None)


async def test_a_changed_file_still_shows_its_entitlements(house: House) -> None:
    """The answer to a change is the same file that a look shows."""
    person = await house.person(obliged=True)
    changed = await house.patch(f"participants/{person}", {"goal": "Pflege"})
    assert changed == await house.get(f"participants/{person}")
    assert len(changed["entitlements"]) == 1
