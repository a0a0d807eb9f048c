from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from services.notifications.domain.calendar import calendar
from services.notifications.domain.letter import Appointment, Kind, Letter, Occasion
from services.notifications.domain.rendering import render

NOW = datetime(2026, 10, 1, 8, tzinfo=UTC)
BEFORE = datetime(2026, 10, 24, 7, tzinfo=UTC)
"""09:00 in Berlin, the day before the clock goes back."""


def _letter(kind: Kind, *starts: datetime, sort: Literal["run", "meeting"] = "run", version: int = 3) -> Letter:
    appointments = tuple(Appointment(start, start + timedelta(hours=3), "Burgstraße 14, Raum 3") for start in starts)
    return Letter(
        kind=kind,
        delivery_id="d-1",
        name="Ahmad Ali",
        address="ahmad@example.org",
        language="de",
        occasion=Occasion("run 17", sort, "B2, Beruf", "VHS Hannover", "kurse@vhs.example", appointments, version),
        place_in_queue=1,
        offered_until=NOW,
        reason=None,
        links=dict.fromkeys(("accept", "decline", "confirm"), "https://album.example/l/x"),
        sender_name="ALBuM",
        sender_address="post@album.example",
        written_at=NOW,
    )


def _read(letter: Letter) -> Calendar:
    raw = calendar(letter)
    assert raw is not None
    return Calendar.from_ical(raw.decode())


def _events(letter: Letter) -> list[Any]:
    return list(_read(letter).events)


@pytest.mark.parametrize(
    ("kind", "method", "status"),
    [
        (Kind.enrolled, "REQUEST", "CONFIRMED"),
        (Kind.registered, "REQUEST", "CONFIRMED"),
        (Kind.run_changed, "REQUEST", "CONFIRMED"),
        (Kind.meeting_changed, "REQUEST", "CONFIRMED"),
        (Kind.run_cancelled, "CANCEL", "CANCELLED"),
        (Kind.meeting_cancelled, "CANCEL", "CANCELLED"),
    ],
)
def test_what_a_calendar_does(kind: Kind, method: str, status: str) -> None:
    """Places and changes enter all dates, cancellations take all of them out; the mail's part says the same."""
    letter = _letter(kind, BEFORE, BEFORE + timedelta(days=7))
    assert _read(letter)["METHOD"] == method
    assert [event["STATUS"] for event in _events(letter)] == [status, status]
    assert f'method="{method}"'.encode() in render(letter).mime


@pytest.mark.parametrize(
    "kind", [Kind.waiting, Kind.seat_offered, Kind.offer_expired, Kind.reminder, Kind.registration_confirm]
)
def test_no_calendar_without_a_place(kind: Kind) -> None:
    """Who has no place yet, or is only reminded, gets nothing into the calendar."""
    letter = _letter(kind, BEFORE)
    assert calendar(letter) is None
    assert b"text/calendar" not in render(letter).mime


def test_the_parts_of_a_date() -> None:
    """A date has its time in Berlin, place, version and people, and asks for no answer."""
    event = _events(_letter(Kind.enrolled, BEFORE))[0]
    assert event["SEQUENCE"] == 3
    assert event["DTSTAMP"].dt == NOW
    assert event["SUMMARY"] == "B2, Beruf"
    assert event["LOCATION"] == "Burgstraße 14, Raum 3"
    assert event["DTSTART"].params["TZID"] == "Europe/Berlin"
    assert event["ORGANIZER"] == "mailto:kurse@vhs.example"
    assert event["ATTENDEE"] == "mailto:ahmad@example.org"
    assert event["ATTENDEE"].params["RSVP"] == "FALSE"


def test_an_open_end_is_not_made_up() -> None:
    """A date without an end has no DTEND."""
    letter = _letter(Kind.enrolled, BEFORE)
    occasion = replace(letter.occasion, appointments=(Appointment(BEFORE, None, ""),))
    assert "DTEND" not in _events(replace(letter, occasion=occasion))[0]


@pytest.mark.parametrize(
    ("moment", "local"),
    [
        (datetime(2026, 10, 24, 7, tzinfo=UTC), "20261024T090000"),
        (datetime(2026, 10, 25, 8, tzinfo=UTC), "20261025T090000"),
        (datetime(2027, 3, 27, 8, tzinfo=UTC), "20270327T090000"),
        (datetime(2027, 3, 28, 7, tzinfo=UTC), "20270328T090000"),
    ],
)
def test_nine_stays_nine_over_both_changes(moment: datetime, local: str) -> None:
    """A course at nine is at nine the day before and on the day of each change of the clock."""
    letter = _letter(Kind.enrolled, moment)
    assert f"DTSTART;TZID=Europe/Berlin:{local}\r\n".encode() in (calendar(letter) or b"")
    assert _events(letter)[0]["DTSTART"].dt == moment


def test_the_time_zone_is_explained_inside() -> None:
    """A calendar program that does not know Berlin reads both rules in the file, and they give the right offsets."""
    zone = _read(_letter(Kind.enrolled, BEFORE)).timezones[0].to_tz(lookup_tzid=False)
    hours = [
        datetime(*day, 12, tzinfo=zone).utcoffset()
        for day in ((2026, 10, 24), (2026, 10, 25), (2027, 3, 27), (2027, 3, 28))
    ]
    assert hours == [timedelta(hours=2), timedelta(hours=1), timedelta(hours=1), timedelta(hours=2)]


def test_a_date_of_a_run_keeps_its_name() -> None:
    """The same dates have the same UIDs in enrolment, change and cancellation; versions only count up."""
    starts = [BEFORE, BEFORE + timedelta(days=1), BEFORE + timedelta(days=2)]
    enrolled = _events(_letter(Kind.enrolled, *starts, version=1))
    cancelled = _events(_letter(Kind.run_cancelled, *reversed(starts), version=2))
    assert [event["UID"] for event in enrolled] == [event["UID"] for event in cancelled]
    assert len({event["UID"] for event in enrolled}) == 3
    assert all(old["SEQUENCE"] < new["SEQUENCE"] for old, new in zip(enrolled, cancelled, strict=True))


def test_a_meeting_that_is_put_off_moves() -> None:
    """A meeting keeps its UID on its new day, so that it does not stand twice in a calendar."""
    old = _events(_letter(Kind.registered, BEFORE, sort="meeting"))[0]
    new = _events(_letter(Kind.meeting_changed, BEFORE + timedelta(days=9), sort="meeting"))[0]
    assert old["UID"] == new["UID"]


def test_a_date_of_a_run_moves() -> None:
    """One date of a course goes to another day: its entry moves, all others keep their UIDs and their days."""
    old = [BEFORE, BEFORE + timedelta(days=7), BEFORE + timedelta(days=14)]
    new = [old[0], old[1] + timedelta(days=1), old[2]]
    before, after = _events(_letter(Kind.enrolled, *old)), _events(_letter(Kind.run_changed, *new, version=4))
    assert [event["UID"] for event in before] == [event["UID"] for event in after]
    assert [event["DTSTART"].dt for event in after] == new


def test_a_numbered_date_keeps_its_name_among_others() -> None:
    """A date with a number keeps its UID though another one was put before it; by position it would not."""
    letter = _letter(Kind.run_changed, BEFORE)

    def name(*numbers: int | None) -> str:
        dates = tuple(Appointment(BEFORE + timedelta(days=day), None, "", each) for day, each in enumerate(numbers))
        return str(_events(replace(letter, occasion=replace(letter.occasion, appointments=dates)))[-1]["UID"])

    assert name(7) == name(8, 7)
    assert name(None) != name(None, None)


@pytest.mark.parametrize("kind", [Kind.run_changed, Kind.meeting_changed])
def test_who_waits_gets_no_dates(kind: Kind) -> None:
    """A change reaches those who wait as well, but only who has the seat finds the dates in the calendar."""
    seated = _letter(kind, BEFORE)
    assert calendar(seated) is not None
    assert calendar(replace(seated, seated=False)) is None
    assert b"text/calendar" not in render(replace(seated, seated=False)).mime


def test_a_cancellation_reaches_every_calendar() -> None:
    """Nobody has a seat in what is cancelled, and whoever had one loses the dates."""
    assert calendar(replace(_letter(Kind.run_cancelled, BEFORE), seated=False)) is not None


@given(st.text(), st.text(), st.text())
def test_nasty_values_add_nothing(name: str, title: str, place: str) -> None:
    """Whatever people write, there is one date, one attendee and no property of their making."""
    letter = _letter(Kind.enrolled, BEFORE)
    occasion = replace(
        letter.occasion, id=title, title=title, institution_name=name, appointments=(Appointment(BEFORE, None, place),)
    )
    events = _events(replace(letter, name=name, occasion=occasion))
    assert len(events) == 1
    assert set(events[0]) == set(_events(letter)[0]) - {"DTEND"}
    assert events[0]["ATTENDEE"] == "mailto:ahmad@example.org"
    assert events[0]["SUMMARY"] == " ".join(events[0]["SUMMARY"].split())


def test_line_ends_in_a_title_make_no_property() -> None:
    """A title cannot close its date and open another one."""
    letter = _letter(Kind.enrolled, BEFORE)
    nasty = "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:other"
    events = _events(replace(letter, name=nasty, occasion=replace(letter.occasion, title=nasty)))
    assert [event["SUMMARY"] for event in events] == ["x END:VEVENT BEGIN:VEVENT UID:other"]
