"""A book of seats in memory, for tests of the desk."""

from dataclasses import dataclass, field, replace

from shared.seats.rule import Change, Place, PlaceState, Seats


@dataclass
class MemoryBook:
    """One run or meeting with its places, kept in a dictionary."""

    now: Seats
    places: dict[str, Place] = field(default_factory=dict)

    async def seats(self, occasion_id: str) -> Seats:
        """Give the seats; there is nobody else to lock out."""
        return self.now

    async def place(self, place_id: str) -> tuple[str, Place]:
        """Give a place."""
        return "run", self.places[place_id]

    async def next_waiting(self, occasion_id: str) -> Place | None:
        """Give whoever is next."""
        waiting = [each for each in self.places.values() if each.state is PlaceState.WAITING]
        return min(waiting, key=lambda each: each.turn, default=None)

    async def keep(self, occasion_id: str, change: Change) -> None:
        """Keep a change."""
        self.now = change.seats
        self.places[change.place.id] = change.place

    def limit(self, limit: int) -> None:
        """Give more or fewer seats."""
        self.now = replace(self.now, limit=limit)

    def counted(self) -> tuple[int, int, int]:
        """Count seated, offered and waiting people one by one."""
        states = [each.state for each in self.places.values()]
        return tuple(states.count(s) for s in (PlaceState.SEATED, PlaceState.OFFERED, PlaceState.WAITING))  # type: ignore[return-value]  # three states, three numbers
