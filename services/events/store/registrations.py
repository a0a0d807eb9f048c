"""Registrations in SQL, and the queue of a meeting in its order."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.events.domain.registration import CURRENT, OPEN, SEATED, Participant, Registration
from services.events.store import tables
from shared.contract.words import RegistrationState
from shared.kit import matching
from shared.kit.errors import NotFound

_REGISTRATION = tuple(each.name for each in fields(Registration))
_OPEN = [state.value for state in OPEN]
_CURRENT = [state.value for state in CURRENT]
t = tables.registration


@dataclass(frozen=True)
class Listed:
    """A registration with its person, unless erased, and its place in the queue, where it waits."""

    registration: Registration
    participant: Participant | None
    place_in_queue: int | None


class RegistrationStore:
    """Loads and keeps registrations."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def registration(self, registration_id: str, institution: str | None = None) -> Registration:
        """Give a registration; raises NotFound, also where it is another institution's."""
        query = sa.select(t).where(t.c.id == registration_id)
        query = query if institution is None else query.where(t.c.institution == institution)
        return await self._one(query, registration_id)

    async def locked_registration(self, registration_id: str) -> Registration:
        """Lock a registration and give it; raises NotFound. Locks go down: meeting, participant, registration."""
        query = sa.select(t).where(t.c.id == registration_id).with_for_update()
        return matching.matched(await self._one(query, registration_id))

    async def _one(self, query: sa.Select[Any], registration_id: str) -> Registration:
        found = await self._all(query)
        if not found:
            raise NotFound(f"there is no registration '{registration_id}'")
        return found[0]

    async def registration_in(self, meeting_id: str, participant_id: str) -> Registration | None:
        """Give a person's registration at a meeting that stands in the way of another one."""
        found = await self._all(
            sa.select(t).where(
                t.c.meeting_id == meeting_id, t.c.participant_id == participant_id, t.c.state.in_(_CURRENT)
            )
        )
        return found[0] if found else None

    async def registrations_of(self, participant_id: str) -> list[Registration]:
        """Give all registrations of a person, in the order in which meetings are locked."""
        query = sa.select(t).where(t.c.participant_id == participant_id).order_by(t.c.meeting_id, t.c.id)
        return await self._all(query)

    async def open_registrations(self, meeting_id: str) -> list[Registration]:
        """Give all confirmed registrations that have not ended, in the order in which people asked."""
        query = sa.select(t).where(t.c.meeting_id == meeting_id, t.c.state.in_(_OPEN))
        return await self._all(query.order_by(t.c.since, t.c.id))

    async def people_in(self, meeting_id: str) -> tuple[int, int, int]:
        """Count the people of a meeting: who has a seat, whose seat is held, and who waits."""
        counted = sa.select(t.c.state, sa.func.count().label("people")).where(t.c.meeting_id == meeting_id)
        found = await self.connection.execute(counted.group_by(t.c.state))
        people = {row.state: int(row.people) for row in found}
        taken = sum(people.get(state, 0) for state in SEATED)
        return taken, people.get(RegistrationState.OFFERED, 0), people.get(RegistrationState.WAITING, 0)

    async def unconfirmed(self, meeting_id: str) -> int:
        """Count who has not confirmed yet."""
        query = sa.select(sa.func.count()).where(
            t.c.meeting_id == meeting_id, t.c.state == RegistrationState.UNCONFIRMED.value
        )
        return int((await self.connection.execute(query)).scalar_one())

    async def registrations(self, meeting_id: str, after: str, limit: int) -> list[Listed]:
        """Give a page of a meeting's registrations with their people and their places in the queue."""
        query = _with_people().where(t.c.meeting_id == meeting_id, t.c.id > after).order_by(t.c.id).limit(limit)
        rows = [row._mapping for row in await self.connection.execute(query)]
        waits = any(row["state"] == RegistrationState.WAITING.value for row in rows)
        queue = await self.queue(meeting_id) if waits else {}
        return [Listed(_registration(row), _person(row), queue.get(row["id"])) for row in rows]

    async def listed_registration(self, registration_id: str, institution: str) -> Listed:
        """Give a registration with its person and its place in the queue; raises NotFound."""
        query = _with_people().where(t.c.id == registration_id, t.c.institution == institution)
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise NotFound(f"there is no registration '{registration_id}'")
        found = _registration(row._mapping)
        return Listed(found, _person(row._mapping), await self.place_in_queue(found))

    async def next_in_queue(self, meeting_id: str) -> Registration | None:
        """Give whoever is next: by time, then id."""
        found = await self._all(_queue(meeting_id, t).limit(1))
        return found[0] if found else None

    async def last_in_queue(self, meeting_id: str) -> datetime | None:
        """Give since when the last one waits."""
        query = sa.select(sa.func.max(t.c.since)).where(
            t.c.meeting_id == meeting_id, t.c.state == RegistrationState.WAITING.value
        )
        found: datetime | None = (await self.connection.execute(query)).scalar()
        return found

    async def queue(self, meeting_id: str) -> dict[str, int]:
        """Give the place of everybody who waits, counted from one."""
        found = await self.connection.execute(_queue(meeting_id, t.c.id))
        return {row.id: place for place, row in enumerate(found, start=1)}

    async def place_in_queue(self, registration: Registration) -> int | None:
        """Give the place of one who waits, counted from one; None for everybody else."""
        if registration.state is not RegistrationState.WAITING:
            return None
        # The bound values take the columns' types: SQLite keeps moments without a zone.
        mine = sa.tuple_(sa.literal(registration.since, t.c.since.type), sa.literal(registration.id, t.c.id.type))
        before = sa.select(sa.func.count()).where(
            t.c.meeting_id == registration.meeting_id,
            t.c.state == RegistrationState.WAITING.value,
            sa.tuple_(t.c.since, t.c.id) < mine,
        )
        return int((await self.connection.execute(before)).scalar_one()) + 1

    async def due_offers(self, now: datetime, limit: int) -> list[str]:
        """Name the offered registrations whose deadline has passed, the oldest deadline first."""
        query = sa.select(t.c.id).where(t.c.state == sa.literal_column("'offered'"), t.c.offered_until <= now)
        return list((await self.connection.execute(query.order_by(t.c.offered_until).limit(limit))).scalars())

    async def due_unconfirmed(self, now: datetime, limit: int) -> list[str]:
        """Name the registrations that nobody confirmed in time."""
        query = sa.select(t.c.id).where(t.c.state == sa.literal_column("'unconfirmed'"), t.c.confirm_until <= now)
        return list((await self.connection.execute(query.order_by(t.c.confirm_until).limit(limit))).scalars())

    async def add_registration(self, registration: Registration) -> None:
        """Keep a new registration."""
        await self.connection.execute(sa.insert(t), [_row(registration)])

    async def keep_registration(self, registration: Registration) -> None:
        """Keep a registration that is known, as it is now."""
        await self.connection.execute(sa.update(t).where(t.c.id == registration.id).values(_row(registration)))

    async def delete_registration(self, registration_id: str) -> None:
        """Forget a registration."""
        await self.connection.execute(sa.delete(t).where(t.c.id == registration_id))

    async def _all(self, query: sa.Select[Any]) -> list[Registration]:
        return [_registration(row._mapping) for row in await self.connection.execute(query)]


def _queue(meeting_id: str, *columns: Any) -> sa.Select[Any]:
    waiting = sa.select(*columns).where(t.c.meeting_id == meeting_id, t.c.state == RegistrationState.WAITING.value)
    return waiting.order_by(t.c.since, t.c.id)


def _with_people() -> sa.Select[Any]:
    p = tables.participant
    query = sa.select(t, p.c.name, p.c.mail, p.c.language, p.c.version.label("contact_version"))
    return query.outerjoin_from(t, p, p.c.id == t.c.participant_id)


def _registration(row: sa.RowMapping) -> Registration:
    plain = Registration(**{name: row[name] for name in _REGISTRATION})
    return replace(plain, state=RegistrationState(row["state"]))


def _person(row: sa.RowMapping) -> Participant | None:
    if row["mail"] is None:
        return None
    person = (row["participant_id"], row["institution"], row["name"], row["mail"], row["language"])
    return Participant(*person, row["contact_version"])


def _row(registration: Registration) -> dict[str, Any]:
    return {name: getattr(registration, name) for name in _REGISTRATION}
