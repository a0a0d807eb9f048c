"""A restored backup of courses: runs, files and places are again what was told of them, and go on from there."""

from typing import Any

import sqlalchemy as sa

from services.courses.app import service
from services.courses.store import metadata
from shared.contract.envelope import Message
from shared.kit import tables
from shared.kit.epochs import recovery
from shared.kit.numbering import number_waiting
from shared.kit.outbox import log_after
from shared.kit.streams import START, Entry
from tests.integration.courses.courses_house import OWNER, House

PUB, OWN = (f"album:1:{audience}:{{{OWNER}}}:courses" for audience in ("pub", "own"))
Backup = dict[sa.Table, list[dict[str, Any]]]


async def _told(house: House, stream: str = PUB) -> list[Entry]:
    async with house.works.database.transaction() as connection:
        await number_waiting(connection, lambda _: True)
        return await log_after(connection, stream, START)


async def _lose_everything(house: House) -> None:
    await _restore(house, {})


async def _backup(house: House) -> Backup:
    async with house.works.database.reading() as connection:
        rows = {table: await connection.execute(sa.select(table)) for table in (*metadata.sorted_tables, tables.outbox)}
        return {table: [dict(row) for row in found.mappings()] for table, found in rows.items()}


async def _restore(house: House, backup: Backup) -> None:
    async with house.works.database.transaction() as connection:
        for table in (tables.outbox, *reversed(metadata.sorted_tables)):
            await connection.execute(sa.delete(table))
        for table, rows in backup.items():
            if rows:
                await connection.execute(sa.insert(table), rows)


async def _take_back(house: House, entries: list[Entry]) -> None:
    async with house.works.database.transaction() as connection:
        await recovery(house.works, service.recover, service.takes)(connection, entries)


def _versions(told: list[Message]) -> list[int]:
    return [message.version for message in told]


async def test_a_lost_run_is_managed_again_as_it_was_told(house: House) -> None:
    """Its plan, its state and its version come back, so that the network believes the next change."""
    run_id = await house.run(title="Pflege B2", description="abends")
    await house.patch(f"runs/{run_id}", {"description": "vormittags"})
    before = await house.get(f"runs/{run_id}")
    entries, last = await _told(house), (await house.told())[-1].version
    await _lose_everything(house)
    await _take_back(house, entries)
    assert _plan(await house.get(f"runs/{run_id}")) == _plan(before)
    await house.patch(f"runs/{run_id}", {"description": "nachmittags"})
    assert _versions(await house.told()) == [last + 1]


async def test_an_older_state_of_a_run_becomes_the_told_one(house: House) -> None:
    """A change that was published after the backup is there again; what only we knew stays as the backup has it."""
    run_id = await house.run(registered_elsewhere=3)
    async with house.works.database.reading() as connection:
        backup = (await connection.execute(sa.select(metadata.tables["run"]))).mappings().one()
    await house.patch(f"runs/{run_id}", {"title": "Pflege B2"})
    entries = await _told(house)
    async with house.works.database.transaction() as connection:
        await connection.execute(sa.update(metadata.tables["run"]).values(dict(backup)))
    assert (await house.get(f"runs/{run_id}"))["title"] != "Pflege B2", "the control: nothing was taken back yet"
    await _take_back(house, entries)
    found = await house.get(f"runs/{run_id}")
    assert (found["title"], found["registered_elsewhere"]) == ("Pflege B2", 3)


async def test_what_partner_systems_tell_stays_theirs(house: House) -> None:
    """A run that their software told of does not become ours: its next message is still taken."""
    async with house.works.database.transaction() as connection:
        row = {"institution": OWNER, "key": "run_theirs0001", "version": 3, "at": house.clock.now()}
        await connection.execute(sa.insert(tables.partner_thing), [row])
    ours = await house.run()
    entries = await _told(house)
    async with house.works.database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(sa.delete(table))
    await _take_back(house, entries)
    async with house.works.database.reading() as connection:
        keys = (await connection.execute(sa.select(tables.partner_thing.c.key))).scalars().all()
        runs = (await connection.execute(sa.select(metadata.tables["run"].c.id))).scalars().all()
    assert (sorted(keys), list(runs)) == (sorted(["run_theirs0001", ours]), [])


async def _person(house: House, name: str) -> str:
    body = {"language": "ar", "name": name, "contact_consent": True, "mail": "noor@example.org"}
    return str((await house.post("participants", body, 201))["participant_id"])


async def _enrol(house: House, run_id: str, participant_id: str) -> str:
    body = {"participant_id": participant_id}
    return str((await house.post(f"runs/{run_id}/enrolments", body, 201))["enrolment_id"])


async def test_a_seat_given_back_behind_the_backup_stays_free(house: House) -> None:
    """The place is again what its person was told, the seat is counted once, and the next word has a new version."""
    run_id = await house.run(capacity=1)
    person = await _person(house, "Noor")
    enrolment_id = await _enrol(house, run_id, person)
    backup = await _backup(house)
    await house.post(f"enrolments/{enrolment_id}/withdraw")
    entries, version = await _told(house, OWN), (await house.told())[-1].version
    await _restore(house, backup)
    assert (await house.get(f"enrolments/{enrolment_id}"))["state"] == "enrolled", "the control: nothing was taken back"
    await _take_back(house, entries)
    assert (await house.get(f"enrolments/{enrolment_id}"))["state"] == "withdrawn"
    assert (await house.get(f"runs/{run_id}"))["availability"]["free"] == 1
    mark = await house.mark()
    await _enrol(house, run_id, person)
    versions = [each.version for each in await house.told_since(mark) if each.key == enrolment_id]
    assert versions == [version + 1]


async def test_people_and_places_that_the_backup_does_not_know_come_back(house: House) -> None:
    """Who was enrolled behind the backup has a file with a name and a seat; who waits keeps the place in the queue."""
    run_id = await house.run(capacity=1)
    names = ("Noor", "Amal", "Samir")
    enrolments = [await _enrol(house, run_id, await _person(house, name)) for name in names]
    before = [await house.get(f"enrolments/{each}") for each in enrolments]
    entries = await _told(house, OWN)
    await _lose_everything(house)
    await _take_back(house, entries)
    after = [await house.get(f"enrolments/{each}") for each in enrolments]
    told = ("state", "place_in_queue", "participant_id")
    assert [[each[name] for name in told] for each in after] == [[each[name] for name in told] for each in before]
    assert [(await house.get(f"participants/{each['participant_id']}"))["name"] for each in after] == list(names)
    assert (await house.get(f"runs/{run_id}"))["availability"]["free"] == 0


async def test_whom_the_backup_brings_back_is_erased_again(house: House) -> None:
    """Neither the file nor the log holds the contact; an erased person stays erased (GDPR article 17)."""
    person = await _person(house, "Noor")
    backup = await _backup(house)
    await house.api.delete(f"/institutions/{OWNER}/participants/{person}")
    entries = await _told(house, OWN)
    await _restore(house, backup)
    assert "Noor" in f"{await _backup(house)}", "the control: the backup brings the contact back"
    await _take_back(house, entries)
    assert "Noor" not in f"{await _backup(house)}"
    assert (await house.get(f"participants/{person}"))["state"] == "erased"


def _plan(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in ("availability", "counted_at")}
