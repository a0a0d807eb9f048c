"""Committed outbox rows here, committed rows in another institution's tables there: how many in a second."""

from dataclasses import dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa

from deploy.bench import floors, path
from deploy.bench.ground import Ground
from deploy.bench.naive import NaiveReader
from deploy.bench.worker import Worker
from services.courses.store.tables import network_run
from shared.kit.clock import monotonic
from shared.kit.database import Database


@dataclass(frozen=True)
class Load:
    """How much is sent: the naive app gets less, so that it comes to an end."""

    messages: int = 10_000
    naive: int = 300
    rounds: int = 3
    sessions: int = 5
    peers: bool = False


async def measure(ground: Ground, load: Load) -> dict[str, Any]:
    """Measure floors, the whole path and the reader alone in turn; give medians, all in messages a second."""
    worker = await Worker.start()
    found: dict[str, list[float]] = {name: [] for name in ("naive", "floor", "ours", "reader", "peer")}
    try:
        for _ in range(load.rounds):
            found["naive"].append(await naive_rate(ground, worker, load))
            # What the whole path leaves in Redis is read again by the bare loop and by the reader alone.
            found["ours"].append(await path_rate(ground, worker, load))
            found["floor"].append(await floor_rate(ground, load))
            found["reader"].append(await reader_rate(ground, load))
            found["floor"].append(await floor_rate(ground, load))
            if load.peers:
                from deploy.bench.peers import peer_rate  # noqa: PLC0415 - its packages are an extra

                found["peer"].append(await peer_rate(ground, load.messages, load.sessions))
    finally:
        await worker.stop()
    return _report(ground.kind, {name: median(rates) for name, rates in found.items() if rates})


def _report(kind: str, rate: dict[str, float]) -> dict[str, Any]:
    report = {
        "database": kind,
        "per_s": round(rate["ours"]),
        "naive_per_s": round(rate["naive"]),
        "floor_per_s": round(rate["floor"]),
        "ratio_naive": round(rate["ours"] / rate["naive"], 1),
        "ratio_floor": round(rate["ours"] / rate["floor"], 2),
        "reader_per_s": round(rate["reader"]),
        "reader_ratio_floor": round(rate["reader"] / rate["floor"], 2),
    }
    if "peer" in rate:
        report |= {"peer_per_s": round(rate["peer"]), "ratio_peer": round(rate["reader"] / rate["peer"], 2)}
    return report


async def path_rate(ground: Ground, worker: Worker, load: Load, institutions: int = 1) -> float:
    """Send through outbox, relay, Redis and readers."""
    ground.wipe_redis()
    here, there = ground.database(), ground.database()
    slugs = path.institutions(institutions)
    await worker.prepare(
        "relay", database=here, redis=ground.redis_url,
        count=load.messages, institutions=institutions, sessions=load.sessions,
    )  # fmt: skip
    receiver = path.Receiver(there, ground.redis_url, slugs)
    await path.know(receiver.node, slugs)
    async with receiver.reading():
        await receiver.settled()
        began = monotonic()
        worker.go()
        ended = await receiver.until(load.messages)
        await worker.result()
    await path.close(receiver.node)
    await check_rows(there, load.messages)
    return load.messages / (ended - began)


async def reader_rate(ground: Ground, load: Load) -> float:
    """Read a stream that is full already; give the rate from the first look at the cursor on."""
    slugs = path.institutions(1)
    there = ground.database()
    receiver = path.Receiver(there, ground.redis_url, slugs)
    await path.know(receiver.node, slugs)
    await path.stand_at_start(receiver.node, slugs)
    async with receiver.reading():
        ended = await receiver.until(load.messages)
    await path.close(receiver.node)
    await check_rows(there, load.messages)
    return load.messages / (ended - receiver.made)


async def floor_rate(ground: Ground, load: Load) -> float:
    """Read a full stream with the bare loop."""
    there = ground.database()
    table = await floors.bare_table(there)
    [stream] = map(path.stream_of, path.institutions(1))
    seconds = await floors.bare_loop(table, ground.redis_url, stream, load.messages)
    await table.close()
    await check_rows(there, load.messages)
    return load.messages / seconds


async def naive_rate(ground: Ground, worker: Worker, load: Load) -> float:
    """Send and read one message and one transaction at a time."""
    ground.wipe_redis()
    there = ground.database()
    await worker.prepare(
        "naive_relay", database=ground.database(), redis=ground.redis_url, count=load.naive, sessions=load.sessions
    )
    reader = NaiveReader(there, ground.redis_url, load.naive)
    await reader.broker.start()
    began = monotonic()
    worker.go()
    await reader.done.wait()
    await worker.result()
    await reader.stop()
    await check_rows(there, load.naive)
    return load.naive / (reader.ended - began)


async def check_rows(url: str, wanted: int) -> None:
    """Raise where the table does not hold what was sent: a wrong result has no speed."""
    database = Database(url)
    async with database.reading() as connection:
        found = (await connection.execute(sa.select(sa.func.count()).select_from(network_run))).scalar_one()
    await database.close()
    if found != wanted:
        raise RuntimeError(f"{found} of {wanted} rows arrived")
