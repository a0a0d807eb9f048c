"""Deliveries in SQL: the queue, the record, and the attempts."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.answers import Answer
from services.notifications.domain.attempts import Attempt
from services.notifications.domain.delivery import OPEN, Delivery, State
from services.notifications.store.rows import COLUMNS, delivery_of, moving_row_of, new_row_of
from services.notifications.store.tables import attempt, delivery
from shared.kit.database import insert

PAGE = 200


class Deliveries:
    """Loads and keeps deliveries."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def add(self, new: Delivery) -> bool:
        """Keep a new delivery; False where its business key was there before."""
        statement = insert(self.connection, delivery).values(new_row_of(new))
        added = await self.connection.execute(
            statement.on_conflict_do_nothing(index_elements=["business_key"]).returning(delivery.c.id)
        )
        return added.scalar_one_or_none() is not None

    async def delivery(self, id: str, institution: str | None = None, *, lock: bool = False) -> Delivery | None:
        """Load one delivery; with an institution, only that institution's."""
        query = sa.select(*COLUMNS).where(delivery.c.id == id)
        query = query if institution is None else query.where(delivery.c.institution == institution)
        row = (await self.connection.execute(query.with_for_update() if lock else query)).first()
        return None if row is None else delivery_of(row)

    async def keep(self, *changed: Delivery) -> None:
        """Keep deliveries as they are now."""
        for one in changed:
            await self.connection.execute(sa.update(delivery).where(delivery.c.id == one.id).values(moving_row_of(one)))

    async def letter(self, id: str) -> bytes:
        """Load the bytes of a letter."""
        found = await self.connection.execute(sa.select(delivery.c.body).where(delivery.c.id == id))
        return bytes(found.scalar_one())

    async def about(self, institution: str, subject_id: str) -> list[Delivery]:
        """Load and lock all deliveries about one place: a handful."""
        query = sa.select(*COLUMNS).where(delivery.c.institution == institution, delivery.c.subject_id == subject_id)
        return [
            delivery_of(row) for row in await self.connection.execute(query.order_by(delivery.c.id).with_for_update())
        ]

    async def open_of(self, institution: str, participant_id: str) -> list[Delivery]:
        """Load and lock what may still leave to one participant."""
        query = sa.select(*COLUMNS).where(
            delivery.c.institution == institution,
            delivery.c.participant_id == participant_id,
            delivery.c.state.in_(_words(OPEN)),
        )
        return [
            delivery_of(row) for row in await self.connection.execute(query.order_by(delivery.c.id).with_for_update())
        ]

    async def next_due(self, now: datetime, paused_kinds: Collection[str]) -> Delivery | None:
        """Load and lock the first delivery that may leave now; one that another sender has locked is passed over."""
        query = (
            _due(now, paused_kinds)
            .order_by(delivery.c.rank, delivery.c.not_before, delivery.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = (await self.connection.execute(query)).first()
        return None if row is None else delivery_of(row)

    async def has_due(self, now: datetime, paused_kinds: Collection[str]) -> bool:
        """Tell whether anything may leave now, without taking a lock."""
        found = await self.connection.execute(_due(now, paused_kinds).with_only_columns(delivery.c.id).limit(1))
        return found.first() is not None

    async def waiting(self, now: datetime) -> list[Delivery]:
        """Load and lock planned deliveries whose time has come, and open ones that are of no use any more."""
        planned = (delivery.c.state == State.planned.value) & (delivery.c.not_before <= now)
        useless = delivery.c.state.in_(_words(OPEN - {State.sending})) & (delivery.c.useless_after <= now)
        query = sa.select(*COLUMNS).where(planned | useless).order_by(delivery.c.not_before).limit(PAGE)
        found = await self.connection.execute(query.with_for_update(skip_locked=True))
        return [delivery_of(row) for row in found]

    async def abandoned(self, now: datetime, holder: str | None) -> list[Delivery]:
        """Load and lock what is `sending` with an ended lease, or all that a holder had when it died."""
        ended = delivery.c.claimed_until < now
        mine = sa.false() if holder is None else delivery.c.claimed_by == holder
        query = sa.select(*COLUMNS).where(delivery.c.state == State.sending.value, ended | mine).limit(PAGE)
        found = await self.connection.execute(query.with_for_update(skip_locked=True))
        return [delivery_of(row) for row in found]

    async def begin_attempt(self, taken: Delivery, address: str, body: bytes, holder: str, now: datetime) -> None:
        """Keep that an attempt begins, with the bytes it sends, before it does."""
        changes = moving_row_of(taken) | ({} if taken.written else {"address": address, "body": body})
        await self.connection.execute(sa.update(delivery).where(delivery.c.id == taken.id).values(changes))
        await self.connection.execute(
            sa.insert(attempt).values(delivery_id=taken.id, number=taken.attempts, holder=holder, started_at=now)
        )

    async def end_attempt(
        self, id: str, number: int, now: datetime, outcome: str, answer: Answer | None, said: str | None
    ) -> None:
        """Keep how an attempt ended; `said` is the server's answer without addresses."""
        await self.connection.execute(
            sa.update(attempt)
            .where(attempt.c.delivery_id == id, attempt.c.number == number)
            .values(
                ended_at=now,
                outcome=outcome,
                phase=answer.phase.value if answer else None,
                code=answer.code if answer else None,
                answer=said,
            )
        )

    async def attempts(self, id: str) -> list[Attempt]:
        """Load the attempts at a delivery in order."""
        columns = [attempt.c[name] for name in Attempt.__dataclass_fields__]
        found = await self.connection.execute(
            sa.select(*columns).where(attempt.c.delivery_id == id).order_by(attempt.c.number)
        )
        return [Attempt(**row._mapping) for row in found]

    async def times_met(self, outcome: str, institution: str, participant_id: str, since: datetime) -> int:
        """Count the mails to a participant that met a class of failure since a moment."""
        query = (
            sa.select(sa.func.count(sa.distinct(attempt.c.delivery_id)))
            .join(delivery, delivery.c.id == attempt.c.delivery_id)
            .where(
                delivery.c.institution == institution,
                delivery.c.participant_id == participant_id,
                attempt.c.outcome == outcome,
                attempt.c.started_at >= since,
            )
        )
        return int((await self.connection.execute(query)).scalar_one())

    async def page(
        self,
        institution: str | None,
        *,
        state: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        before: str | None = None,
        count: int = PAGE,
    ) -> list[Delivery]:
        """Load deliveries, the newest first, behind a cursor; ids sort by the time they were made."""
        query = sa.select(*COLUMNS).order_by(delivery.c.id.desc()).limit(count)
        wanted = {"institution": institution, "state": state, "kind": kind}
        for name, value in wanted.items():
            query = query if value is None else query.where(delivery.c[name] == value)
        query = query if since is None else query.where(delivery.c.changed_at >= since)
        query = query if before is None else query.where(delivery.c.id < before)
        return [delivery_of(row) for row in await self.connection.execute(query)]


def _due(now: datetime, paused_kinds: Collection[str]) -> sa.Select[Any]:
    # Written out, not bound: only then both databases use the partial index.
    ready = sa.text("delivery.state IN ('queued', 'deferred')")
    query = sa.select(*COLUMNS).where(ready, delivery.c.not_before <= now)
    return query.where(delivery.c.kind.not_in(list(paused_kinds))) if paused_kinds else query


def _words(states: Iterable[State]) -> list[str]:
    return sorted(state.value for state in states)
