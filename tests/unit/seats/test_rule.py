"""The rule for seats, one decision at a time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.contract.words import SeatCause
from shared.seats import rule
from shared.seats.rule import Change, Place, PlaceState, Priority, SeatRefused, Seats

NOW = datetime(2027, 1, 11, 8, tzinfo=UTC)
DAYS = timedelta(days=2)


def _place(state: PlaceState = PlaceState.GONE, until: datetime | None = None) -> Place:
    return Place("p", state, Priority.OTHER, NOW, until)


OFFERED = _place(PlaceState.OFFERED, NOW + DAYS)


def test_a_free_seat_is_given() -> None:
    """Whoever asks while a seat is free and nobody waits has it."""
    change = rule.ask(Seats(limit=2, taken=1), _place())
    assert (change.place.state, change.seats.taken, change.cause) == (PlaceState.SEATED, 2, SeatCause.GIVEN)


def test_nobody_passes_those_who_wait() -> None:
    """A free seat that is about to be offered is not given to whoever comes by."""
    change = rule.ask(Seats(limit=2, taken=1, waiting=1), _place())
    assert (change.place.state, change.seats.waiting) == (PlaceState.WAITING, 2)


def test_a_seat_is_held_for_who_has_not_asked_themselves() -> None:
    """It is theirs to take until the deadline; nobody who waits is passed, and a full occasion gives a turn."""
    held = rule.hold(Seats(limit=2, taken=1), _place(), NOW, DAYS)
    assert (held.place.state, held.place.offered_until) == (PlaceState.OFFERED, NOW + DAYS)
    assert (held.seats.held, held.seats.taken, held.seats.waiting, held.cause) == (1, 1, 0, SeatCause.OFFERED)
    for seats in (Seats(limit=2, taken=1, waiting=1), Seats(limit=1, taken=1)):
        turn = rule.hold(seats, _place(), NOW, DAYS)
        assert (turn.place.state, turn.seats.waiting) == (PlaceState.WAITING, seats.waiting + 1)
    with pytest.raises(SeatRefused):
        rule.hold(Seats(limit=2, open=False), _place(), NOW, DAYS)


def test_a_held_seat_is_not_free() -> None:
    """An offered seat counts as much as a taken one."""
    assert rule.ask(Seats(limit=2, taken=1, held=1), _place()).place.state is PlaceState.WAITING


def test_nobody_asks_where_it_is_closed() -> None:
    """A run that is over takes nobody."""
    with pytest.raises(SeatRefused) as refused:
        rule.ask(Seats(limit=2, open=False), _place())
    assert refused.value.outcome == "too_late"


def test_an_offer_never_lasts_beyond_the_start() -> None:
    """The deadline is two days, or the start where that is earlier."""
    waiting = _place(PlaceState.WAITING)
    late = rule.offer(Seats(limit=1, waiting=1, ends=NOW + timedelta(hours=3)), waiting, NOW, DAYS)
    early = rule.offer(Seats(limit=1, waiting=1, ends=NOW + timedelta(days=9)), waiting, NOW, DAYS)
    assert (late.place.offered_until, early.place.offered_until) == (NOW + timedelta(hours=3), NOW + DAYS)


@pytest.mark.parametrize(("moment", "accepts"), [(DAYS - timedelta(microseconds=1), True), (DAYS, False)])
def test_the_deadline_belongs_to_the_other_side(moment: timedelta, accepts: bool) -> None:
    """A microsecond before the deadline it is possible to accept and not to expire; on the deadline the reverse."""
    seats = Seats(limit=1, held=1)
    if accepts:
        assert rule.accept(seats, OFFERED, NOW + moment).place.state is PlaceState.SEATED
        with pytest.raises(SeatRefused):
            rule.expire(seats, OFFERED, NOW + moment)
    else:
        assert rule.expire(seats, OFFERED, NOW + moment).place.state is PlaceState.EXPIRED
        with pytest.raises(SeatRefused) as refused:
            rule.accept(seats, OFFERED, NOW + moment)
        assert refused.value.outcome == "too_late"


def test_doing_it_twice_is_said_to_be_done() -> None:
    """Accepting a seat one has, declining what one gave back and leaving twice are no faults."""
    attempts: list[Callable[[], Change]] = [
        lambda: rule.accept(Seats(1, taken=1), _place(PlaceState.SEATED), NOW),
        lambda: rule.decline(Seats(1), _place(PlaceState.GONE)),
        lambda: rule.withdraw(Seats(1), _place(PlaceState.GONE)),
        lambda: rule.ask_again(Seats(1), _place(PlaceState.WAITING), NOW),
    ]
    for do in attempts:
        with pytest.raises(SeatRefused) as refused:
            do()
        assert refused.value.outcome == "already_done"


@pytest.mark.parametrize(
    ("state", "left"),
    [(PlaceState.SEATED, (0, 1, 1)), (PlaceState.OFFERED, (1, 0, 1)), (PlaceState.WAITING, (1, 1, 0))],
)
def test_leaving_frees_exactly_what_one_had(state: PlaceState, left: tuple[int, int, int]) -> None:
    """A seat, an offer or a turn: only one of the counts goes down."""
    seats = rule.withdraw(Seats(limit=3, taken=1, held=1, waiting=1), _place(state)).seats
    assert (seats.taken, seats.held, seats.waiting) == left


def test_coming_back_is_behind_those_who_wait_now() -> None:
    """The turn begins when somebody asks again, not when they asked first."""
    expired = replace(_place(PlaceState.EXPIRED), since=NOW - timedelta(days=30))
    assert rule.ask_again(Seats(limit=0), expired, NOW).place.since == NOW
