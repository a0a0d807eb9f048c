"""Pushes in SQL: the queue of every webhook, the record, and the attempts."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.push import Attempt, Push, PushState, Reply
from services.notifications.store.tables import push, push_attempt, pushed_message
from shared.kit.database import insert

PAGE = 200
_COLUMNS = tuple(push.c[name] for name in Push.__dataclass_fields__)
_WAITING = sa.text("push.state = 'waiting'")
_MOVING = ("changed_at", "not_before", "until", "state", "attempts", "last_outcome", "claimed_by", "claimed_until")
_UPDATE = (
    sa.update(push)
    .where(push.c.id == sa.bindparam("of_push"))
    .values({name: sa.bindparam(f"new_{name}") for name in _MOVING})
)
_END_ATTEMPT = (
    sa.update(push_attempt)
    .where(push_attempt.c.push_id == sa.bindparam("of_push"), push_attempt.c.number == sa.bindparam("of_number"))
    .values({name: sa.bindparam(name) for name in ("ended_at", "outcome", "status", "answer")})
)
_ENDED = (PushState.delivered.value, PushState.given_up.value)


class Pushes:
    """Loads and keeps pushes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def add(self, messages: dict[str, tuple[str, bytes]], new: list[Push], now: datetime) -> None:
        """Keep messages by id, with type and bytes, and pushes of them; what is there already stays as it is."""
        if not new:
            return
        rows = [{"id": id, "type": word, "body": body, "kept_at": now} for id, (word, body) in messages.items()]
        kept = insert(self.connection, pushed_message)
        # An update, and not nothing: it locks a row that is there against those who drop what nobody needs.
        await self.connection.execute(
            kept.on_conflict_do_update(index_elements=["id"], set_={"kept_at": kept.excluded.kept_at}), rows
        )
        once = insert(self.connection, push).on_conflict_do_nothing(index_elements=["webhook_id", "message_id"])
        await self.connection.execute(once, [_row_of(one) for one in new])

    async def take(self, webhook_id: str, now: datetime, count: int) -> list[tuple[Push, bytes]]:
        """Load and lock what is due for a webhook, the oldest first, with the bytes to be sent."""
        query: sa.Select[Any] = sa.select(*_COLUMNS, pushed_message.c.body).join(pushed_message)
        query = query.where(push.c.webhook_id == webhook_id, _WAITING, push.c.not_before <= now)
        query = query.order_by(push.c.not_before, push.c.id).limit(count)
        found = await self.connection.execute(query.with_for_update(of=push, skip_locked=True))
        return [(_push_of(row), bytes(row.body)) for row in found]

    async def begin_attempts(self, taken: list[Push], holder: str, until: datetime, now: datetime) -> None:
        """Keep that attempts begin, before they do."""
        if not taken:
            return
        held = {"new_claimed_by": holder, "new_claimed_until": until}
        await self.connection.execute(_UPDATE, [{**_changes_of(one), **held} for one in taken])
        rows = [{"push_id": one.id, "number": one.attempts, "started_at": now} for one in taken]
        await self.connection.execute(sa.insert(push_attempt), rows)

    async def end_attempts(self, ended: list[tuple[Push, Reply]], now: datetime) -> None:
        """Keep how attempts ended."""
        rows = [
            {
                "of_push": one.id,
                "of_number": one.attempts,
                "ended_at": now,
                "outcome": reply.outcome.value,
                "status": reply.status,
                "answer": reply.answer,
            }
            for one, reply in ended
        ]
        if rows:
            await self.connection.execute(_END_ATTEMPT, rows)

    async def push(self, id: str, webhook_id: str | None = None, *, lock: bool = False) -> Push | None:
        """Load one push; with a webhook, only that webhook's."""
        query = sa.select(*_COLUMNS).where(push.c.id == id)
        query = query if webhook_id is None else query.where(push.c.webhook_id == webhook_id)
        row = (await self.connection.execute(query.with_for_update() if lock else query)).first()
        return None if row is None else _push_of(row)

    async def locked(self, ids: Iterable[str]) -> dict[str, Push]:
        """Load and lock pushes by their ids."""
        query = sa.select(*_COLUMNS).where(push.c.id.in_(sorted(ids))).order_by(push.c.id)
        return {row.id: _push_of(row) for row in await self.connection.execute(query.with_for_update())}

    async def keep(self, changed: Iterable[Push]) -> None:
        """Keep pushes as they are now; nobody holds them any more."""
        free = {"new_claimed_by": None, "new_claimed_until": None}
        rows = [{**_changes_of(one), **free} for one in changed]
        if rows:
            await self.connection.execute(_UPDATE, rows)

    async def attempts(self, id: str) -> list[Attempt]:
        """Load the attempts at a push in order."""
        columns = [push_attempt.c[name] for name in Attempt.__dataclass_fields__]
        query = sa.select(*columns).where(push_attempt.c.push_id == id).order_by(push_attempt.c.number)
        return [Attempt(**row._mapping) for row in await self.connection.execute(query)]

    async def page(
        self, webhook_id: str, *, state: str | None = None, before: str | None = None, count: int = PAGE
    ) -> list[Push]:
        """Load pushes of a webhook, the newest first, behind a cursor; ids sort by the time they were made."""
        query = sa.select(*_COLUMNS).where(push.c.webhook_id == webhook_id).order_by(push.c.id.desc()).limit(count)
        query = query if state is None else query.where(push.c.state == state)
        query = query if before is None else query.where(push.c.id < before)
        return [_push_of(row) for row in await self.connection.execute(query)]

    async def counts(self, webhook_ids: Iterable[str] | None = None) -> dict[tuple[str, PushState], int]:
        """Count pushes by webhook and state."""
        query = sa.select(push.c.webhook_id, push.c.state, sa.func.count().label("pushes"))
        query = query if webhook_ids is None else query.where(push.c.webhook_id.in_(list(webhook_ids)))
        found = await self.connection.execute(query.group_by(push.c.webhook_id, push.c.state))
        return {(row.webhook_id, PushState(row.state)): row.pushes for row in found}

    async def abandoned(self, now: datetime, holder: str | None) -> list[Push]:
        """Load and lock what is `sending` with an ended lease, or all that a holder had when it died."""
        ended = push.c.claimed_until < now
        mine = sa.false() if holder is None else push.c.claimed_by == holder
        query = sa.select(*_COLUMNS).where(push.c.state == PushState.sending.value, ended | mine).limit(PAGE)
        return [_push_of(row) for row in await self.connection.execute(query.with_for_update(skip_locked=True))]

    async def too_old(self, now: datetime) -> list[Push]:
        """Load and lock what has waited to the end of all trying, because its webhook is paused or does not answer."""
        query = sa.select(*_COLUMNS).where(push.c.state == PushState.waiting.value, push.c.until <= now).limit(PAGE)
        return [_push_of(row) for row in await self.connection.execute(query.with_for_update(skip_locked=True))]

    async def forget(self, before: datetime) -> None:
        """Drop pushes that ended before a moment, and messages that no push needs any more."""
        old = sa.select(push.c.id).where(push.c.state.in_(_ENDED), push.c.changed_at < before)
        await self.connection.execute(sa.delete(push_attempt).where(push_attempt.c.push_id.in_(old)))
        await self.connection.execute(sa.delete(push).where(push.c.state.in_(_ENDED), push.c.changed_at < before))
        needed = sa.exists().where(push.c.message_id == pushed_message.c.id)
        await self.connection.execute(sa.delete(pushed_message).where(pushed_message.c.kept_at < before, ~needed))


def _push_of(row: sa.Row[Any]) -> Push:
    values = {name: getattr(row, name) for name in Push.__dataclass_fields__}
    return Push(**{**values, "state": PushState(row.state)})


def _row_of(one: Push) -> dict[str, Any]:
    return {**vars(one), "state": one.state.value}


def _changes_of(one: Push) -> dict[str, Any]:
    row = _row_of(one)
    return {"of_push": one.id, **{f"new_{name}": row.get(name) for name in _MOVING}}
