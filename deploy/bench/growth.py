"""Does a message cost more in a larger network? More institutions, and more runs that are there already."""

from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from deploy.bench import path, propagate
from deploy.bench.ground import Ground
from deploy.bench.worker import Worker
from shared.kit.clock import monotonic


@dataclass(frozen=True)
class Load:
    """How large the network gets; every size is measured with the same number of messages."""

    institutions: tuple[int, ...] = (1, 4, 13, 100)
    runs: tuple[int, ...] = (1_000, 10_000, 100_000)
    messages: int = 10_000
    changed: int = 1_000
    rounds: int = 3
    sessions: int = 5


async def measure(ground: Ground, load: Load) -> dict[str, Any]:
    """Give the time of a message beside that in the smallest network."""
    worker = await Worker.start()
    try:
        return {
            "database": ground.kind,
            "per_message_ratio": {
                "institutions": await _by_institutions(ground, worker, load),
                "runs": await _by_runs(ground, worker, load),
            },
        }
    finally:
        await worker.stop()


async def _by_institutions(ground: Ground, worker: Worker, load: Load) -> dict[str, float]:
    sent = propagate.Load(messages=load.messages, sessions=load.sessions)
    seconds: dict[int, list[float]] = {number: [] for number in load.institutions}
    for _ in range(load.rounds):
        for number in load.institutions:
            seconds[number].append(1 / await propagate.path_rate(ground, worker, sent, number))
    return _ratios(seconds)


async def _by_runs(ground: Ground, worker: Worker, load: Load) -> dict[str, float]:
    seconds = {runs: await _changed(ground, worker, replace(load, runs=(runs,))) for runs in load.runs}
    return _ratios(seconds)


async def _changed(ground: Ground, worker: Worker, load: Load) -> list[float]:
    """Fill both nodes with runs, then change some, round after round."""
    ground.wipe_redis()
    [runs] = load.runs
    here, there, slugs = ground.database(), ground.database(), path.institutions(1)
    arguments = {"database": here, "redis": ground.redis_url, "institutions": 1, "sessions": load.sessions}
    await worker.do("relay", count=runs, beat=True, **arguments)
    receiver = path.Receiver(there, ground.redis_url, slugs)
    await path.know(receiver.node, slugs)
    found = []
    async with receiver.reading():
        await receiver.stands_at(path.position(runs))
        for round_ in range(load.rounds):
            await worker.prepare("relay", count=load.changed, version=round_ + 2, **arguments)
            began = monotonic()
            worker.go()
            found.append((await receiver.until(load.changed) - began) / load.changed)
            await worker.result()
    await path.close(receiver.node)
    return found


def _ratios(seconds: dict[int, list[float]]) -> dict[str, float]:
    smallest = median(next(iter(seconds.values())))
    return {str(size): round(median(each) / smallest, 2) for size, each in seconds.items()}
