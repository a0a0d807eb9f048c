"""The book of seats: what the desk reads and writes for meetings, in SQL."""

from datetime import datetime
from typing import Protocol

from services.events.domain.meeting import Meeting, seats_of, with_seats
from services.events.domain.registration import Registration, place_of, with_place
from shared.seats.rule import Change, Place, Seats


class SeatStore(Protocol):
    """What the book needs of the store."""

    async def locked_meeting(self, meeting_id: str, institution: str | None = None) -> Meeting:
        """Lock a meeting and give it."""
        ...

    async def keep_meeting(self, meeting: Meeting) -> None:
        """Keep a meeting."""
        ...

    async def registration(self, registration_id: str, institution: str | None = None) -> Registration:
        """Give a registration."""
        ...

    async def keep_registration(self, registration: Registration) -> None:
        """Keep a registration."""
        ...

    async def next_in_queue(self, meeting_id: str) -> Registration | None:
        """Give whoever is next."""
        ...


class SeatBook:
    """A desk's book over the store."""

    def __init__(self, store: SeatStore, now: datetime) -> None:
        self._store = store
        self._now = now

    async def seats(self, occasion_id: str) -> Seats:
        """Lock the seats of a meeting and give them; raises NotFound."""
        return seats_of(await self._store.locked_meeting(occasion_id), self._now)

    async def place(self, place_id: str) -> tuple[str, Place]:
        """Give a registration's place and its meeting; raises NotFound."""
        registration = await self._store.registration(place_id)
        return registration.meeting_id, place_of(registration)

    async def next_waiting(self, occasion_id: str) -> Place | None:
        """Give whoever is next in the queue."""
        registration = await self._store.next_in_queue(occasion_id)
        return place_of(registration) if registration else None

    async def keep(self, occasion_id: str, change: Change) -> None:
        """Keep the counts of the meeting and the registration as they are now."""
        meeting = await self._store.locked_meeting(occasion_id)
        registration = await self._store.registration(change.place.id)
        await self._store.keep_meeting(with_seats(meeting, change.seats))
        await self._store.keep_registration(with_place(registration, change.place))
