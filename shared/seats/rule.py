"""The rule for seats: held and taken never exceed the limit, and no seat stays free while somebody waits."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from shared.contract.words import SeatCause


class Priority(IntEnum):
    """The order of the queue: obliged people first, then entitled ones, then others (DeuFöV § 8); then time."""

    OBLIGED = 0
    ENTITLED = 1
    OTHER = 2


class PlaceState(StrEnum):
    """A person's way to a seat."""

    WAITING = "waiting"
    OFFERED = "offered"
    SEATED = "seated"
    EXPIRED = "expired"
    GONE = "gone"


@dataclass(frozen=True)
class Seats:
    """The seats of one run or meeting: `limit` is what may be given, `ends` is when no offer makes sense any more."""

    limit: int
    taken: int = 0
    held: int = 0
    waiting: int = 0
    open: bool = True
    ends: datetime | None = None

    @property
    def free(self) -> int:
        """Give how many seats nobody has and nobody is offered."""
        return max(0, self.limit - self.taken - self.held)


@dataclass(frozen=True)
class Place:
    """One person's place at one run or meeting."""

    id: str
    state: PlaceState
    priority: Priority
    since: datetime
    offered_until: datetime | None = None

    @property
    def turn(self) -> tuple[int, datetime, str]:
        """Give what the queue is sorted by."""
        return (self.priority, self.since, self.id)


@dataclass(frozen=True)
class Change:
    """What became of a place, and why."""

    seats: Seats
    place: Place
    cause: SeatCause


class SeatRefused(Exception):  # noqa: N818 - a refusal of the rule, told to a person as an answer and not as a fault
    """The rule does not allow this; `outcome` is `already_done`, `too_late` or `full`."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def ask(seats: Seats, place: Place) -> Change:
    """Give a seat, or a place in the queue; nobody passes those who wait."""
    if not seats.open:
        raise SeatRefused("too_late")
    if seats.free and not seats.waiting:
        seated = replace(place, state=PlaceState.SEATED)
        return Change(replace(seats, taken=seats.taken + 1), seated, SeatCause.GIVEN)
    waiting = replace(place, state=PlaceState.WAITING)
    return Change(replace(seats, waiting=seats.waiting + 1), waiting, SeatCause.QUEUED)


def hold(seats: Seats, place: Place, now: datetime, offer_time: timedelta) -> Change:
    """Hold a seat for somebody who has not asked for it themselves, or give a turn in the queue like anybody's."""
    if not seats.open:
        raise SeatRefused("too_late")
    waiting = replace(place, state=PlaceState.WAITING)
    queued = replace(seats, waiting=seats.waiting + 1)
    if seats.free and not seats.waiting:
        return offer(queued, waiting, now, offer_time)
    return Change(queued, waiting, SeatCause.QUEUED)


def offer(seats: Seats, place: Place, now: datetime, offer_time: timedelta) -> Change:
    """Hold a free seat for somebody who waits, until a deadline that is never after the start."""
    if not seats.free or place.state is not PlaceState.WAITING:
        raise SeatRefused("full")
    until = min(now + offer_time, seats.ends) if seats.ends else now + offer_time
    offered = replace(place, state=PlaceState.OFFERED, offered_until=until)
    return Change(replace(seats, held=seats.held + 1, waiting=seats.waiting - 1), offered, SeatCause.OFFERED)


def accept(seats: Seats, place: Place, now: datetime) -> Change:
    """Take the seat that is held; the deadline counts, not the moment at which somebody looked at the clock."""
    if place.state is PlaceState.SEATED:
        raise SeatRefused("already_done")
    if place.state is not PlaceState.OFFERED or place.offered_until is None or now >= place.offered_until:
        raise SeatRefused("too_late")
    seated = replace(place, state=PlaceState.SEATED, offered_until=None)
    return Change(replace(seats, held=seats.held - 1, taken=seats.taken + 1), seated, SeatCause.ACCEPTED)


def decline(seats: Seats, place: Place) -> Change:
    """Give the offered seat back; places in other queues stay as they are."""
    if place.state is PlaceState.GONE:
        raise SeatRefused("already_done")
    if place.state is not PlaceState.OFFERED:
        raise SeatRefused("too_late")
    gone = replace(place, state=PlaceState.GONE, offered_until=None)
    return Change(replace(seats, held=seats.held - 1), gone, SeatCause.DECLINED)


def expire(seats: Seats, place: Place, now: datetime) -> Change:
    """End an offer whose deadline has passed; the person may ask again."""
    if place.state is not PlaceState.OFFERED or place.offered_until is None or now < place.offered_until:
        raise SeatRefused("already_done")
    expired = replace(place, state=PlaceState.EXPIRED, offered_until=None)
    return Change(replace(seats, held=seats.held - 1), expired, SeatCause.OFFER_EXPIRED)


def withdraw(seats: Seats, place: Place) -> Change:
    """Leave: the queue, an offer or a seat."""
    if place.state is PlaceState.GONE:
        raise SeatRefused("already_done")
    freed = replace(
        seats,
        taken=seats.taken - (place.state is PlaceState.SEATED),
        held=seats.held - (place.state is PlaceState.OFFERED),
        waiting=seats.waiting - (place.state is PlaceState.WAITING),
    )
    return Change(freed, replace(place, state=PlaceState.GONE, offered_until=None), SeatCause.WITHDRAWN)


def ask_again(seats: Seats, place: Place, now: datetime) -> Change:
    """Come back after an offer expired or was given back: behind those who wait now."""
    if place.state not in (PlaceState.EXPIRED, PlaceState.GONE):
        raise SeatRefused("already_done")
    return ask(seats, replace(place, since=now))
