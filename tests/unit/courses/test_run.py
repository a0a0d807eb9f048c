"""The life of a run, and what everybody may see of it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest

from services.courses.domain import run as runs
from services.courses.domain.refusal import Misfit, Refused
from services.courses.domain.run import STEPS, Run, Step
from shared.contract.words import Place, RunKind, RunState, Session, WaitingBand

NOW = datetime(2027, 1, 11, 8, tzinfo=UTC)
FIRST = Session(starts=datetime(2027, 3, 1, 8, tzinfo=UTC), ends=datetime(2027, 3, 1, 11, tzinfo=UTC))
LAST = Session(starts=datetime(2027, 3, 2, 8, tzinfo=UTC), ends=datetime(2027, 3, 2, 11, tzinfo=UTC))
RUN = Run("run_00000001", "vhs-nord", "offer_00000001", "27-1", "Deutsch", RunKind.OTHER, 18, sessions=(FIRST, LAST))


@pytest.mark.parametrize(("name", "state"), list(product(STEPS, RunState)))
def test_every_step_is_allowed_from_its_states_alone(name: Step, state: RunState) -> None:
    """Each of the five steps from each of the six states either leads on or is refused with the state's code."""
    before, after = STEPS[name]
    run = replace(RUN, state=state)
    if state in before:
        assert runs.step(run, name, "Grund").state is after
    else:
        with pytest.raises(Refused) as refused:
            runs.step(run, name)
        assert refused.value.code == f"run_is_{state.value}"


def test_a_cancelled_run_keeps_its_reason_and_no_people() -> None:
    """Cancelling takes the counts away and says why."""
    run = runs.step(replace(RUN, state=RunState.PUBLISHED, taken=3, held=1, waiting=2), "cancel", "Zu wenige")
    assert (run.taken, run.held, run.waiting, run.cancelled_reason) == (0, 0, 0, "Zu wenige")


def test_sessions_are_put_in_order_and_give_the_days() -> None:
    """The days come from the sessions, in Hannover's time."""
    run = runs.planned(replace(RUN, sessions=(LAST, FIRST)))
    assert run.sessions == (FIRST, LAST)
    assert (run.starts_on, run.ends_on) == (date(2027, 3, 1), date(2027, 3, 2))


def test_impossible_times_are_refused() -> None:
    """A session that ends before it starts, and days in the wrong order, cannot be kept."""
    with pytest.raises(Misfit):
        runs.planned(replace(RUN, sessions=(Session(starts=FIRST.ends, ends=FIRST.starts),)))
    with pytest.raises(Misfit):
        runs.planned(replace(RUN, sessions=(), starts_on=date(2027, 3, 2), ends_on=date(2027, 3, 1)))


def test_what_is_over_stays_as_it_was() -> None:
    """A cancelled or completed run takes no change."""
    for state in (RunState.CANCELLED, RunState.COMPLETED):
        with pytest.raises(Refused):
            runs.change(replace(RUN, state=state), {"capacity": 20})


@pytest.mark.parametrize(
    ("state", "now", "open_", "ends"),
    [
        (RunState.PUBLISHED, NOW, True, FIRST.starts),
        (RunState.RUNNING, FIRST.starts, True, LAST.ends),
        (RunState.PUBLISHED, LAST.ends - timedelta(seconds=1), True, LAST.ends),
        (RunState.PUBLISHED, LAST.ends, False, LAST.ends),
        (RunState.DRAFT, NOW, False, FIRST.starts),
        (RunState.CANCELLED, NOW, False, FIRST.starts),
    ],
)
def test_seats_are_open_until_the_last_session(state: RunState, now: datetime, open_: bool, ends: datetime) -> None:
    """Before the start an offer ends at the start, afterwards with the last session; then nobody asks any more."""
    seats = runs.seats_of(replace(RUN, state=state), now)
    assert (seats.open, seats.ends) == (open_, ends)


def test_people_registered_elsewhere_take_seats() -> None:
    """What another software seated is not given again; more than the capacity leaves nothing, not less."""
    assert replace(RUN, registered_elsewhere=14).limit == 4
    assert replace(RUN, registered_elsewhere=24).limit == 0


@pytest.mark.parametrize(
    ("minimum", "taken", "elsewhere", "reached"), [(15, 1, 14, True), (15, 0, 14, False), (0, 5, 0, False)]
)
def test_the_minimum_counts_everybody(minimum: int, taken: int, elsewhere: int, reached: bool) -> None:
    """Without a minimum nothing is confirmed by itself."""
    run = replace(RUN, state=RunState.PUBLISHED, minimum=minimum, taken=taken, registered_elsewhere=elsewhere)
    assert runs.reaches_minimum(run, NOW) is reached


def test_a_run_of_the_past_is_not_confirmed() -> None:
    """An imported run that is over stays published, however many were in it."""
    run = replace(RUN, state=RunState.PUBLISHED, minimum=1, registered_elsewhere=9)
    assert not runs.reaches_minimum(run, LAST.ends)


def test_the_picture_shows_bands_and_no_counts_of_people() -> None:
    """Everybody sees what is free and about how many wait."""
    run = replace(RUN, state=RunState.PUBLISHED, taken=16, held=1, waiting=7, counted_at=NOW)
    availability = runs.picture(run, NOW).availability
    assert (availability.free, availability.waiting, availability.as_of) == (1, WaitingBand.SOME, NOW)
    assert not {"taken", "held", "registered_elsewhere"} & set(runs.picture(run, NOW).model_dump())


def test_seats_alone_are_no_other_plan() -> None:
    """Only what the public sees of the plan counts as a change, and only time, place and title matter to people."""
    taken = replace(RUN, taken=1, counted_at=NOW)
    assert not runs.is_visible_change(RUN, taken)
    described = replace(RUN, description="neu")
    assert runs.is_visible_change(RUN, described)
    assert not runs.matters_to_people(RUN, described)
    assert runs.matters_to_people(RUN, replace(RUN, place=Place(room="2")))
