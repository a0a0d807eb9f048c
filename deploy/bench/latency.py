"""From the commit of one change to its commit at another institution, a hundred times a second."""

import asyncio
from dataclasses import dataclass
from itertools import islice
from statistics import median, quantiles
from typing import Any

from deploy.bench import floors, messages, path
from deploy.bench.ground import Ground
from deploy.bench.worker import Worker
from shared.contract.envelope import encode


@dataclass(frozen=True)
class Load:
    """How many changes, how often; the first ones, on connections that have never been used, are not counted."""

    changes: int = 600
    rate: float = 100.0
    rounds: int = 3
    sessions: int = 5
    first: int = 50

    @property
    def sent(self) -> int:
        """Give how many are sent."""
        return self.first + self.changes


async def measure(ground: Ground, load: Load) -> dict[str, Any]:
    """Measure the floor and the running nodes in turn; give medians over the rounds, in milliseconds."""
    worker = await Worker.start()
    floor, ours = [], []
    try:
        for _ in range(load.rounds):
            floor.append(_percentiles((await floor_times(ground, load))[load.first :]))
            ours.append(_percentiles((await path_times(ground, worker, load))[load.first :]))
    finally:
        await worker.stop()
    p50, p99 = (median(each) for each in zip(*ours, strict=True))
    floor_p50, floor_p99 = (median(each) for each in zip(*floor, strict=True))
    return {
        "database": ground.kind,
        "p50_ms": round(p50 * 1000, 2),
        "p99_ms": round(p99 * 1000, 2),
        "floor_p50_ms": round(floor_p50 * 1000, 2),
        "floor_p99_ms": round(floor_p99 * 1000, 2),
        "ratio_p50": round(p50 / floor_p50, 2),
        "ratio_p99": round(p99 / floor_p99, 2),
    }


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[98]


async def floor_times(ground: Ground, load: Load) -> list[float]:
    """Commit, XADD, XREAD, commit, by one connection each, at the same rate."""
    ground.wipe_redis()
    told = islice(messages.published(path.institutions(1), sessions=load.sessions), load.sent)
    payloads = [encode(each, id=f"msg_{n:026}", time=messages.NOW) for n, each in enumerate(told)]
    table = await floors.bare_table(ground.database())
    try:
        return await floors.bare_steps(table, ground.redis_url, payloads, load.rate)
    finally:
        await table.close()


async def path_times(ground: Ground, worker: Worker, load: Load) -> list[float]:
    """Run both nodes; the sender says when each change was committed, the receiver when it was there."""
    ground.wipe_redis()
    slugs = path.institutions(1)
    receiver = path.Receiver(ground.database(), ground.redis_url, slugs)
    await path.know(receiver.node, slugs)
    async with receiver.reading():
        await receiver.settled()
        await worker.prepare(
            "tell", database=ground.database(), redis=ground.redis_url,
            count=load.sent, rate=load.rate, sessions=load.sessions,
        )  # fmt: skip
        await asyncio.sleep(0.5)
        worker.go()
        await receiver.until(load.sent)
        committed: list[float] = await worker.result()
    await path.close(receiver.node)
    seen = receiver.seen
    there = [seen[path.position(n)] for n in range(1, load.sent + 1)]
    return [max(0.0, at - begun) for at, begun in zip(there, committed, strict=True)]
