"""The cursors in SQL: where each stream is read, and how often what follows has been attempted."""

from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import insert_in
from shared.kit.parking import OPEN
from shared.kit.streams import START, Position
from shared.kit.tables import cursor, parked

# Built once: with each message that comes alone, building these took as long as all the rest.
_AT = (
    (cursor.c.stream == sa.bindparam("of_stream"))
    & (cursor.c.epoch == sa.bindparam("at_epoch"))
    & (cursor.c.seq == sa.bindparam("at_seq"))
)
_TO: dict[str, Any] = {"epoch": sa.bindparam("to_epoch"), "seq": sa.bindparam("to_seq")}
_CAREFUL: dict[str, Any] = {
    "careful_epoch": sa.bindparam("up_to_epoch"),
    "careful_seq": sa.bindparam("up_to_seq"),
}
_STORED = sa.select(cursor).where(cursor.c.stream == sa.bindparam("of_stream"))
_IS_AT = sa.select(cursor.c.stream).where(_AT).with_for_update()
_MOVE = (
    sa.update(cursor)
    .where(_AT)
    .values(**_TO, attempts=1, **_CAREFUL)
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
_PUT = (
    sa.update(cursor)
    .where(cursor.c.stream == sa.bindparam("of_stream"))
    .values(**_TO, attempts=sa.bindparam("new_attempts"))
)
_COUNT = sa.update(cursor).where(_AT).values(attempts=cursor.c.attempts + 1, **_CAREFUL)
_TAKE_BACK = sa.update(cursor).where(_AT, cursor.c.attempts == 1).values(attempts=0, careful_epoch=0, careful_seq=0)
# It must outlive this process, not the machine; the effects themselves are committed durably.
_OUTLIVES_A_PROCESS = sa.text("SET LOCAL synchronous_commit TO off")


@cache
def _make(dialect: str) -> sa.sql.base.Executable:
    start = {"epoch": START.epoch, "seq": START.seq, "attempts": 0}
    return insert_in(dialect, cursor).values(stream=sa.bindparam("of_stream"), **start).on_conflict_do_nothing()


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
    await connection.execute(_make(connection.dialect.name), {"of_stream": stream})


async def is_at(connection: AsyncConnection, stream: str, position: Position) -> bool:
    """Lock the cursor, and tell whether it is where it is believed to be."""
    return (await connection.execute(_IS_AT, _at(stream, position))).first() is not None


async def move(connection: AsyncConnection, stream: str, at: Position, to: Position, careful: Position) -> bool | None:
    """Move a cursor on and count the attempt at what follows; None where it is not where it was.

    Tells whether anything of the stream is parked.
    """
    found = (await connection.execute(_MOVE, {**_at(stream, at), **_to(to), **_careful(careful)})).first()
    return None if found is None else bool(found.parked)


async def put(connection: AsyncConnection, stream: str, to: Position, *, attempts: int) -> None:
    """Set a cursor, wherever it was."""
    await connection.execute(_PUT, {"of_stream": stream, **_to(to), "new_attempts": attempts})


async def count_attempt(connection: AsyncConnection, stream: str, at: Position, careful: Position) -> bool:
    """Count that an attempt at what follows begins; False where the cursor is not where it was."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_OUTLIVES_A_PROCESS)
    done = await connection.execute(_COUNT, {**_at(stream, at), **_careful(careful)})
    return done.rowcount == 1


async def take_back_attempt(connection: AsyncConnection, stream: str, at: Position) -> None:
    """Take back the one attempt that was counted in advance."""
    await connection.execute(_TAKE_BACK, _at(stream, at))


def _at(stream: str, position: Position) -> dict[str, Any]:
    return {"of_stream": stream, "at_epoch": position.epoch, "at_seq": position.seq}


def _to(position: Position) -> dict[str, int]:
    return {"to_epoch": position.epoch, "to_seq": position.seq}


def _careful(position: Position) -> dict[str, int]:
    return {"up_to_epoch": position.epoch, "up_to_seq": position.seq}
