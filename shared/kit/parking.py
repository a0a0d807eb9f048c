"""Parking: a message that cannot be used waits with its reason, later ones of the same thing queue behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import insert
from shared.kit.streams import Entry, Position
from shared.kit.tables import cursor, parked

OPEN = ("parked", "behind", "retry")


@dataclass(frozen=True)
class Refusal:
    """Why a message was not used: a stable code and a sentence for the operator."""

    code: str
    reason: str


async def open_keys(connection: AsyncConnection, stream: str) -> set[str]:
    """Give the keys of a stream that have something parked."""
    found = await connection.execute(
        sa.select(parked.c.key).distinct().where(parked.c.stream == stream, parked.c.state.in_(OPEN))
    )
    return set(found.scalars())


async def park(
    connection: AsyncConnection,
    stream: str,
    entry: Entry,
    *,
    key: str,
    type_word: str | None,
    refusal: Refusal,
    now: datetime,
    state: str = "parked",
) -> None:
    """Put a message aside with its reason; a position is parked once, and again only if it had been used meanwhile."""
    row = {
        "stream": stream,
        "epoch": entry.position.epoch,
        "seq": entry.position.seq,
        "key": key,
        "type": type_word,
        "payload": entry.payload,
        "code": refusal.code,
        "reason": refusal.reason[:1000],
        "state": state,
        "parked_at": now,
    }
    statement = insert(connection, parked).values(row)
    again = {name: row[name] for name in ("code", "reason", "state", "parked_at")}
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["stream", "epoch", "seq"],
            set_={**again, "ended_at": None, "ended_by": None},
            where=parked.c.state == "used",
        )
    )


async def lock(connection: AsyncConnection, stream: str) -> None:
    """Hold the stream's reader until this transaction ends.

    Without it a message could queue behind one that is just being used or discarded, and wait there for ever.
    """
    await connection.execute(sa.select(cursor.c.stream).where(cursor.c.stream == stream).with_for_update())


async def take_wish(connection: AsyncConnection, stream: str) -> list[str]:
    """Give the keys that an operator wants tried again, as parked again: an attempt may end the process.

    What would stay marked until it succeeds would end every new process, too.
    """
    await lock(connection, stream)
    wished = (parked.c.stream == stream) & (parked.c.state == "retry")
    keys = (await connection.execute(sa.select(parked.c.key).distinct().where(wished))).scalars().all()
    await connection.execute(sa.update(parked).where(wished).values(state="parked"))
    return sorted(keys)


async def give_back_wish(connection: AsyncConnection, stream: str, keys: Sequence[str]) -> None:
    """Ask again for what could not be tried because something did not answer."""
    of_these = (parked.c.stream == stream) & parked.c.key.in_(keys)
    await connection.execute(sa.update(parked).where(of_these, parked.c.state == "parked").values(state="retry"))


async def waiting_of(connection: AsyncConnection, stream: str, key: str) -> list[tuple[int, Entry]]:
    """Give the messages of one thing that wait, in order."""
    found = await connection.execute(
        sa.select(parked)
        .where(parked.c.stream == stream, parked.c.key == key, parked.c.state.in_(OPEN))
        .order_by(parked.c.epoch, parked.c.seq)
    )
    return [(row.id, Entry(Position(row.epoch, row.seq), row.payload, b"")) for row in found]


async def change(connection: AsyncConnection, ids: Sequence[int], **values: Any) -> None:
    """Change some parked messages."""
    await connection.execute(sa.update(parked).where(parked.c.id.in_(ids)).values(**values))


async def counted(connection: AsyncConnection) -> list[sa.Row[Any]]:
    """Give what is parked, grouped by cause: code, stream, messages, things, one reason, since when."""
    found = await connection.execute(
        sa.select(
            parked.c.code,
            parked.c.stream,
            sa.func.count().label("messages"),
            sa.func.count(parked.c.key.distinct()).label("keys"),
            sa.func.min(parked.c.reason).label("reason"),
            sa.func.min(parked.c.parked_at, type_=parked.c.parked_at.type).label("since"),
        )
        .where(parked.c.state.in_(OPEN))
        .group_by(parked.c.code, parked.c.stream)
        .order_by(parked.c.code, parked.c.stream)
    )
    return list(found)


async def ask_retry(connection: AsyncConnection, *, ids: Sequence[int] = (), code: str | None = None) -> int:
    """Ask the running service to try again, by id or by cause; give how many messages that are."""
    which = parked.c.id.in_(ids) if ids else (parked.c.code == code if code else sa.true())
    done = await connection.execute(sa.update(parked).where(which, parked.c.state == "parked").values(state="retry"))
    return done.rowcount


async def discard(connection: AsyncConnection, id_: int, *, by: str, why: str, now: datetime) -> bool:
    """Give a message up, with the name and the reason of who does it; what waited behind it goes on."""
    this = sa.select(parked).where(parked.c.id == id_, parked.c.state.in_(OPEN))
    row = (await connection.execute(this)).first()
    if row is None:
        return False
    await lock(connection, row.stream)
    if (await connection.execute(this)).first() is None:
        return False
    await change(connection, [id_], state="discarded", ended_at=now, ended_by=by, ended_why=why)
    waiting = await waiting_of(connection, row.stream, row.key)
    if waiting:
        first = (parked.c.id == waiting[0][0]) & (parked.c.state == "behind")
        await connection.execute(sa.update(parked).where(first).values(state="retry"))
    return True
