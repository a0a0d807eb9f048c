"""Two hundred people ask for twenty seats at once, in four processes."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from statistics import median
from typing import Any

import sqlalchemy as sa

from deploy.bench import messages, path
from deploy.bench.ground import Ground
from deploy.bench.worker import Worker
from services.courses.domain.participant import Participant
from services.courses.domain.run import Offer
from services.courses.handlers import runs
from services.courses.store import Store
from services.courses.store.tables import enrolment
from shared.contract.words import RunKind, RunState
from shared.kit.clock import monotonic
from shared.kit.node import Node

OWNER = "haus-000"


@dataclass(frozen=True)
class Load:
    """How many ask for how many seats."""

    people: int = 200
    seats: int = 20
    processes: int = 4
    rounds: int = 5


class Race:
    """One database with people, and processes in which they ask."""

    def __init__(self, url: str, node: Node[Store], load: Load, workers: list[Worker]) -> None:
        self._url = url
        self._node = node
        self._load = load
        self._workers = workers
        self._numbers = count(1)
        self._people = [f"participant_{number:026}" for number in range(load.people)]

    async def people(self) -> None:
        """Begin the files of everybody."""
        async with self._node.works() as work:
            await work.store.add_offer(Offer("offer_00000001", OWNER, "Berufssprachkurs", RunKind.OTHER))
            for id_ in self._people:
                person = Participant(id=id_, institution=OWNER, language="de", name="Ada Beispiel")
                await work.store.add_participant(person, datetime.now(UTC).date())

    async def run(self) -> str:
        """Publish a run with free seats."""
        run_id = f"run_{next(self._numbers):026}"
        plan = messages.plans(messages.SESSIONS)[0]
        made = replace(
            plan, id=run_id, institution=OWNER, offer_id="offer_00000001", state=RunState.DRAFT, minimum=0,
            capacity=self._load.seats, registered_elsewhere=0,
        )  # fmt: skip
        async with self._node.works() as work:
            await runs.add_run(made, work)
            await runs.publish(run_id, OWNER, work)
        return run_id

    async def seconds(self, job: str, run_id: str, **arguments: Any) -> float:
        """Let everybody ask at once; give the time until the last one is answered."""
        each = [self._people[number :: len(self._workers)] for number in range(len(self._workers))]
        for worker, people in zip(self._workers, each, strict=True):
            await worker.prepare(job, database=self._url, run_id=run_id, people=people, **arguments)
        began = monotonic()
        for worker in self._workers:
            worker.go()
        await asyncio.gather(*(worker.result() for worker in self._workers))
        return monotonic() - began

    async def given(self, run_id: str) -> int:
        """Count who has a seat."""
        query = sa.select(sa.func.count()).where(enrolment.c.run_id == run_id, enrolment.c.state == "enrolled")
        async with self._node.database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())


async def measure(ground: Ground, load: Load) -> dict[str, Any]:
    """Measure the bare update and the service in turn; count who got a seat too many, with the lock and without."""
    url = ground.database()
    node = path.node_at(url, ground.redis_url)
    workers = [await Worker.start() for _ in range(load.processes)]
    race = Race(url, node, load, workers)
    floor, ours, oversold, control = [], [], 0, 0
    try:
        await race.people()
        for _ in range(load.rounds):
            floor.append(load.people / await race.seconds("take", await race.run()))
            run_id = await race.run()
            ours.append(load.people / await race.seconds("ask", run_id, institution=OWNER, lock=True))
            oversold += max(0, await race.given(run_id) - load.seats)
            run_id = await race.run()
            await race.seconds("ask", run_id, institution=OWNER, lock=False)
            control += max(0, await race.given(run_id) - load.seats)
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))
        await path.close(node)
    return {
        "database": ground.kind,
        "per_s": round(median(ours)),
        "floor_per_s": round(median(floor)),
        "ratio": round(median(ours) / median(floor), 2),
        "oversold": oversold,
        "control_oversold": control,
    }
