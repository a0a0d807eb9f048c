"""The life of a meeting, step by step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from services.events.domain.meeting import (
    STEPS,
    Meeting,
    at_new_time,
    change,
    crowd,
    is_visible_change,
    matters_to_people,
    planned,
    seats_of,
    step,
)
from services.events.domain.refusal import Misfit, Refused
from shared.contract.words import MeetingKind, MeetingState, WaitingBand

NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MEETING = Meeting("meeting_00000000", "kargah", MeetingKind.OPEN, "Gartentreff", NOW + HOUR, 3)
REACHED = {
    ("publish", MeetingState.DRAFT): MeetingState.PUBLISHED,
    ("postpone", MeetingState.PUBLISHED): MeetingState.POSTPONED,
    ("cancel", MeetingState.PUBLISHED): MeetingState.CANCELLED,
    ("cancel", MeetingState.POSTPONED): MeetingState.CANCELLED,
    ("hold", MeetingState.PUBLISHED): MeetingState.HELD,
}


@pytest.mark.parametrize(("name", "state"), list(product(STEPS, MeetingState)))
def test_every_step_leads_from_its_states_alone(name: str, state: MeetingState) -> None:
    """All pairs of step and state: the ones that document 1 knows, and refusals with the state as code."""
    starts = NOW - HOUR if name == "hold" else NOW + HOUR
    meeting = replace(MEETING, state=state, starts=starts)
    if (name, state) in REACHED:
        assert step(meeting, name, NOW).state is REACHED[name, state]  # type: ignore[arg-type]  # pytest gives it as a word
        return
    with pytest.raises(Refused) as refused:
        step(meeting, name, NOW)  # type: ignore[arg-type]  # pytest gives it as a word
    assert refused.value.code == f"meeting_is_{state}"


def test_a_cancelled_meeting_has_no_people_and_keeps_its_reason() -> None:
    """Its seats are nobody's any more."""
    full = replace(MEETING, state=MeetingState.PUBLISHED, taken=2, held=1, waiting=4)
    cancelled = step(full, "cancel", NOW, "Regen")
    assert (cancelled.taken, cancelled.held, cancelled.waiting, cancelled.reason) == (0, 0, 0, "Regen")


def test_a_held_meeting_keeps_the_count_of_those_who_had_a_seat() -> None:
    """Only who waited goes."""
    full = replace(MEETING, state=MeetingState.PUBLISHED, starts=NOW, taken=2, held=1, waiting=4)
    held = step(full, "hold", NOW)
    assert (held.taken, held.held, held.waiting) == (2, 0, 0)


def test_a_new_time_keeps_the_length_and_lies_ahead() -> None:
    """Postponed without an end, a meeting of two hours stays one of two hours."""
    postponed = replace(MEETING, state=MeetingState.POSTPONED, ends=NOW + 3 * HOUR)
    moved = at_new_time(postponed, NOW + 10 * HOUR, None, NOW)
    assert (moved.state, moved.ends) == (MeetingState.PUBLISHED, NOW + 12 * HOUR)
    with pytest.raises(Refused, match="in the past"):
        at_new_time(postponed, NOW, None, NOW)
    with pytest.raises(Refused, match="not postponed"):
        at_new_time(MEETING, NOW + HOUR, None, NOW)


@pytest.mark.parametrize("values", [{"capacity": 0}, {"limit": 0}, {"limit": 4}, {"ends": NOW + HOUR}])
def test_a_plan_that_cannot_be_is_a_misfit(values: dict[str, object]) -> None:
    """No seats, more given than there are, an end that is the start."""
    with pytest.raises(Misfit):
        planned(replace(MEETING, **values))  # type: ignore[arg-type]  # the names decide the types


def test_seats_that_are_given_away_cannot_be_taken_back() -> None:
    """Two of three are taken or held: two is possible, one is not."""
    busy = replace(MEETING, taken=1, held=1)
    assert change(busy, {"capacity": 2}, NOW).capacity == 2
    with pytest.raises(Refused, match="2 seats"):
        change(busy, {"capacity": 1}, NOW)


@pytest.mark.parametrize("state", [MeetingState.HELD, MeetingState.CANCELLED])
def test_what_is_over_stays_as_it_was(state: MeetingState) -> None:
    """No plan of it can change."""
    with pytest.raises(Refused):
        change(replace(MEETING, state=state), {"title": "x"}, NOW)


def test_seats_are_open_while_published_and_before_the_start() -> None:
    """From the start on nobody is given or offered one."""
    published = replace(MEETING, state=MeetingState.PUBLISHED, limit=2)
    assert seats_of(published, NOW).open
    assert seats_of(published, NOW).free == 2
    assert not seats_of(published, published.starts).open
    assert not seats_of(MEETING, NOW).open


def test_the_public_reads_bands_and_no_free_seats_of_what_is_not_published() -> None:
    """Six people are 5-9, and a draft has nothing to give."""
    assert crowd(replace(MEETING, state=MeetingState.PUBLISHED, taken=3, waiting=6)) == (0, WaitingBand.SOME)
    assert crowd(MEETING) == (0, WaitingBand.NONE)


def test_a_change_is_told_where_it_is_seen_and_to_people_where_it_matters() -> None:
    """Seats alone are no visible change; a description is one, but wakes nobody."""
    assert not is_visible_change(MEETING, replace(MEETING, taken=1, limit=1))
    described = replace(MEETING, description="Mit Kaffee")
    assert is_visible_change(MEETING, described)
    assert not matters_to_people(MEETING, described)
    assert matters_to_people(MEETING, replace(MEETING, starts=NOW + 2 * HOUR))
