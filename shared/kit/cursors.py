"""The cursors in SQL: where each stream is read, and how often what follows has been attempted."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import insert
from shared.kit.parking import OPEN
from shared.kit.streams import START, Position
from shared.kit.tables import cursor, parked

# Built once: with each message that comes alone, building these took as long as all the rest.
_STORED = sa.select(cursor).where(cursor.c.stream == sa.bindparam("of_stream"))
_MOVE = (
    sa.update(cursor)
    .where(
        cursor.c.stream == sa.bindparam("of_stream"),
        cursor.c.epoch == sa.bindparam("at_epoch"),
        cursor.c.seq == sa.bindparam("at_seq"),
    )
    .values(
        epoch=sa.bindparam("to_epoch"),
        seq=sa.bindparam("to_seq"),
        attempts=1,
        careful_epoch=sa.bindparam("careful_epoch"),
        careful_seq=sa.bindparam("careful_seq"),
    )
    .returning(
        sa.select(
            sa.exists().where(
                parked.c.stream == sa.bindparam("of_stream"), sa.or_(*(parked.c.state == state for state in OPEN))
            )
        )
        .scalar_subquery()
        .label("parked")
    )
)


class Stored(NamedTuple):
    """A cursor as it stands in the database; up to `careful`, messages are taken one by one."""

    position: Position
    attempts: int
    careful: Position


async def stored(connection: AsyncConnection, stream: str) -> Stored | None:
    """Give a stream's cursor."""
    row = (await connection.execute(_STORED, {"of_stream": stream})).first()
    if row is None:
        return None
    return Stored(Position(row.epoch, row.seq), row.attempts, Position(row.careful_epoch, row.careful_seq))


async def make(connection: AsyncConnection, stream: str) -> None:
    """Begin a stream at its start, if it has no cursor yet."""
    row = {"stream": stream, "epoch": START.epoch, "seq": START.seq, "attempts": 0}
    await connection.execute(insert(connection, cursor).values(row).on_conflict_do_nothing())


async def is_at(connection: AsyncConnection, stream: str, position: Position) -> bool:
    """Lock the cursor, and tell whether it is where it is believed to be."""
    found = await connection.execute(sa.select(cursor.c.stream).where(_at(stream, position)).with_for_update())
    return found.first() is not None


async def move(connection: AsyncConnection, stream: str, at: Position, to: Position, careful: Position) -> bool | None:
    """Move a cursor on and count the attempt at what follows; None where it is not where it was.

    Tells whether anything of the stream is parked.
    """
    values = {
        "of_stream": stream,
        "at_epoch": at.epoch,
        "at_seq": at.seq,
        "to_epoch": to.epoch,
        "to_seq": to.seq,
        "careful_epoch": careful.epoch,
        "careful_seq": careful.seq,
    }
    found = (await connection.execute(_MOVE, values)).first()
    return None if found is None else bool(found.parked)


async def put(connection: AsyncConnection, stream: str, to: Position, *, attempts: int) -> None:
    """Set a cursor, wherever it was."""
    values = {"epoch": to.epoch, "seq": to.seq, "attempts": attempts}
    await connection.execute(sa.update(cursor).where(cursor.c.stream == stream).values(values))


async def count_attempt(connection: AsyncConnection, stream: str, at: Position, careful: Position) -> bool:
    """Count that an attempt at what follows begins; False where the cursor is not where it was."""
    if connection.dialect.name == "postgresql":
        # It must outlive this process, not the machine; the effects themselves are committed durably.
        await connection.execute(sa.text("SET LOCAL synchronous_commit TO off"))
    counted = {"attempts": cursor.c.attempts + 1, "careful_epoch": careful.epoch, "careful_seq": careful.seq}
    done = await connection.execute(sa.update(cursor).where(_at(stream, at)).values(counted))
    return done.rowcount == 1


async def take_back_attempt(connection: AsyncConnection, stream: str, at: Position) -> None:
    """Take back the one attempt that was counted in advance."""
    unused = _at(stream, at) & (cursor.c.attempts == 1)
    await connection.execute(sa.update(cursor).where(unused).values(attempts=0, careful_epoch=0, careful_seq=0))


def _at(stream: str, position: Position) -> sa.ColumnElement[bool]:
    return (cursor.c.stream == stream) & (cursor.c.epoch == position.epoch) & (cursor.c.seq == position.seq)
