"""The outbox and the log in SQL: messages wait without a number, get one from the relay, and stay to refill Redis."""

from collections import defaultdict
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.envelope import MessageRefused, open_envelope
from shared.kit.database import upsert
from shared.kit.numbering import PAGE
from shared.kit.paging import within_a_page
from shared.kit.streams import GENESIS, START, Entry, Position, chain
from shared.kit.tables import blanked, outbox, stream_head

_ENDS = sa.select(stream_head.c.stream, stream_head.c.epoch, stream_head.c.seq)
# Asked of every stream at a start, and again and again: to build a statement costs more than to run it.
_STREAM: sa.BindParameter[str] = sa.bindparam("of_stream")
_HEAD = sa.select(stream_head).where(stream_head.c.stream == _STREAM)
_LAST = (
    sa.select(outbox.c.epoch, outbox.c.seq)
    .where(outbox.c.stream == _STREAM, outbox.c.seq.is_not(None))
    .order_by(outbox.c.epoch.desc(), outbox.c.seq.desc())
    .limit(1)
)
_BLANKED = sa.select(blanked).limit(PAGE)
_HASH_AT = sa.select(outbox.c.hash).where(
    outbox.c.stream == _STREAM, outbox.c.epoch == sa.bindparam("at_epoch"), outbox.c.seq == sa.bindparam("at_seq")
)
_RANKED = (
    sa.select(
        outbox.c.key,
        outbox.c.epoch,
        outbox.c.seq,
        outbox.c.hash,
        sa.func.row_number()
        .over(partition_by=outbox.c.key, order_by=(outbox.c.epoch.desc(), outbox.c.seq.desc()))
        .label("rank"),
    )
    .where(outbox.c.stream == _STREAM, outbox.c.seq.is_not(None))
    .subquery()
)
_NEWEST = sa.select(_RANKED).where(_RANKED.c.rank == 1)


async def _heads(connection: AsyncConnection, streams: set[str]) -> dict[str, tuple[Position, bytes]]:
    found = await connection.execute(
        sa.select(stream_head).where(stream_head.c.stream.in_(sorted(streams))).with_for_update()
    )
    return {row.stream: (Position(row.epoch, row.seq), row.hash) for row in found}


async def ends_of_log(connection: AsyncConnection) -> dict[str, Position]:
    """Give the position of the last numbered message of every stream that this service writes."""
    found = (await connection.execute(_ENDS)).all()
    return {
        row.stream: Position(row.epoch, row.seq) if row.seq else await end_of_log(connection, row.stream)
        for row in found
    }


async def end_of_log(connection: AsyncConnection, stream: str) -> Position:
    """Give the position of the last numbered message of a stream; START where there is none."""
    head = (await connection.execute(_HEAD, {"of_stream": stream})).first()
    if head is not None and head.seq:
        return Position(head.epoch, head.seq)
    last = (await connection.execute(_LAST, {"of_stream": stream})).first()
    return Position(last.epoch, last.seq) if last else START


async def length_of_log(connection: AsyncConnection, stream: str, behind: Position = START) -> int:
    """Give how many numbered messages the log still has of a stream, behind a position."""
    place = sa.tuple_(outbox.c.epoch, outbox.c.seq) > sa.tuple_(behind.epoch, behind.seq)
    numbered = sa.select(sa.func.count()).where(outbox.c.stream == stream, outbox.c.seq.is_not(None), place)
    return (await connection.execute(numbered)).scalar_one()


async def hash_of(connection: AsyncConnection, stream: str, index: int) -> tuple[Position, bytes] | None:
    """Give position and hash of a numbered message that the log still has, counted from 0; None behind the last."""
    found = await connection.execute(
        sa.select(outbox.c.epoch, outbox.c.seq, outbox.c.hash)
        .where(outbox.c.stream == stream, outbox.c.seq.is_not(None))
        .order_by(outbox.c.epoch, outbox.c.seq)
        .offset(index)
        .limit(1)
    )
    row = found.first()
    return None if row is None else (Position(row.epoch, row.seq), row.hash)


async def epoch_of(connection: AsyncConnection, stream: str) -> int:
    """Give the epoch in which the next message of a stream is numbered, as far as one was begun; 0 before the first."""
    found = await connection.execute(sa.select(stream_head.c.epoch).where(stream_head.c.stream == stream))
    return found.scalar_one_or_none() or 0


async def unnumber_behind(connection: AsyncConnection, stream: str, after: Position) -> None:
    """Take their numbers from the messages behind a position, so that they are told again."""
    behind = sa.tuple_(outbox.c.epoch, outbox.c.seq) > sa.tuple_(after.epoch, after.seq)
    await connection.execute(
        sa.update(outbox)
        .where(outbox.c.stream == stream, outbox.c.seq.is_not(None), behind)
        .values(epoch=None, seq=None, hash=None)
    )


async def keep_lost(connection: AsyncConnection, stream: str, entries: list[Entry], now: datetime) -> None:
    """Put messages back into the log that were published before, with the positions they have had.

    Where a backup was made between a commit and its number, some of them wait in it: they would be told a second time,
    behind what is newer.
    """
    if not entries:
        return
    await _drop_waiting(connection, stream, {entry.payload for entry in entries})
    rows = []
    for entry in entries:
        key, type_word, told_at = _said(entry, now)
        rows.append(
            {
                "stream": stream,
                "key": key,
                "type": type_word,
                "payload": entry.payload,
                "told_at": told_at,
                "epoch": entry.position.epoch,
                "seq": entry.position.seq,
                "hash": entry.hash,
            }
        )
    await connection.execute(sa.insert(outbox), rows)


async def _drop_waiting(connection: AsyncConnection, stream: str, told: set[bytes]) -> None:
    # The database compares: what waits may be all that a node told while its line was cut.
    waiting = (outbox.c.stream == stream) & outbox.c.seq.is_(None)
    await connection.execute(sa.delete(outbox).where(waiting & outbox.c.payload.in_(told)))


def _said(entry: Entry, now: datetime) -> tuple[str, str, datetime]:
    try:
        envelope = open_envelope(entry.payload)
    except MessageRefused:
        return f"?{entry.position}", "?", now
    return envelope.subject, envelope.type, min(envelope.time, now)


async def begin_epoch(connection: AsyncConnection, stream: str, epoch: int, previous: bytes | None) -> None:
    """Have the next message of a stream numbered as the first one of an epoch."""
    row = {"stream": stream, "epoch": epoch, "seq": 0, "hash": previous or GENESIS}
    await upsert(connection, stream_head, [row], newer=None)


async def log_after(connection: AsyncConnection, stream: str, after: Position, count: int = PAGE) -> list[Entry]:
    """Give up to `count` numbered messages behind a position, and no more than 1.5 MiB."""
    behind = (
        sa.select(outbox.c.epoch, outbox.c.seq, outbox.c.payload, outbox.c.hash)
        .where(outbox.c.stream == stream, sa.tuple_(outbox.c.epoch, outbox.c.seq) > sa.tuple_(after.epoch, after.seq))
        .order_by(outbox.c.epoch, outbox.c.seq)
    )
    found = await connection.execute(within_a_page(behind, count))
    return [Entry(Position(row.epoch, row.seq), row.payload, row.hash) for row in found]


async def hash_at(connection: AsyncConnection, stream: str, position: Position) -> bytes | None:
    """Give the hash that this service's log has at a position, or None where the log is trimmed."""
    if position == START:
        return None
    at = {"of_stream": stream, "at_epoch": position.epoch, "at_seq": position.seq}
    return (await connection.execute(_HASH_AT, at)).scalar_one_or_none()


async def goes_past(connection: AsyncConnection, stream: str, position: Position) -> bool:
    """Tell whether our log never had a position: by their hashes its neighbours there are next to each other."""
    place, given = sa.tuple_(outbox.c.epoch, outbox.c.seq), sa.tuple_(position.epoch, position.seq)
    ours = sa.select(outbox.c.epoch, outbox.c.seq, outbox.c.payload, outbox.c.hash).where(outbox.c.stream == stream)
    down = (outbox.c.epoch.desc(), outbox.c.seq.desc())
    before = (await connection.execute(ours.where(place < given).order_by(*down).limit(1))).first()
    behind = (
        await connection.execute(ours.where(place > given).order_by(outbox.c.epoch, outbox.c.seq).limit(1))
    ).first()
    if before is None or behind is None:
        return False
    return chain(before.hash, stream, Position(behind.epoch, behind.seq), behind.payload) == bytes(behind.hash)


async def newest_by_key(connection: AsyncConnection, stream: str) -> dict[str, Entry]:
    """Give the newest numbered message of every key without its payload: all of them are as large as the state."""
    found = await connection.execute(_NEWEST, {"of_stream": stream})
    return {row.key: Entry(Position(row.epoch, row.seq), b"", row.hash) for row in found}


async def versions_told(connection: AsyncConnection, stream: str) -> dict[str, int]:
    """Give the version in which each thing was told last, with or without a number; what is no message is left out."""
    last = sa.select(sa.func.max(outbox.c.id)).where(outbox.c.stream == stream).group_by(outbox.c.key)
    found = await connection.execute(sa.select(outbox.c.key, outbox.c.payload).where(outbox.c.id.in_(last)))
    told: dict[str, int] = {}
    for row in found:
        try:
            told[row.key] = int(open_envelope(row.payload).data["version"])
        except (MessageRefused, KeyError, TypeError, ValueError):
            continue
    return told


async def with_payloads(connection: AsyncConnection, stream: str, keyed: dict[str, Entry]) -> dict[str, Entry]:
    """Give entries of the log, with what they hold; one that was dropped meanwhile is left out."""
    positions = [entry.position for entry in keyed.values()]
    found = await connection.execute(
        sa.select(outbox.c.key, outbox.c.epoch, outbox.c.seq, outbox.c.payload, outbox.c.hash).where(
            outbox.c.stream == stream, sa.tuple_(outbox.c.epoch, outbox.c.seq).in_(positions)
        )
    )
    return {row.key: Entry(Position(row.epoch, row.seq), row.payload, row.hash) for row in found}


def digest(state: dict[str, Entry]) -> str:
    """Give one hash over the keys and their newest entries."""
    total = sha256()
    for key in sorted(state):
        total.update(key.encode() + b"\n" + state[key].hash)
    return total.hexdigest()


async def blank(connection: AsyncConnection, stream: str, key: str, type_word: str, payload: bytes) -> None:
    """Put other bytes in the place of all that was told of a thing; what Redis has of it is removed by the relay.

    The hashes stay: the chain still binds what was said, and nobody can say what it was.
    """
    told = (outbox.c.stream == stream) & (outbox.c.key == key) & (outbox.c.type != type_word)
    # Not looked up before: what the relay numbered between a look and the change would stay in Redis.
    changed = sa.update(outbox).where(told).values(type=type_word, payload=payload)
    found = await connection.execute(changed.returning(outbox.c.stream, outbox.c.epoch, outbox.c.seq))
    await upsert(connection, blanked, [dict(row._mapping) for row in found if row.seq is not None], newer=None)


async def blanked_entries(connection: AsyncConnection) -> dict[str, list[Position]]:
    """Give up to 1000 entries that Redis has to lose, by stream."""
    wanted: dict[str, list[Position]] = defaultdict(list)
    for row in await connection.execute(_BLANKED):
        wanted[row.stream].append(Position(row.epoch, row.seq))
    return wanted


async def removed(connection: AsyncConnection, stream: str, positions: list[Position]) -> None:
    """Note that entries are gone from Redis."""
    gone = sa.tuple_(blanked.c.epoch, blanked.c.seq).in_(positions)
    await connection.execute(sa.delete(blanked).where(blanked.c.stream == stream, gone))


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
