"""What a node of the month has in the end, read past the code under test from its tables and its Redis."""

import json
import resource
from collections import defaultdict
from datetime import timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.month.place import Place
from deploy.simulation.recorder import heard
from services.courses.store import tables as courses
from shared.kit import outbox, tables
from shared.kit.redis_streams import RedisStreams
from shared.network.tables import quarantine


def days(number: int) -> timedelta:
    """Give so many days."""
    return timedelta(days=number)


def cpu() -> float:
    """Give the seconds that this process has worked."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round(used.ru_utime + used.ru_stime, 2)


async def read_to(connection: AsyncConnection) -> dict[str, int]:
    """Give how far each stream is read."""
    rows = await connection.execute(sa.select(tables.cursor.c.stream, tables.cursor.c.seq))
    return {row.stream: row.seq for row in rows}


async def of_courses(connection: AsyncConnection, place: Place) -> dict[str, Any]:
    """Give the hash of all public runs, how each stream was heard, what was told, and what was parked."""
    t = courses.network_run
    total = sha256()
    for row in await connection.execute(sa.select(t).order_by(t.c.institution, t.c.run_id)):
        total.update(json.dumps([row.institution, row.run_id, row.version, row.picture], sort_keys=True).encode())
    o = tables.outbox
    told = sa.select(o.c.stream, sa.func.max(o.c.seq).label("told")).where(o.c.seq.is_not(None)).group_by(o.c.stream)
    parked = await connection.execute(sa.select(sa.func.count()).select_from(tables.parked))
    return {
        "table": total.hexdigest(),
        "heard": await _heard(connection),
        "told": {row.stream: row.told for row in await connection.execute(told)},
        "parked": parked.scalar_one(),
    }


async def _heard(connection: AsyncConnection) -> dict[str, dict[str, int]]:
    """Give of each stream how many messages were used, and how many of them not right behind the one before."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"used": 0, "last": 0, "astray": 0})
    rows = await connection.execute(sa.select(heard.c.stream, heard.c.epoch, heard.c.seq).order_by(heard.c.id))
    for row in rows:
        one = found[row.stream]
        one["used"] += 1
        one["astray"] += int((row.epoch, row.seq) != (1, one["last"] + 1))
        one["last"] = row.seq
    return dict(found)


async def of_states(streams: RedisStreams, pubs: list[str]) -> str:
    """Give one hash over the newest of each thing in every public stream, as the node's Redis has it."""
    total = sha256()
    for stream in sorted(pubs):
        total.update(f"{stream} {outbox.digest(await streams.state_index(stream))}\n".encode())
    return total.hexdigest()


async def refused(connection: AsyncConnection) -> list[str]:
    """Give what was ever refused at the border."""
    rows = await connection.execute(sa.select(quarantine))
    return [f"{row.stream} {row.epoch}-{row.seq} {row.code} {row.state}" for row in rows]
