"""A restored backup of events: people and their places are again what the institution was told of them."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.events.app import service
from services.events.timers import forget_unconfirmed
from shared.contract.events import MeetingMessage
from shared.kit import tables
from tests.integration.backup import Backup
from tests.integration.events.events_house import OWNER, House

PUB, OWN = (f"album:1:{audience}:{{{OWNER}}}:events" for audience in ("pub", "own"))
MAIL = "noor@example.org"


async def _backup(house: House) -> Backup:
    return await Backup.made(service, house.works)


async def _listed(house: House, meeting_id: str) -> list[tuple[Any, ...]]:
    page = await house.get(f"meetings/{meeting_id}/registrations")
    names = ("registration_id", "state", "place_in_queue", "name", "mail")
    return [tuple(each[name] for name in names) for each in page["items"]]


async def test_a_place_given_back_behind_the_backup_stays_free(house: House) -> None:
    """The place is again what its person was told, and the seat is counted once."""
    meeting_id = await house.meeting(capacity=1)
    came = await house.come(meeting_id)
    backup = await _backup(house)
    await house.press("cancel", came)
    told = (await house.registration(came)).version
    lost = await backup.put_back()
    assert (await house.registration(came)).state == "registered", "the control: nothing was taken back yet"
    await backup.take_back(OWN, lost[OWN])
    found = await house.registration(came)
    assert (found.state, found.version) == ("cancelled", told)
    assert (await house.get(f"meetings/{meeting_id}"))["availability"]["free"] == 1


@pytest.mark.parametrize("page", [1, 1000])
@pytest.mark.parametrize("published", [0, 1])
async def test_what_only_people_were_told_of_a_meeting_is_told_again(house: House, published: int, page: int) -> None:
    """Redis lost the meeting's last words and kept its people's: once all is back the network hears the last state."""
    backup = await _backup(house)
    meeting_id = await house.meeting(capacity=2)
    await house.come(meeting_id)
    await house.come(meeting_id)
    newest = max(each.version for each in await house.told() if each.key == meeting_id)
    lost = await backup.put_back()
    await backup.take_back(PUB, lost[PUB][:published])
    await backup.take_back(OWN, lost[OWN], page)
    [told] = [each for each in await house.told() if isinstance(each, MeetingMessage)][published:]
    assert (told.picture.availability.free, told.version) == (0, newest + 1)


@pytest.mark.parametrize("page", [1, 1000])
async def test_what_the_network_was_told_is_not_told_again(house: House, page: int) -> None:
    """Control: where the meeting's own stream is whole, people's word of it brings nothing new."""
    backup = await _backup(house)
    await house.come(await house.meeting(capacity=2))
    told = [each for each in await house.told() if isinstance(each, MeetingMessage)]
    lost = await backup.put_back()
    await backup.take_back(PUB, lost[PUB], page)
    await backup.take_back(OWN, lost[OWN], page)
    assert [each for each in await house.told() if isinstance(each, MeetingMessage)] == told


@pytest.mark.parametrize("first", [PUB, OWN])
async def test_people_and_places_that_the_backup_does_not_know_come_back(house: House, first: str) -> None:
    """Who registered behind the backup has a seat; who waits keeps the place; who has not confirmed still can."""
    backup = await _backup(house)
    meeting_id = await house.meeting(capacity=1)
    for _ in range(3):
        await house.come(meeting_id)
    unconfirmed = await house.unconfirmed(meeting_id)
    before = await _listed(house, meeting_id)
    lost = await backup.put_back()
    for stream in sorted((PUB, OWN), key=lambda name: name != first):
        await backup.take_back(stream, lost[stream])
    assert await _listed(house, meeting_id) == before
    await house.press("confirm", unconfirmed)
    assert (await house.registration(unconfirmed)).state == "waiting"


async def test_whom_the_backup_brings_back_is_erased_again(house: House) -> None:
    """An erased person stays erased (GDPR, article 17), and what nobody can confirm any more does not come back."""
    came = await house.come(await house.meeting(), MAIL)
    open_ = await house.unconfirmed(await house.meeting(), MAIL)
    backup = await _backup(house)
    unknown = await house.unconfirmed(await house.meeting(), MAIL)
    person = (await house.registration(came)).participant_id
    await house.api.delete(f"/institutions/{OWNER}/participants/{person}")
    lost = await backup.put_back()
    people = service.tables.tables["participant"]
    assert MAIL in f"{(await Backup.made(service, house.works)).rows[people]}", "the control: it is back"
    await backup.take_back(OWN, lost[OWN])
    after = (await Backup.made(service, house.works)).rows
    assert after[people] == []
    left = [row["id"] for row in after[service.tables.tables["registration"]]]
    assert left == [came], (open_, unknown)
    assert (await house.registration(came)).state == "cancelled"


async def test_who_was_forgotten_and_asked_anew_comes_back_once(house: House) -> None:
    """That an unconfirmed registration was forgotten is never told: the newer one takes its place."""
    await house.come(await house.meeting(), MAIL)
    meeting_id = await house.meeting()
    await house.unconfirmed(meeting_id, MAIL)
    backup = await _backup(house)
    house.clock.turn(days=8)
    await forget_unconfirmed(house.node)
    await house.come(meeting_id, MAIL)
    before = await _listed(house, meeting_id)
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    assert await _listed(house, meeting_id) == before


@pytest.mark.parametrize("asked_before", [True, False])
async def test_who_came_back_by_a_link_comes_back_once(house: House, asked_before: bool) -> None:
    """The link of an old registration takes the place of a new one that was not confirmed; nobody is told of that."""
    meeting_id = await house.meeting()
    old = await house.come(meeting_id, MAIL)
    await house.press("cancel", old)
    if asked_before:
        await house.unconfirmed(meeting_id, MAIL)
    backup = await _backup(house)
    if not asked_before:
        await house.unconfirmed(meeting_id, MAIL)
    await house.press("again", old)
    before = await _listed(house, meeting_id)
    assert [state for _, state, *_ in before] == ["registered"]
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    assert await _listed(house, meeting_id) == before


async def test_who_confirmed_behind_the_backup_waits_behind_the_others(house: House) -> None:
    """A place in the queue is as old as the confirmation."""
    meeting_id = await house.meeting(capacity=1)
    await house.come(meeting_id)
    late = await house.unconfirmed(meeting_id)
    await house.come(meeting_id)
    backup = await _backup(house)
    house.clock.turn(hours=1)
    await house.press("confirm", late)
    before = await _listed(house, meeting_id)
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    assert await _listed(house, meeting_id) == before


async def test_a_meeting_that_was_taken_for_a_partners_is_ours_in_its_newest_version(house: House) -> None:
    """Where partner systems tell, too, an unknown meeting is theirs - until somebody comes back who registered."""
    async with house.works.database.transaction() as connection:
        theirs = {"institution": OWNER, "key": "meeting_theirs0001", "version": 3, "at": house.clock.now()}
        await connection.execute(sa.insert(tables.partner_thing), [theirs])
    backup = await _backup(house)
    meeting_id = await house.meeting()
    await house.come(meeting_id)
    await house.patch(f"meetings/{meeting_id}", {"description": "neu"})
    newest = max(each.version for each in await house.told() if each.key == meeting_id)
    lost = await backup.put_back()
    await backup.take_back(PUB, lost[PUB])
    await backup.take_back(OWN, lost[OWN])
    mark = await house.mark()
    await house.patch(f"meetings/{meeting_id}", {"description": "nach der Wiederherstellung"})
    assert [each.version for each in await house.told(mark)] == [newest + 1]
