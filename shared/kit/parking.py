"""Parking: a message that cannot be used waits with its reason, later ones of the same thing queue behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import insert
from shared.kit.streams import Entry, Position
from shared.kit.tables import parked

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
    """Put a message aside with its reason; the same position is never parked twice."""
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
    await connection.execute(insert(connection, parked).values(row).on_conflict_do_nothing())


async def asked_for_retry(connection: AsyncConnection, stream: str) -> dict[str, list[tuple[int, Entry]]]:
    """Give the messages, in order and by key, whose first one an operator wants tried again."""
    wanted = sa.select(parked.c.key).where(parked.c.stream == stream, parked.c.state == "retry")
    found = await connection.execute(
        sa.select(parked)
        .where(parked.c.stream == stream, parked.c.key.in_(wanted), parked.c.state.in_(OPEN))
        .order_by(parked.c.epoch, parked.c.seq)
        .with_for_update()
    )
    by_key: dict[str, list[tuple[int, Entry]]] = {}
    for row in found:
        by_key.setdefault(row.key, []).append((row.id, Entry(Position(row.epoch, row.seq), row.payload, b"")))
    return by_key


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
    row = (await connection.execute(sa.select(parked).where(parked.c.id == id_, parked.c.state.in_(OPEN)))).first()
    if row is None:
        return False
    await change(connection, [id_], state="discarded", ended_at=now, ended_by=by, ended_why=why)
    next_one = sa.select(sa.func.min(parked.c.id)).where(
        parked.c.stream == row.stream, parked.c.key == row.key, parked.c.state == "behind"
    )
    await connection.execute(sa.update(parked).where(parked.c.id == next_one.scalar_subquery()).values(state="retry"))
    return True
