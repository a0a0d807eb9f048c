"""The desk: does what the rule decides on a store, and offers every seat that gets free to whoever is next."""

from datetime import datetime, timedelta
from typing import Protocol

from shared.seats import rule
from shared.seats.rule import Change, Place, Seats


class Book(Protocol):
    """What a store gives the desk; `seats` locks the occasion's row, so that two desks never decide at once."""

    async def seats(self, occasion_id: str) -> Seats:
        """Lock the seats of a run or meeting and give them; raises NotFound."""
        ...

    async def place(self, place_id: str) -> tuple[str, Place]:
        """Give a place and the id of its occasion; raises NotFound."""
        ...

    async def next_waiting(self, occasion_id: str) -> Place | None:
        """Give whoever is next in the queue."""
        ...

    async def keep(self, occasion_id: str, change: Change) -> None:
        """Keep the seats and the place as they are now."""
        ...


class Desk:
    """Changes places at runs or meetings; every call gives what changed, in order, to be told."""

    def __init__(self, book: Book, now: datetime, offer_time: timedelta) -> None:
        self._book = book
        self._now = now
        self._offer_time = offer_time

    async def ask(self, occasion_id: str, place: Place) -> list[Change]:
        """Give a new place a seat or a turn in the queue."""
        seats = await self._book.seats(occasion_id)
        return await self._kept(occasion_id, rule.ask(seats, place))

    async def hold(self, occasion_id: str, place: Place) -> list[Change]:
        """Hold a seat for a new place, or give it a turn in the queue."""
        seats = await self._book.seats(occasion_id)
        return await self._kept(occasion_id, rule.hold(seats, place, self._now, self._offer_time))

    async def accept(self, place_id: str) -> list[Change]:
        """Take an offered seat."""
        occasion_id, seats, place = await self._locked(place_id)
        return await self._kept(occasion_id, rule.accept(seats, place, self._now))

    async def decline(self, place_id: str) -> list[Change]:
        """Give an offered seat back."""
        occasion_id, seats, place = await self._locked(place_id)
        return await self._kept(occasion_id, rule.decline(seats, place))

    async def expire(self, place_id: str) -> list[Change]:
        """End an offer whose deadline has passed."""
        occasion_id, seats, place = await self._locked(place_id)
        return await self._kept(occasion_id, rule.expire(seats, place, self._now))

    async def withdraw(self, place_id: str) -> list[Change]:
        """Leave the queue, the offer or the seat."""
        occasion_id, seats, place = await self._locked(place_id)
        return await self._kept(occasion_id, rule.withdraw(seats, place))

    async def ask_again(self, place_id: str) -> list[Change]:
        """Come back after an offer expired."""
        occasion_id, seats, place = await self._locked(place_id)
        return await self._kept(occasion_id, rule.ask_again(seats, place, self._now))

    async def offer_free(self, occasion_id: str) -> list[Change]:
        """Offer every free seat to whoever is next: after each change, and when the limit grew."""
        changes: list[Change] = []
        seats = await self._book.seats(occasion_id)
        while seats.open and seats.free and seats.waiting:
            place = await self._book.next_waiting(occasion_id)
            if place is None:
                break
            change = rule.offer(seats, place, self._now, self._offer_time)
            await self._book.keep(occasion_id, change)
            changes.append(change)
            seats = change.seats
        return changes

    async def _locked(self, place_id: str) -> tuple[str, Seats, Place]:
        occasion_id, _ = await self._book.place(place_id)
        seats = await self._book.seats(occasion_id)
        # Read again behind the lock: another process may have moved the place while this one waited.
        _, place = await self._book.place(place_id)
        return occasion_id, seats, place

    async def _kept(self, occasion_id: str, change: Change) -> list[Change]:
        await self._book.keep(occasion_id, change)
        if change.seats.free and change.seats.waiting:
            return [change, *await self.offer_free(occasion_id)]
        return [change]
