"""A person's way through a meeting, step by step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.events.domain.meeting import Meeting
from services.events.domain.refusal import Refused
from services.events.domain.registration import (
    CURRENT,
    OPEN,
    Registration,
    asked_again,
    check_leaving,
    is_forgotten,
    mail_key,
    new,
    outlook,
    place_of,
    progress,
    with_place,
)
from shared.contract.words import MeetingKind, MeetingState, RegistrationState
from shared.seats.rule import PlaceState

NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
MEETING = Meeting(
    "meeting_00000000",
    "kargah",
    MeetingKind.OPEN,
    "Gartentreff",
    NOW + timedelta(days=30),
    3,
    state=MeetingState.PUBLISHED,
)
State = RegistrationState


def _registration(state: RegistrationState = State.UNCONFIRMED) -> Registration:
    until = NOW + timedelta(hours=1) if state is State.OFFERED else None
    made = new("registration_00000000", MEETING, "participant_00000000", None, NOW)
    return replace(made, state=state, offered_until=until)


def test_the_time_to_confirm_is_seven_days_and_ends_with_the_start() -> None:
    """Nobody confirms a meeting that has begun."""
    assert _registration().confirm_until == NOW + timedelta(days=7)
    soon = replace(MEETING, starts=NOW + timedelta(days=1))
    assert new("registration_00000000", soon, "participant_00000000", None, NOW).confirm_until == soon.starts


@pytest.mark.parametrize(
    ("asked", "minutes", "again"), [(1, 9, False), (1, 10, True), (2, 10, True), (3, 600, False), (1, 10080, False)]
)
def test_a_person_is_asked_again_within_bounds(asked: int, minutes: int, again: bool) -> None:
    """Not within ten minutes, not a fourth time, not after the end."""
    found = asked_again(replace(_registration(), asked=asked), NOW + timedelta(minutes=minutes))
    assert (found is not None) is again
    if found is not None:
        assert (found.asked, found.confirm_until) == (asked + 1, NOW + timedelta(days=7))


@pytest.mark.parametrize("state", [each for each in State if each is not State.UNCONFIRMED])
def test_nobody_who_confirmed_is_asked_to_confirm(state: RegistrationState) -> None:
    """A mail to confirm would tell a stranger nothing and the person nonsense."""
    late = NOW + timedelta(days=1)
    assert asked_again(_registration(state), late) is None
    assert not is_forgotten(_registration(state), NOW + timedelta(days=8))


def test_unconfirmed_is_forgotten_from_the_deadline_on() -> None:
    """The moment of the deadline is too late."""
    until = _registration().confirm_until
    assert is_forgotten(_registration(), until)
    assert not is_forgotten(_registration(), until - timedelta(microseconds=1))


@pytest.mark.parametrize("state", [State.WAITING, State.OFFERED, State.REGISTERED, State.EXPIRED, State.CANCELLED])
def test_a_registration_and_its_place_say_the_same(state: RegistrationState) -> None:
    """Out and back again nothing is lost."""
    assert with_place(_registration(state), place_of(_registration(state))) == _registration(state)


def test_an_unconfirmed_person_has_no_place() -> None:
    """Nothing of the seats can be moved with it."""
    assert place_of(_registration()).state is PlaceState.GONE


@pytest.mark.parametrize("state", list(State))
def test_only_a_place_can_be_left(state: RegistrationState) -> None:
    """Registered, waiting and offered people can leave, nobody else; whoever has a place cannot ask for another."""
    if state in OPEN:
        check_leaving(_registration(state))
        assert state in CURRENT
        return
    with pytest.raises(Refused) as refused:
        check_leaving(_registration(state))
    assert refused.value.code == f"registration_is_{state}"


def test_attendance_is_noted_for_seats_from_the_start_on_and_can_be_put_right() -> None:
    """Somebody without a seat cannot have come, and nobody before the start."""
    came = progress(_registration(State.REGISTERED), "attended", MEETING, MEETING.starts)
    assert progress(came, "no_show", MEETING, MEETING.starts).state is State.NO_SHOW
    with pytest.raises(Refused):
        progress(_registration(State.WAITING), "attended", MEETING, MEETING.starts)
    with pytest.raises(Refused):
        progress(_registration(State.REGISTERED), "attended", MEETING, NOW)
    later = replace(MEETING, state=MeetingState.POSTPONED)
    with pytest.raises(Refused):
        progress(_registration(State.REGISTERED), "attended", later, MEETING.starts)


OUTLOOKS = {
    "confirm": {
        State.UNCONFIRMED: None,
        State.REGISTERED: "already_done",
        State.WAITING: "full",
        State.OFFERED: "full",
        State.EXPIRED: "too_late",
        State.ATTENDED: "already_done",
        State.NO_SHOW: "already_done",
        State.CANCELLED: "too_late",
    },
    "accept": {State.OFFERED: None, State.REGISTERED: "already_done"},
    "decline": {State.OFFERED: None, State.CANCELLED: "already_done"},
    "cancel": {State.REGISTERED: None, State.WAITING: None, State.OFFERED: None, State.CANCELLED: "already_done"},
    "again": {
        State.EXPIRED: None,
        State.CANCELLED: None,
        State.WAITING: "already_done",
        State.OFFERED: "already_done",
        State.REGISTERED: "already_done",
        State.ATTENDED: "already_done",
        State.NO_SHOW: "already_done",
    },
}


@pytest.mark.parametrize("purpose", list(OUTLOOKS))
@pytest.mark.parametrize("state", list(State))
def test_a_link_asks_only_where_it_can_do_something(purpose: str, state: RegistrationState) -> None:
    """Every purpose in every state: what is left out above is too late."""
    expected = OUTLOOKS[purpose].get(state, "too_late")
    if state in (State.ATTENDED, State.NO_SHOW) and purpose == "accept":
        expected = "already_done"
    assert outlook(purpose, _registration(state), MEETING, NOW) == expected  # type: ignore[arg-type]  # pytest gives it as a word


def test_after_the_start_every_open_question_is_too_late() -> None:
    """Nothing can be taken up or given back any more."""
    for purpose, state in (("confirm", State.UNCONFIRMED), ("cancel", State.REGISTERED), ("again", State.EXPIRED)):
        assert outlook(purpose, _registration(state), MEETING, MEETING.starts) == "too_late"  # type: ignore[arg-type]  # three of the purposes


def test_a_postponed_meeting_can_be_left_but_not_joined() -> None:
    """Who cannot come at any other time gives the place back; nobody is let in before the time is known."""
    postponed = replace(MEETING, state=MeetingState.POSTPONED)
    assert outlook("cancel", _registration(State.REGISTERED), postponed, NOW) is None
    assert outlook("again", _registration(State.EXPIRED), postponed, NOW) == "too_late"
    assert outlook("confirm", _registration(), postponed, NOW) == "too_late"


def test_capitals_make_no_second_mailbox() -> None:
    """One address is one person."""
    assert mail_key(" Ada@Example.ORG ") == mail_key("ada@example.org")
