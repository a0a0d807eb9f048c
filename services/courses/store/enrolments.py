"""Enrolments in SQL, and the queue of a run in its order."""

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.courses.domain.enrolment import OPEN, SEATED, Enrolment
from services.courses.store import tables
from shared.contract.words import EnrolmentState
from shared.kit import matching
from shared.kit.database import upsert
from shared.kit.errors import NotFound
from shared.seats.rule import Priority

_ENROLMENT = tuple(each.name for each in fields(Enrolment))
_OPEN = [state.value for state in OPEN]
# A seat stays taken when its person has completed the run before the others.
_TAKEN = [*SEATED, EnrolmentState.COMPLETED]
t = tables.enrolment


@dataclass(frozen=True)
class Queued:
    """An enrolment with its place in the queue, where it waits; `known` if asking for it changed nothing."""

    enrolment: Enrolment
    place_in_queue: int | None
    known: bool = False


class EnrolmentStore:
    """Loads and keeps enrolments."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def enrolment(self, enrolment_id: str, institution: str | None = None) -> Enrolment:
        """Give an enrolment; raises NotFound, also where it is another institution's."""
        query = sa.select(t).where(t.c.id == enrolment_id)
        query = query if institution is None else query.where(t.c.institution == institution)
        found = await self._all(query)
        if not found:
            raise NotFound(f"there is no enrolment '{enrolment_id}'")
        return found[0]

    async def locked_enrolment(self, enrolment_id: str) -> Enrolment:
        """Give an enrolment whose run is locked, and it thereby; raises NotFound."""
        return matching.matched(await self.enrolment(enrolment_id))

    async def enrolments_in(self, run_id: str, participant_ids: Collection[str]) -> dict[str, Enrolment]:
        """Give participants' enrolments in a run by participant, whatever became of them."""
        query = sa.select(t).where(t.c.run_id == run_id, t.c.participant_id.in_(participant_ids))
        return {found.participant_id: found for found in await self._all(query)}

    async def enrolments(self, run_id: str, after: str, limit: int) -> list[Queued]:
        """Give a page of a run's enrolments with their places in the queue."""
        found = await self._all(sa.select(t).where(t.c.run_id == run_id, t.c.id > after).order_by(t.c.id).limit(limit))
        queue = await self.queue(run_id) if any(each.state is EnrolmentState.WAITING for each in found) else {}
        return [Queued(each, queue.get(each.id)) for each in found]

    async def people_in(self, run_id: str) -> tuple[int, int, int]:
        """Count the people of a run: who took a seat, whose seat is held, and who waits."""
        query = sa.select(t.c.state, sa.func.count().label("people")).where(t.c.run_id == run_id).group_by(t.c.state)
        people = {row.state: int(row.people) for row in await self.connection.execute(query)}
        taken = sum(people.get(state, 0) for state in _TAKEN)
        return taken, people.get(EnrolmentState.OFFERED, 0), people.get(EnrolmentState.WAITING, 0)

    async def open_enrolments(self, run_id: str) -> list[Enrolment]:
        """Give all enrolments of a run that have not ended, in the order in which people asked."""
        return await self._all(sa.select(t).where(t.c.run_id == run_id, t.c.state.in_(_OPEN)).order_by(t.c.id))

    async def open_enrolments_of(self, participant_id: str) -> list[Enrolment]:
        """Give all enrolments of a participant that have not ended, in the order in which runs are locked."""
        query = sa.select(t).where(t.c.participant_id == participant_id, t.c.state.in_(_OPEN))
        return await self._all(query.order_by(t.c.run_id))

    async def next_in_queue(self, run_id: str) -> Enrolment | None:
        """Give whoever is next: by priority, then time, then id."""
        found = await self._all(_queue(run_id, t).limit(1))
        return found[0] if found else None

    async def queue(self, run_id: str) -> dict[str, int]:
        """Give the place of everybody who waits, counted from one."""
        found = await self.connection.execute(_queue(run_id, t.c.id))
        return {row.id: place for place, row in enumerate(found, start=1)}

    async def place_in_queue(self, enrolment: Enrolment) -> int | None:
        """Give the place of one who waits, counted from one; None for everybody else."""
        if enrolment.state is not EnrolmentState.WAITING:
            return None
        turn = sa.tuple_(t.c.priority, t.c.since, t.c.id)
        # The bound values take the columns' types: SQLite keeps moments without a zone.
        mine = sa.tuple_(
            sa.literal(int(enrolment.priority), t.c.priority.type),
            sa.literal(enrolment.since, t.c.since.type),
            sa.literal(enrolment.id, t.c.id.type),
        )
        before = sa.select(sa.func.count()).where(
            t.c.run_id == enrolment.run_id, t.c.state == EnrolmentState.WAITING.value, turn < mine
        )
        return int((await self.connection.execute(before)).scalar_one()) + 1

    async def places_in_queue(self, run_id: str, enrolments: Collection[Enrolment]) -> dict[str, int]:
        """Give the places of those who wait, by enrolment."""
        waiting = [each for each in enrolments if each.state is EnrolmentState.WAITING]
        if len(waiting) > 1:
            return await self.queue(run_id)
        return {each.id: place for each in waiting if (place := await self.place_in_queue(each)) is not None}

    async def last_in_queue(self, run_id: str) -> datetime | None:
        """Give since when the last one waits."""
        query = sa.select(sa.func.max(t.c.since)).where(t.c.run_id == run_id, t.c.state == EnrolmentState.WAITING.value)
        found: datetime | None = (await self.connection.execute(query)).scalar()
        return found

    async def due_offers(self, now: datetime, limit: int) -> list[str]:
        """Name the offered enrolments whose deadline has passed, the oldest deadline first."""
        query = sa.select(t.c.id).where(t.c.state == sa.literal_column("'offered'"), t.c.offered_until <= now)
        return list((await self.connection.execute(query.order_by(t.c.offered_until).limit(limit))).scalars())

    async def keep_enrolments(self, *enrolments: Enrolment) -> None:
        """Keep enrolments as they are now, new ones and known ones."""
        await upsert(self.connection, t, [_row(each) for each in enrolments], newer=None)

    async def _all(self, query: sa.Select[Any]) -> list[Enrolment]:
        return [_enrolment(row) for row in await self.connection.execute(query)]


def _queue(run_id: str, *columns: Any) -> sa.Select[Any]:
    waiting = sa.select(*columns).where(t.c.run_id == run_id, t.c.state == EnrolmentState.WAITING.value)
    return waiting.order_by(t.c.priority, t.c.since, t.c.id)


def _enrolment(row: sa.Row[Any]) -> Enrolment:
    plain = Enrolment(**{name: row._mapping[name] for name in _ENROLMENT})
    return replace(plain, state=EnrolmentState(row.state), priority=Priority(row.priority))


def _row(enrolment: Enrolment) -> dict[str, Any]:
    return {name: getattr(enrolment, name) for name in _ENROLMENT}
