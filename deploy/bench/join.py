"""A newcomer takes over what all others have told: snapshot into empty tables."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Any

from deploy.bench import floors, messages, path
from deploy.bench.ground import Ground
from deploy.bench.propagate import check_rows
from deploy.bench.worker import Worker
from shared.contract.envelope import encode
from shared.kit.clock import monotonic


@dataclass(frozen=True)
class Load:
    """How many runs there are already."""

    runs: int = 100_000
    rounds: int = 3
    sessions: int = 5


async def measure(ground: Ground, load: Load) -> dict[str, Any]:
    """Measure the bare copy and the snapshot in turn; give medians."""
    worker = await Worker.start()
    ground.wipe_redis()
    await worker.do(
        "relay", database=ground.database(), redis=ground.redis_url,
        count=load.runs, institutions=1, sessions=load.sessions, beat=True,
    )  # fmt: skip
    await worker.stop()
    rows = _rows(load)
    floor, ours = [], []
    for _ in range(load.rounds):
        floor.append(await _copied(ground, rows))
        ours.append(await _joined(ground, load.runs))
    return {
        "database": ground.kind,
        "seconds": round(median(ours), 2),
        "floor_seconds": round(median(floor), 2),
        "ratio": round(median(ours) / median(floor), 2),
        "rows": load.runs,
    }


def _rows(load: Load) -> list[tuple[Any, ...]]:
    told = islice(messages.published(path.institutions(1), sessions=load.sessions), load.runs)
    now = datetime.now(UTC)
    return [floors.row_of(encode(each, id=f"msg_{n:026}", time=now), now) for n, each in enumerate(told)]


async def _copied(ground: Ground, rows: list[tuple[Any, ...]]) -> float:
    url = ground.database()
    table = await floors.bare_table(url)
    began = monotonic()
    await table.copy(rows)
    seconds = monotonic() - began
    await table.close()
    await check_rows(url, len(rows))
    return seconds


async def _joined(ground: Ground, runs: int) -> float:
    url = ground.database()
    node = path.node_at(url, ground.redis_url)
    [stream] = map(path.stream_of, path.institutions(1))
    await path.know(node, path.institutions(1))
    reader = node.subscriptions._make(stream)
    began = monotonic()
    await reader.catch_up()
    seconds = monotonic() - began
    await path.close(node)
    await check_rows(url, runs)
    return seconds
