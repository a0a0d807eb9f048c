"""The outbox and the log in SQL: messages wait without a number, get one from the relay, and stay to refill Redis."""

from collections import defaultdict
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import upsert
from shared.kit.streams import GENESIS, START, Entry, Position, chain
from shared.kit.tables import outbox, stream_head

PAGE = 500
PAGE_BYTES = 4 * 1024 * 1024


async def number_waiting(connection: AsyncConnection) -> dict[str, list[tuple[str, Entry]]]:
    """Give up to 500 committed messages their positions; the result has (key, entry) for each stream.

    Numbers are given here and never at insert: the order of serials is not the order of commits, and a reader
    would pass over a row that was committed late (Eventuous#222, kamu-cli#1398).
    """
    waiting = (
        await connection.execute(
            sa.select(outbox.c.id, outbox.c.stream, outbox.c.key, outbox.c.payload)
            .where(outbox.c.seq.is_(None))
            .order_by(outbox.c.id)
            .limit(PAGE)
        )
    ).all()
    if not waiting:
        return {}
    heads = await _heads(connection, {row.stream for row in waiting})
    numbered: dict[str, list[tuple[str, Entry]]] = defaultdict(list)
    changes = []
    for row in waiting:
        position, previous = heads.get(row.stream, (Position(1, 0), GENESIS))
        position = Position(position.epoch, position.seq + 1)
        hash_ = chain(previous, row.stream, position, row.payload)
        heads[row.stream] = (position, hash_)
        numbered[row.stream].append((row.key, Entry(position, row.payload, hash_)))
        changes.append({"row": row.id, "at_epoch": position.epoch, "at_seq": position.seq, "with_hash": hash_})
    await connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == sa.bindparam("row"))
        .values(epoch=sa.bindparam("at_epoch"), seq=sa.bindparam("at_seq"), hash=sa.bindparam("with_hash")),
        changes,
    )
    touched = [
        {"stream": stream, "epoch": heads[stream][0].epoch, "seq": heads[stream][0].seq, "hash": heads[stream][1]}
        for stream in numbered
    ]
    await upsert(connection, stream_head, touched, newer=None)
    return numbered


async def _heads(connection: AsyncConnection, streams: set[str]) -> dict[str, tuple[Position, bytes]]:
    found = await connection.execute(
        sa.select(stream_head).where(stream_head.c.stream.in_(sorted(streams))).with_for_update()
    )
    return {row.stream: (Position(row.epoch, row.seq), row.hash) for row in found}


async def all_heads(connection: AsyncConnection) -> dict[str, tuple[Position, bytes]]:
    """Give the last position and hash of every stream that this service writes."""
    found = await connection.execute(sa.select(stream_head))
    return {row.stream: (Position(row.epoch, row.seq), row.hash) for row in found}


async def log_after(connection: AsyncConnection, stream: str, after: Position, count: int = PAGE) -> list[Entry]:
    """Give up to `count` numbered messages behind a position, and no more than about 4 MiB."""
    found = await connection.execute(
        sa.select(outbox.c.epoch, outbox.c.seq, outbox.c.payload, outbox.c.hash)
        .where(outbox.c.stream == stream, sa.tuple_(outbox.c.epoch, outbox.c.seq) > sa.tuple_(after.epoch, after.seq))
        .order_by(outbox.c.epoch, outbox.c.seq)
        .limit(count)
    )
    page: list[Entry] = []
    size = 0
    for row in found:
        size += len(row.payload)
        if page and size > PAGE_BYTES:
            break
        page.append(Entry(Position(row.epoch, row.seq), row.payload, row.hash))
    return page


async def hash_at(connection: AsyncConnection, stream: str, position: Position) -> bytes | None:
    """Give the hash that this service's log has at a position, or None where the log is trimmed."""
    if position == START:
        return None
    found = await connection.execute(
        sa.select(outbox.c.hash).where(
            outbox.c.stream == stream, outbox.c.epoch == position.epoch, outbox.c.seq == position.seq
        )
    )
    return found.scalar_one_or_none()


async def newest_by_key(connection: AsyncConnection, stream: str) -> dict[str, Entry]:
    """Give the newest numbered message of every key."""
    rank = sa.func.row_number().over(partition_by=outbox.c.key, order_by=(outbox.c.epoch.desc(), outbox.c.seq.desc()))
    ranked = (
        sa.select(outbox.c.key, outbox.c.epoch, outbox.c.seq, outbox.c.payload, outbox.c.hash, rank.label("rank"))
        .where(outbox.c.stream == stream, outbox.c.seq.is_not(None))
        .subquery()
    )
    found = await connection.execute(sa.select(ranked).where(ranked.c.rank == 1))
    return {row.key: Entry(Position(row.epoch, row.seq), row.payload, row.hash) for row in found}


def digest(state: dict[str, Entry]) -> str:
    """Give one hash over the keys and their newest entries."""
    total = sha256()
    for key in sorted(state):
        total.update(key.encode() + b"\n" + state[key].hash)
    return total.hexdigest()


async def trim_log(connection: AsyncConnection, stream: str, before: datetime, *, keep_newest: bool) -> Position | None:
    """Drop what was told before a moment, if wanted except the newest of each key; give where the stream may begin.

    The same answer comes again when nothing is left to drop, so that a stream which could not be trimmed is trimmed
    the next time.
    """
    last = (
        await connection.execute(
            sa.select(outbox.c.epoch, outbox.c.seq)
            .where(outbox.c.stream == stream, outbox.c.seq.is_not(None), outbox.c.told_at < before)
            .order_by(outbox.c.epoch.desc(), outbox.c.seq.desc())
            .limit(1)
        )
    ).first()
    if last is None:
        return None if keep_newest else await _first_left(connection, stream)
    condition = (
        (outbox.c.stream == stream)
        & outbox.c.seq.is_not(None)
        & (sa.tuple_(outbox.c.epoch, outbox.c.seq) <= sa.tuple_(last.epoch, last.seq))
    )
    if keep_newest:
        other = outbox.alias()
        condition &= sa.exists().where(
            other.c.stream == stream,
            other.c.key == outbox.c.key,
            sa.tuple_(other.c.epoch, other.c.seq) > sa.tuple_(outbox.c.epoch, outbox.c.seq),
        )
    await connection.execute(sa.delete(outbox).where(condition))
    return Position(last.epoch, last.seq + 1)


async def _first_left(connection: AsyncConnection, stream: str) -> Position | None:
    left = await log_after(connection, stream, START, 1)
    if left:
        return left[0].position
    head = (await _heads(connection, {stream})).get(stream)
    return None if head is None else Position(head[0].epoch, head[0].seq + 1)
