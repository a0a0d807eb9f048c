"""The other side of the race for seats: processes in which people ask, with the lock, without it, or by bare SQL."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from random import SystemRandom
from typing import Any

import asyncpg

from services.courses.api.rush import Rush
from services.courses.domain.run import Run
from services.courses.handlers import asking
from services.courses.store import Store
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.settings import Settings
from shared.kit.work import Works

POOL = 12
BARE = "UPDATE run SET taken = taken + 1 WHERE id = {} AND taken < capacity"
BARE_SQLITE, BARE_POSTGRES = BARE.format("?"), BARE.format("$1")


class Unlocked(Store):
    """The store with the lock taken out: it decides on what it saw a moment ago."""

    earlier: Run | None = None

    async def locked_run(self, run_id: str, institution: str | None = None) -> Run:
        """Give the run as it was, after a pause in which others do the same."""
        if self.earlier is not None:
            return self.earlier
        found = await self.run(run_id, institution)
        await asyncio.sleep(0.005)
        return found


async def ask(database: str, run_id: str, people: list[str], institution: str, lock: bool) -> AsyncIterator[Any]:
    """Have people ask for seats as requests to the service do, all at once; without the lock, one by one."""
    opened = Database(database)
    clock = SystemClock()
    works: Works[Any] = Works(opened, Store if lock else Unlocked, clock, Ids(SystemRandom(), clock), Settings())
    async with opened.reading() as connection:
        await Store(connection).run(run_id)

    rush = Rush(works)

    async def one(person: str) -> None:
        if lock:
            await rush.ask(run_id, person, institution)
            return
        seen = None
        if opened.is_sqlite:
            # SQLite lets one write at a time: without the lock means to look before that, not inside.
            async with works.looking() as store:
                seen = await store.run(run_id)
            await asyncio.sleep(0.02)
        async with works() as work:
            if seen is not None:
                work.store.earlier = seen
            await asking.ask(run_id, person, institution, work)

    yield None
    await asyncio.gather(*(one(person) for person in people))
    yield None
    await opened.close()


async def take(database: str, run_id: str, people: list[str]) -> AsyncIterator[Any]:
    """Have people take seats by one UPDATE each, all at once."""
    if database.startswith("sqlite"):
        connection = sqlite3.connect(database.partition("///")[2], isolation_level=None, timeout=30)
        connection.execute("PRAGMA synchronous=NORMAL")
        yield None
        for _ in people:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(BARE_SQLITE, (run_id,))
            connection.execute("COMMIT")
        yield None
        connection.close()
        return
    async with asyncpg.create_pool(database.replace("+asyncpg", "", 1), min_size=POOL, max_size=POOL) as pool:
        yield None
        await asyncio.gather(*(pool.execute(BARE_POSTGRES, run_id) for _ in people))
        yield None
