"""The book of seats: what the desk reads and writes for runs, in SQL."""

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from services.courses.domain.enrolment import Enrolment, place_of, with_place
from services.courses.domain.run import Run, seats_of, with_seats
from shared.contract.words import EnrolmentState
from shared.seats.rule import Change, Place, Seats


class SeatStore(Protocol):
    """What the book needs of the store."""

    async def locked_run(self, run_id: str, institution: str | None = None) -> Run:
        """Lock a run and give it."""
        ...

    async def keep_counts(self, run: Run) -> None:
        """Keep the counts of a run."""
        ...

    async def enrolment(self, enrolment_id: str, institution: str | None = None) -> Enrolment:
        """Give an enrolment."""
        ...

    async def keep_enrolments(self, *enrolments: Enrolment) -> None:
        """Keep enrolments, new ones and known ones."""
        ...

    async def next_in_queue(self, run_id: str) -> Enrolment | None:
        """Give whoever is next."""
        ...


class SeatBook:
    """A desk's book for one run, locked as long as the transaction lasts; `left_as` names how somebody leaves."""

    def __init__(self, store: SeatStore, run: Run, now: datetime) -> None:
        self.run = run
        self.left_as = EnrolmentState.WITHDRAWN
        self.enrolments: dict[str, Enrolment] = {}
        self._store = store
        self._now = now
        self._unwritten: dict[str, Enrolment] = {}

    @classmethod
    async def opened(cls, store: SeatStore, run_id: str, now: datetime, institution: str | None = None) -> "SeatBook":
        """Lock a run and open its book; raises NotFound."""
        return cls(store, await store.locked_run(run_id, institution), now)

    def admit(self, enrolment: Enrolment) -> Place:
        """Take somebody in who asks; the row is written once the desk has decided."""
        self.enrolments[enrolment.id] = enrolment
        return place_of(enrolment)

    async def seats(self, occasion_id: str) -> Seats:
        """Give the seats of the run, which is locked already."""
        assert occasion_id == self.run.id  # noqa: S101 - a book of one run asked for another is a fault of ours
        return seats_of(self.run, self._now)

    async def place(self, place_id: str) -> tuple[str, Place]:
        """Give an enrolment's place and its run; raises NotFound."""
        enrolment = await self._store.enrolment(place_id)
        self.enrolments[place_id] = enrolment
        return enrolment.run_id, place_of(enrolment)

    async def next_waiting(self, occasion_id: str) -> Place | None:
        """Give whoever is next in the queue."""
        await self.write()
        enrolment = await self._store.next_in_queue(occasion_id)
        if enrolment is None:
            return None
        self.enrolments[enrolment.id] = enrolment
        return place_of(enrolment)

    async def keep(self, _occasion_id: str, change: Change) -> None:
        """Note the enrolment as it is now, and the counts of the run."""
        self.run = with_seats(self.run, change.seats)
        before = self.enrolments[change.place.id]
        after = replace(with_place(before, change.place, self.left_as), version=before.version + 1)
        self.enrolments[after.id] = self._unwritten[after.id] = after

    async def write(self) -> None:
        """Write the enrolments that changed, all at once; `settle` does, and writes the counts of the run."""
        await self._store.keep_enrolments(*self._unwritten.values())
        self._unwritten.clear()
