"""One of several processes that race for seats: reads rounds as JSON lines, asks and leaves as told, says when done."""

import asyncio
import json
import sys
from random import Random
from typing import Any

from services.courses.domain.run import Run
from services.courses.handlers import asking, seats
from services.courses.store import Store
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.errors import Problem
from shared.kit.settings import Settings
from shared.kit.work import Works
from tests.integration.courses.courses_house import OWNER


class Unlocked(Store):
    """The store with the lock taken out: it looks, lets others look, and decides on what it saw."""

    async def locked_run(self, run_id: str, institution: str | None = None) -> Run:
        """Give the run as it was in another transaction, unlocked."""
        before = await self.run(run_id, institution) if self.earlier is None else self.earlier
        await asyncio.sleep(0.005)
        return before

    earlier: Run | None = None


async def race(url: str, lock: bool) -> None:
    """Do round after round until the input ends."""
    database = Database(url)
    clock = SystemClock()
    store = Store if lock else Unlocked
    works: Works[Any] = Works(database, store, clock, Ids(Random(), clock), Settings())
    while line := await asyncio.to_thread(sys.stdin.readline):
        todo = json.loads(line)
        await asyncio.gather(*(_act(works, lock, word, id_, todo["run_id"]) for word, id_ in todo["acts"]))
        sys.stdout.write("done\n")
        sys.stdout.flush()
    await database.close()


async def _act(works: Works[Any], lock: bool, word: str, id_: str, run_id: str) -> None:
    try:
        earlier = None
        if not lock and works.database.is_sqlite:
            async with works.looking() as looking:
                earlier = await looking.run(run_id)
            await asyncio.sleep(0.02)
        async with works() as work:
            if not lock:
                work.store.earlier = earlier
            if word == "ask":
                await asking.ask(run_id, id_, OWNER, work)
            elif word == "withdraw":
                await seats.leave(id_, OWNER, "withdraw", work)
            else:
                await getattr(seats, word)(id_, OWNER, work)
    except Problem as problem:
        sys.stderr.write(f"{word}: {problem.code}\n")


if __name__ == "__main__":
    asyncio.run(race(sys.argv[1], sys.argv[2] == "lock"))
