"""Which mails follow from what happened to a place, and which earlier ones end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.notifications.domain.delivery import Delivery, Facts, State
from services.notifications.domain.letter import Kind
from services.notifications.domain.planning import (
    Happening,
    Planned,
    Sort,
    ending_of,
    kind_for,
    plan,
    wanted,
)
from shared.contract.words import SeatCause

NOW = datetime(2026, 11, 18, 8, tzinfo=UTC)
START = datetime(2026, 12, 1, 8, tzinfo=UTC)
END = START + timedelta(days=30)
OFFERED_UNTIL = NOW + timedelta(hours=48)


def happening(cause: SeatCause, sort: Sort = "run", **more: Any) -> Happening:
    """Give something that happened to a place."""
    states = {
        SeatCause.ASKED: "unconfirmed",
        SeatCause.QUEUED: "waiting",
        SeatCause.OFFERED: "offered",
        SeatCause.OFFER_EXPIRED: "expired",
        SeatCause.DECLINED: "withdrawn",
        SeatCause.WITHDRAWN: "withdrawn",
    }
    values: dict[str, Any] = {
        "institution": "vhs-hannover",
        "subject_id": "enr_1",
        "participant_id": "par_1",
        "version": 2,
        "sort": sort,
        "state": states.get(cause, "enrolled" if sort == "run" else "registered"),
        "cause": cause,
        "occasion_id": "run_1",
        "occasion_version": 5,
        "starts": START,
        "ends": END,
        "place_in_queue": 3 if cause is SeatCause.QUEUED else None,
        "offered_until": OFFERED_UNTIL if cause is SeatCause.OFFERED else None,
        "confirm_until": NOW + timedelta(days=7),
        **more,
    }
    return Happening(**values)


def earlier(kind: Kind, version: int = 1, **more: Any) -> Delivery:
    """Give an earlier delivery about the same place."""
    made = Delivery(
        id="dlv_1",
        institution="vhs-hannover",
        participant_id="par_1",
        subject_id="enr_1",
        business_key=f"{kind}:enr_1:v{version}:par_1",
        kind=kind,
        version=version,
        occasion_id="run_1",
        occasion_version=4,
        picture="p",
        starts=START,
        facts=Facts(),
        not_before=NOW,
        useless_after=END,
        planned_at=NOW,
        changed_at=NOW,
        state=State.queued,
    )
    return replace(made, **more)


def kinds(mails: list[Planned]) -> list[Kind]:
    """Give the kinds of planned mails."""
    return [mail.kind for mail in mails]


@pytest.mark.parametrize(
    ("cause", "run", "meeting"),
    [
        (SeatCause.ASKED, Kind.registration_confirm, Kind.registration_confirm),
        (SeatCause.GIVEN, Kind.enrolled, Kind.registered),
        (SeatCause.ACCEPTED, Kind.enrolled, Kind.registered),
        (SeatCause.QUEUED, Kind.waiting, Kind.waiting),
        (SeatCause.OFFERED, Kind.seat_offered, Kind.seat_offered),
        (SeatCause.OFFER_EXPIRED, Kind.offer_expired, Kind.offer_expired),
        (SeatCause.OCCASION_CHANGED, Kind.run_changed, Kind.meeting_changed),
        (SeatCause.OCCASION_CANCELLED, Kind.run_cancelled, Kind.meeting_cancelled),
        (SeatCause.DECLINED, None, None),
        (SeatCause.WITHDRAWN, None, None),
        (SeatCause.PROGRESSED, None, None),
    ],
)
def test_a_cause_leads_to_its_kind(cause: SeatCause, run: Kind | None, meeting: Kind | None) -> None:
    """Runs and meetings have their own words where the letters differ."""
    assert kind_for(happening(cause)) is run
    assert kind_for(happening(cause, "meeting")) is meeting


def test_asking_is_answered_only_where_it_must_be_confirmed() -> None:
    """A staff member who enrols somebody needs no double opt-in."""
    assert plan(happening(SeatCause.ASKED, state="applied"), NOW) == []


@pytest.mark.parametrize("cause", [SeatCause.GIVEN, SeatCause.ACCEPTED])
def test_whoever_has_a_seat_is_reminded_a_day_before(cause: SeatCause) -> None:
    """The reminder waits until 24 hours before the first date and is of no use after it."""
    _, reminder = plan(happening(cause), NOW)
    assert reminder.kind is Kind.reminder
    assert reminder.not_before == START - timedelta(hours=24)
    assert reminder.useless_after == START


@pytest.mark.parametrize("starts", [NOW + timedelta(hours=23), NOW - timedelta(days=1), None])
def test_no_reminder_where_its_time_is_over_or_unknown(starts: datetime | None) -> None:
    """Somebody who gets a seat in the last hours has just got a mail."""
    assert kinds(plan(happening(SeatCause.GIVEN, starts=starts), NOW)) == [Kind.enrolled]


def test_who_waits_is_not_reminded_when_the_course_moves() -> None:
    """Only seats are reminded of, the change is told to everybody."""
    waiting = happening(SeatCause.OCCASION_CHANGED, state="waiting")
    assert kinds(plan(waiting, NOW)) == [Kind.run_changed]
    assert kinds(plan(happening(SeatCause.OCCASION_CHANGED), NOW)) == [Kind.run_changed, Kind.reminder]


@pytest.mark.parametrize(
    ("cause", "links"),
    [
        (SeatCause.OFFERED, (("accept", OFFERED_UNTIL), ("decline", OFFERED_UNTIL))),
        (SeatCause.OFFER_EXPIRED, (("again", NOW + timedelta(days=30)),)),
        (SeatCause.ASKED, (("confirm", NOW + timedelta(days=7)),)),
        (SeatCause.GIVEN, (("cancel", END),)),
        (SeatCause.QUEUED, (("cancel", END),)),
        (SeatCause.OCCASION_CANCELLED, ()),
    ],
)
def test_letters_carry_their_links_with_their_ends(cause: SeatCause, links: tuple[tuple[str, datetime], ...]) -> None:
    """A link ends when what it does makes no sense any more."""
    assert plan(happening(cause), NOW)[0].facts.links == links


@pytest.mark.parametrize("ends", [None, NOW - timedelta(days=400)])
def test_a_seat_without_dates_ahead_is_written_about_all_the_same(ends: datetime | None) -> None:
    """Whoever gives it knows why; the link to leave lasts half a year then."""
    [mail] = plan(happening(SeatCause.GIVEN, starts=None, ends=ends), NOW)
    assert mail.useless_after > NOW
    assert mail.facts.links == (("cancel", NOW + timedelta(days=180)),)


def test_an_offer_is_of_no_use_after_its_deadline() -> None:
    """Whoever could not answer any more does not get the mail."""
    assert plan(happening(SeatCause.OFFERED), NOW)[0].useless_after == OFFERED_UNTIL


def test_the_same_message_has_the_same_keys_and_another_version_others() -> None:
    """A message handled twice makes one mail; a seat given a second time makes a second."""
    first, again = happening(SeatCause.GIVEN), happening(SeatCause.GIVEN)
    later = happening(SeatCause.GIVEN, version=3)
    keys = [[mail.business_key(one) for mail in plan(one, NOW)] for one in (first, again, later)]
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])


def test_one_change_of_the_occasion_is_one_mail() -> None:
    """The key of a change names the version of the occasion, however often the place is told again."""
    one, two = (happening(SeatCause.OCCASION_CHANGED, version=version) for version in (2, 3))
    assert plan(one, NOW)[0].business_key(one) == plan(two, NOW)[0].business_key(two)


@pytest.mark.parametrize(("state", "has_seat"), [("enrolled", True), ("waiting", False), ("offered", False)])
def test_a_change_knows_who_has_the_seat(state: str, has_seat: bool) -> None:
    """The mail about a change is for those who wait as well, and tells them apart."""
    assert plan(happening(SeatCause.OCCASION_CHANGED, state=state), NOW)[0].facts.seated is has_seat


@pytest.mark.parametrize(
    ("sort", "state", "stays"),
    [
        ("run", "dropped", False),
        ("run", "rejected", False),
        ("run", "completed", False),
        ("run", "attending", True),
        ("meeting", "expired", False),
    ],
)
def test_who_is_out_gets_no_mail_that_was_planned_before(sort: Sort, state: str, stays: bool) -> None:
    """Staff note that somebody is out: no reminder and no offer follows; who only attends keeps theirs."""
    for kind in (Kind.reminder, Kind.seat_offered):
        assert (ended(kind, SeatCause.PROGRESSED, sort=sort, state=state) is None) is stays


def ended(kind: Kind, cause: SeatCause, **more: Any) -> State | None:
    """Give where an earlier mail of a kind ends after a cause, None if it stays."""
    told = happening(cause, **more)
    found = ending_of(earlier(kind), told, plan(told, NOW))
    return found.state if found else None


@pytest.mark.parametrize(
    ("kind", "cause", "state"),
    [
        (Kind.reminder, SeatCause.OCCASION_CANCELLED, State.cancelled),
        (Kind.enrolled, SeatCause.OCCASION_CANCELLED, State.cancelled),
        (Kind.run_changed, SeatCause.OCCASION_CANCELLED, State.cancelled),
        (Kind.reminder, SeatCause.WITHDRAWN, State.cancelled),
        (Kind.seat_offered, SeatCause.DECLINED, State.cancelled),
        (Kind.seat_offered, SeatCause.OFFER_EXPIRED, State.expired),
        (Kind.seat_offered, SeatCause.ACCEPTED, State.superseded),
        (Kind.waiting, SeatCause.QUEUED, State.superseded),
        (Kind.run_changed, SeatCause.OCCASION_CHANGED, State.superseded),
        (Kind.waiting, SeatCause.OFFERED, None),
        (Kind.enrolled, SeatCause.OCCASION_CHANGED, None),
        (Kind.enrolled, SeatCause.PROGRESSED, None),
    ],
)
def test_an_earlier_mail_ends_when_it_is_not_true_any_more(kind: Kind, cause: SeatCause, state: State | None) -> None:
    """A newer version supersedes, a cancellation kills, all else stays."""
    assert ended(kind, cause) is state


def test_the_reminder_follows_the_start() -> None:
    """It ends when the course moves, and stays when something else changed."""
    assert ended(Kind.reminder, SeatCause.OCCASION_CHANGED, starts=START + timedelta(days=7)) is State.superseded
    assert ended(Kind.reminder, SeatCause.OCCASION_CHANGED) is None


@pytest.mark.parametrize("state", [State.handed_over, State.uncertain, State.cancelled, State.undeliverable])
def test_what_is_over_does_not_end_again(state: State) -> None:
    """A sent mail cannot be called back."""
    told = happening(SeatCause.OCCASION_CANCELLED)
    assert ending_of(earlier(Kind.enrolled, state=state), told, plan(told, NOW)) is None


def test_a_newer_mail_is_not_ended_by_an_older_message() -> None:
    """What comes late does not undo what is newer."""
    told = happening(SeatCause.WITHDRAWN, version=2)
    assert ending_of(earlier(Kind.enrolled, version=3), told, []) is None


def test_there_is_one_reminder_for_one_start() -> None:
    """A change that leaves the start alone plans no second one; after a cancelled one there is room again."""
    told = happening(SeatCause.OCCASION_CHANGED)
    reminder = plan(told, NOW)[1]
    known = earlier(Kind.reminder)
    assert not wanted(reminder, told, [known])
    assert not wanted(reminder, told, [replace(known, state=State.handed_over)])
    assert wanted(reminder, told, [replace(known, state=State.cancelled)])
    assert wanted(reminder, told, [replace(known, starts=START - timedelta(days=1))])
