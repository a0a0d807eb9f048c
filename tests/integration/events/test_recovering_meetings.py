"""A restored backup of events: meetings, people and places are again what was told of them."""

from typing import Any

import sqlalchemy as sa

from services.events.handlers import recovering
from services.events.store import metadata
from shared.contract.events import MeetingPublished
from shared.contract.samples import sample
from tests.integration.events.events_house import OWNER, House


def _message(version: int, **changes: object) -> MeetingPublished:
    body = sample(MeetingPublished)
    picture = {**body["picture"], "state": "published", **changes}
    return MeetingPublished.model_validate({**body, "institution": OWNER, "version": version, "picture": picture})


async def test_a_lost_meeting_and_its_series_come_back_and_an_older_word_moves_nothing(house: House) -> None:
    """The newest told state counts, whatever comes behind it."""
    newest = _message(7, title="Blickwechsel 2027")
    async with house.works() as work:
        await recovering.take_back([newest], work)
        await recovering.take_back([_message(6, title="alt")], work)
    async with house.works.looking() as store:
        meeting = await store.meeting(newest.key, OWNER)
        assert (meeting.title, meeting.version) == ("Blickwechsel 2027", 7)
        if newest.picture.series_id:
            assert (await store.one_series(newest.picture.series_id, OWNER)).institution == OWNER
    async with house.works() as work:
        await recovering.take_back([_message(8, title="neu")], work)
        assert (await work.store.meeting(newest.key)).title == "neu"


Backup = dict[sa.Table, list[dict[str, Any]]]


async def _backup(house: House) -> Backup:
    async with house.works.database.reading() as connection:
        rows = {table: await connection.execute(sa.select(table)) for table in metadata.sorted_tables}
        return {table: [dict(row) for row in found.mappings()] for table, found in rows.items()}


async def _restore(house: House, backup: Backup) -> None:
    async with house.works.database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(sa.delete(table))
        for table, rows in backup.items():
            if rows:
                await connection.execute(sa.insert(table), rows)


async def _take_back(house: House) -> None:
    """Bring back the newest of all that was told of each thing, as a start behind a restored backup does."""
    newest = {message.key: message for message in await house.told()}
    async with house.works() as work:
        await recovering.take_back(list(newest.values()), work)


async def test_a_place_given_back_behind_the_backup_stays_free(house: House) -> None:
    """The place is again what its person was told, and the seat is counted once."""
    meeting_id = await house.meeting(capacity=1)
    came = await house.come(meeting_id)
    backup = await _backup(house)
    await house.press("cancel", came)
    told = (await house.registration(came)).version
    await _restore(house, backup)
    assert (await house.registration(came)).state == "registered", "the control: nothing was taken back"
    await _take_back(house)
    found = await house.registration(came)
    assert (found.state, found.version) == ("cancelled", told)
    assert (await house.get(f"meetings/{meeting_id}"))["availability"]["free"] == 1


async def test_people_and_places_that_the_backup_does_not_know_come_back(house: House) -> None:
    """Who registered behind the backup has a seat; who waits keeps the place; who has not confirmed still can."""
    backup = await _backup(house)
    meeting_id = await house.meeting(capacity=1)
    came = [await house.come(meeting_id) for _ in range(3)]
    unconfirmed = await house.unconfirmed(meeting_id)
    before = await house.get(f"meetings/{meeting_id}/registrations")
    await _restore(house, backup)
    await _take_back(house)
    told = ("registration_id", "state", "place_in_queue", "name", "mail")
    after = await house.get(f"meetings/{meeting_id}/registrations")
    assert [[each[name] for name in told] for each in after["items"]] == [
        [each[name] for name in told] for each in before["items"]
    ]
    assert len(after["items"]) == len(came) + 1
    await house.press("confirm", unconfirmed)
    assert (await house.registration(unconfirmed)).state == "waiting"


async def test_whom_the_backup_brings_back_is_erased_again(house: House) -> None:
    """An erased person stays erased (GDPR article 17), and what nobody can confirm any more does not come back."""
    meeting_id = await house.meeting()
    came = await house.come(meeting_id, "noor@example.org")
    open_ = await house.unconfirmed(await house.meeting(), "noor@example.org")
    backup = await _backup(house)
    person = (await house.registration(came)).participant_id
    await house.api.delete(f"/institutions/{OWNER}/participants/{person}")
    await _restore(house, backup)
    assert "noor@example.org" in f"{await _backup(house)}", "the control: the backup brings the address back"
    await _take_back(house)
    after = f"{await _backup(house)}"
    assert "noor@example.org" not in after
    assert open_ not in after
    assert (await house.registration(came)).state == "cancelled"
