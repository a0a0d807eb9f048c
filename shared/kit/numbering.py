"""Numbers what was committed: two statements on PostgreSQL, where each is a round trip; on SQLite one transaction."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import upsert
from shared.kit.lease import IS_HELD, Held
from shared.kit.paging import within_a_page
from shared.kit.streams import GENESIS, Entry, Position, chain
from shared.kit.tables import outbox, stream_head

PAGE = 1000
Numbered = dict[str, list[tuple[str, Entry]]]
_NOBODYS = Held("", "", 0)
"""Where nobody else can write, no lease is asked for: no lease has the token 0."""

_HELD = sa.exists().where(IS_HELD)
# What waits, each with the head of its stream. Relays ask this in every turn: to build it costs more than to run it.
_ROWS = (
    sa.select(
        outbox.c.id, outbox.c.stream, outbox.c.key, outbox.c.type, outbox.c.payload,
        stream_head.c.epoch, stream_head.c.seq, stream_head.c.hash,
    )
    .select_from(outbox.outerjoin(stream_head, stream_head.c.stream == outbox.c.stream))
    .where(outbox.c.seq.is_(None))
    .order_by(outbox.c.id)
)  # fmt: skip
_WAITING = within_a_page(_ROWS, PAGE)
_WAITING_FOR_THE_HOLDER = within_a_page(_ROWS.where(_HELD), PAGE)

_NUMBER = "UPDATE outbox SET epoch = ?, seq = ?, hash = ? WHERE id = ?"
# The statement is a transaction by itself, so it holds the lease, and looks again at the rows: whoever took the lease,
# or blanked one of them since they were read, has the say, and nothing is numbered.
_NUMBER_ALL = """
WITH held AS MATERIALIZED (
  SELECT token FROM lease WHERE name = $10 AND holder = $11 AND token = $12 FOR UPDATE
), same AS MATERIALIZED (
  SELECT outbox.id FROM outbox JOIN unnest($4::bigint[], $5::text[]) AS number (id, type) USING (id, type)
  WHERE outbox.seq IS NULL ORDER BY outbox.id FOR UPDATE OF outbox
), sure AS MATERIALIZED (
  SELECT 1 WHERE ($12 = 0 OR EXISTS (SELECT FROM held)) AND (SELECT count(*) FROM same) = cardinality($4::bigint[])
), heads AS (
  INSERT INTO stream_head (stream, epoch, seq, hash)
  SELECT * FROM unnest($6::text[], $7::int[], $8::bigint[], $9::bytea[]) WHERE EXISTS (SELECT FROM sure)
  ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, hash = excluded.hash
)
UPDATE outbox SET epoch = number.epoch, seq = number.seq, hash = number.hash
FROM unnest($1::int[], $2::bigint[], $3::bytea[], $4::bigint[]) AS number (epoch, seq, hash, id)
WHERE outbox.id = number.id AND EXISTS (SELECT FROM sure)
"""


async def number_waiting(
    connection: AsyncConnection, is_clear: Callable[[str], bool], held: Held | None = None
) -> tuple[Numbered, set[str]]:
    """Give committed messages positions: (key, entry) for each stream, and the streams that are not yet clear.

    At most 1000 messages and 1.5 MiB; nothing where the lease is not held any more. On PostgreSQL the connection may be
    one that commits each statement. Numbers are given here and never at insert: the order of serials is not the order
    of commits, and a reader would pass over a row that was committed late (Eventuous#222, kamu-cli#1398).
    """
    query = _WAITING if held is None else _WAITING_FOR_THE_HOLDER
    waiting = (await connection.execute(query, held._asdict() if held else None)).all()
    unclear = {row.stream for row in waiting if not is_clear(row.stream)}
    if unclear:
        waiting = [row for row in waiting if row.stream not in unclear]
    if not waiting:
        return {}, unclear
    numbered, heads = _count_on(waiting)
    if connection.dialect.name != "postgresql":
        await _keep(connection, waiting, numbered, heads)
    elif not await _keep_at_once(connection, waiting, numbered, heads, held or _NOBODYS):
        return {}, unclear
    return _by_stream(waiting, numbered), unclear


def _count_on(waiting: Sequence[sa.Row[Any]]) -> tuple[list[Entry], dict[str, Entry]]:
    """Give the entries that follow the heads of their streams, and the last one of each stream."""
    numbered: list[Entry] = []
    heads: dict[str, Entry] = {}
    for row in waiting:
        position, previous = _end_of(heads.get(row.stream), row)
        position = Position(position.epoch, position.seq + 1)
        entry = Entry(position, row.payload, chain(previous, row.stream, position, row.payload))
        heads[row.stream] = entry
        numbered.append(entry)
    return numbered, heads


def _end_of(head: Entry | None, row: sa.Row[Any]) -> tuple[Position, bytes]:
    if head is not None:
        return head.position, head.hash
    return (Position(1, 0), GENESIS) if row.hash is None else (Position(row.epoch, row.seq), row.hash)


def _by_stream(waiting: Sequence[sa.Row[Any]], numbered: list[Entry]) -> Numbered:
    found: Numbered = defaultdict(list)
    for row, entry in zip(waiting, numbered, strict=True):
        found[row.stream].append((row.key, entry))
    return found


async def _keep(
    connection: AsyncConnection, waiting: Sequence[sa.Row[Any]], numbered: list[Entry], heads: dict[str, Entry]
) -> None:
    changes = [(*entry.position, entry.hash, row.id) for row, entry in zip(waiting, numbered, strict=True)]
    await connection.exec_driver_sql(_NUMBER, changes)
    names = ("stream", "epoch", "seq", "hash")
    rows = [dict(zip(names, (stream, *head.position, head.hash), strict=True)) for stream, head in heads.items()]
    await upsert(connection, stream_head, rows, newer=None)


async def _keep_at_once(
    connection: AsyncConnection,
    waiting: Sequence[sa.Row[Any]],
    numbered: list[Entry],
    heads: dict[str, Entry],
    held: Held,
) -> bool:
    rows = [(*entry.position, entry.hash, row.id, row.type) for row, entry in zip(waiting, numbered, strict=True)]
    ends = [(stream, *head.position, head.hash) for stream, head in heads.items()]
    columns = map(list, (*zip(*rows, strict=True), *zip(*ends, strict=True)))
    done = await connection.exec_driver_sql(_NUMBER_ALL, (*columns, *held))
    return done.rowcount == len(rows)
