"""A restored backup of courses: runs are again what the network was told of them, and go on from there."""

from typing import Any

import sqlalchemy as sa

from services.courses.app import service
from services.courses.store import metadata
from shared.contract.envelope import Message
from shared.kit import tables
from shared.kit.numbering import number_waiting
from shared.kit.outbox import log_after
from shared.kit.recovering import recovery
from shared.kit.streams import START, Entry
from tests.integration.courses.courses_house import OWNER, House

PUB = f"album:1:pub:{{{OWNER}}}:courses"


async def _told(house: House) -> list[Entry]:
    async with house.works.database.transaction() as connection:
        await number_waiting(connection, lambda _: True)
        return await log_after(connection, PUB, START)


async def _lose_everything(house: House) -> None:
    async with house.works.database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(sa.delete(table))
        await connection.execute(sa.delete(tables.outbox))


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


def _plan(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in ("availability", "counted_at")}
