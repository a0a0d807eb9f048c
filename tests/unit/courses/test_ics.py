"""Calendars come in without a wrong time: zones, rules, exceptions, moved dates."""

import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from services.courses.domain.catalogue import BrokenRow, CatalogueRow, Entry
from services.courses.domain.formats.ics_in import read_ics
from services.courses.domain.formats.recurrence import MOST_SESSIONS

NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
FOLDER = Path(__file__).resolve().parents[3].parent / "shared/data/ics"
Times = list[tuple[datetime, datetime]]


def event(*lines: str, uid: str = "kurs-1", title: str = "Deutsch B2", head: Sequence[str] = ()) -> str:
    """Write a calendar of one event."""
    inside = [f"UID:{uid}", f"SUMMARY:{title}", *lines]
    return whole(*head, "BEGIN:VEVENT", *inside, "END:VEVENT")


def whole(*lines: str) -> str:
    """Write a calendar."""
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", *lines, "END:VCALENDAR", ""])


def read(text: str | bytes, now: datetime = NOW) -> list[Entry]:
    """Read a calendar from memory."""
    return list(read_ics(io.BytesIO(text.encode() if isinstance(text, str) else text), now))


def row(text: str, now: datetime = NOW) -> CatalogueRow:
    """Read a calendar that must hold exactly one good course."""
    (entry,) = read(text, now)
    assert isinstance(entry, CatalogueRow), entry
    return entry


def broken(text: str) -> str:
    """Read a calendar whose one course must be refused; give the reason."""
    (entry,) = read(text)
    assert isinstance(entry, BrokenRow), entry
    return entry.findings[0].sentence


def times(found: CatalogueRow) -> Times:
    """Give beginnings and ends."""
    return [(each.starts, each.ends) for each in found.sessions]


def local(zone: ZoneInfo, *parts: int, lasts: timedelta) -> tuple[datetime, datetime]:
    """Give a session by zone arithmetic alone."""
    starts = datetime(*parts, tzinfo=zone).astimezone(UTC)  # type: ignore[misc, arg-type]  # the test gives year to minute
    return starts, starts + lasts


HOUR = timedelta(hours=1)
UNIT = timedelta(minutes=45)
VIENNA, NEW_YORK = ZoneInfo("Europe/Vienna"), ZoneInfo("America/New_York")
_TUESDAYS = [date(2012, 3, 27) + timedelta(weeks=week) for week in range(15)]
_NO_TUESDAYS = {date(2012, 5, 29), date(2012, 4, 3), date(2012, 4, 10), date(2012, 5, 1), date(2012, 4, 17)}
_APRIL = [date(1996, 4, 1) + timedelta(days=day) for day in range(100) if day not in (1, 2, 3)]
UTC_AT = {
    "past-home@example.com": (2026, 1, 24, 12, 0),
    "away@example.com": (2026, 8, 9, 11, 30),
    "home@example.com": (2026, 8, 16, 11, 30),
    "friendly@example.com": (2026, 8, 18, 16, 0),
    "private-friendly@example.com": (2026, 8, 19, 12, 0),
}
# Worked out by hand from the files, with the zones of the operating system; the reader has no part in it.
KNOWN: dict[str, dict[str, Times]] = {
    "alarm_google_future.ics": {
        "79fs7pkqvht9m5igs0vjv1sfra@google.com": [
            (datetime(2024, 10, 4, 18, 15, tzinfo=UTC), datetime(2024, 10, 4, 19, 0, tzinfo=UTC))
        ]
    },
    "event_with_recurrence.ics": {
        "": [local(BERLIN, day.year, day.month, day.day, 1, 0, lasts=HOUR) for day in _APRIL],
    },
    "event_with_recurrence_exdates_on_different_lines.ics": {
        "": [
            local(VIENNA, day.year, day.month, day.day, 10, 0, lasts=8 * HOUR)
            for day in _TUESDAYS
            if day not in _NO_TUESDAYS
        ]
    },
    "hannover_96_matches.ics": {
        **{uid: [local(ZoneInfo("UTC"), *parts, lasts=2 * HOUR)] for uid, parts in UTC_AT.items()},
        "untimed-home@example.com": [],
    },
    "issue_1081_event_with_rrule.ics": {
        "test-123": [local(ZoneInfo("UTC"), 2025, 1, day, 10, 0, lasts=UNIT) for day in range(1, 11)]
    },
    "issue_1231_recurrence.ics": {"test-uid": [local(ZoneInfo("UTC"), 2025, 4, 28, 16, 5, lasts=UNIT)]},
    "issue_237_fail_to_parse_timezone_with_non_ascii_tzid.ics": {
        "": [
            tuple(datetime(2017, 5, 11, *at, tzinfo=timezone(-3 * HOUR)).astimezone(UTC) for at in ((13, 30), (14, 0)))  # type: ignore[list-item]  # two of them
        ]
    },
    "issue_722_missing_timezones.ics": {
        "": [
            (
                datetime(2014, 8, 29, 8, 0, tzinfo=NEW_YORK).astimezone(UTC),
                datetime(2014, 8, 29, 8, 0, tzinfo=ZoneInfo("America/Los_Angeles")).astimezone(UTC),
            ),
            local(BERLIN, 2024, 9, 13, 12, 0, lasts=2 * HOUR),
        ]
    },
    "multiple_timezones.ics": {
        "test-vtime-named-timezone": [local(NEW_YORK, 2021, 3, 2, 0, 0, lasts=UNIT)],
        "test-vtime-utc": [local(ZoneInfo("UTC"), 2021, 3, 2, 0, 0, lasts=UNIT)],
        "test-vtime-floating": [local(BERLIN, 2021, 3, 2, 0, 0, lasts=UNIT)],
    },
    "timezone_rdate.ics": {"123": [local(ZoneInfo("Europe/Vaduz"), 2012, 2, 13, 10, 0, lasts=UNIT)]},
}
# The folder is not part of the repository: what its files are hard in stands below in words of this project as well.
FILES = sorted(FOLDER.glob("*.ics"))


def test_every_file_of_the_folder_has_known_times() -> None:
    """A hard calendar that is added later is not read without anybody knowing what is right."""
    assert {file.name for file in FILES} <= set(KNOWN)


@pytest.mark.parametrize("name", [file.name for file in FILES] or ["none"])
def test_the_hard_calendars_come_in_without_a_wrong_time(name: str) -> None:
    """Every course of the file has exactly the times that were worked out without the reader."""
    if name == "none":
        assert not FOLDER.exists()
        return
    rows = [entry for entry in read((FOLDER / name).read_bytes()) if isinstance(entry, CatalogueRow)]
    found = {"" if each.number.startswith("ohne-uid-") else each.number: times(each) for each in rows}
    assert found == KNOWN[name]


def test_an_end_that_nobody_stated_is_said_to_be_assumed() -> None:
    """The beginning is the calendar's, the end is a unit later, and the office reads so."""
    found = row(event("DTSTART:20270201T090000Z"))
    assert times(found) == [local(ZoneInfo("UTC"), 2027, 2, 1, 9, 0, lasts=UNIT)]
    assert [each.kind for each in found.remarks] == ["remark"]
    assert "no end" in found.remarks[0].sentence


def test_a_rule_goes_by_the_clock_over_the_change_to_summer_time() -> None:
    """Nine o'clock stays nine o'clock in Hannover; in UTC the hour moves."""
    found = row(event("DTSTART;TZID=Europe/Berlin:20270325T090000", "DURATION:PT90M", "RRULE:FREQ=DAILY;COUNT=6"))
    assert [each.starts.hour for each in found.sessions] == [8, 8, 8, 7, 7, 7]
    assert {each.starts.astimezone(BERLIN).hour for each in found.sessions} == {9}


def test_a_last_day_in_utc_is_read_where_the_course_is() -> None:
    """UNTIL at 08:00 UTC still holds the course at ten in summer."""
    rule = "RRULE:FREQ=WEEKLY;UNTIL=20270629T080000Z;BYDAY=TU"
    found = row(event("DTSTART;TZID=Europe/Berlin:20270615T100000", "DTEND;TZID=Europe/Berlin:20270615T113000", rule))
    assert [each.starts.day for each in found.sessions] == [15, 22, 29]


def test_exceptions_on_several_lines_and_in_another_zone_all_count() -> None:
    """One by its own zone, one in UTC, one as a whole day."""
    lines = ["EXDATE;TZID=Europe/Berlin:20270302T090000", "EXDATE:20270303T080000Z", "EXDATE;VALUE=DATE:20270304"]
    start = ["DTSTART;TZID=Europe/Berlin:20270301T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=5"]
    assert [each.starts.day for each in row(event(*start, *lines)).sessions] == [1, 5]
    assert len(row(event(*start)).sessions) == 5


def test_additional_dates_keep_their_own_zone_and_end() -> None:
    """A date in New York, and a period with its own length."""
    extra = ["RDATE;TZID=America/New_York:20270305T090000", "RDATE;VALUE=PERIOD:20270306T090000Z/PT2H"]
    found = row(event("DTSTART;TZID=Europe/Berlin:20270301T090000", "DURATION:PT1H", *extra))
    assert times(found) == [
        local(BERLIN, 2027, 3, 1, 9, 0, lasts=HOUR),
        local(NEW_YORK, 2027, 3, 5, 9, 0, lasts=HOUR),
        local(ZoneInfo("UTC"), 2027, 3, 6, 9, 0, lasts=2 * HOUR),
    ]


def test_a_moved_and_a_cancelled_date_stand_in_the_place_of_theirs() -> None:
    """Of four days the second is later and elsewhere, and the third is not at all."""
    master = ["UID:k", "SUMMARY:K", "DTSTART;TZID=Europe/Berlin:20270301T090000", "DURATION:PT1H", "LOCATION:Haus"]
    moved = ["UID:k", "RECURRENCE-ID;TZID=Europe/Berlin:20270302T090000", "DTSTART:20270302T130000Z", "DURATION:PT2H"]
    gone = ["UID:k", "RECURRENCE-ID:20270303T080000Z", "DTSTART:20270303T080000Z", "STATUS:CANCELLED"]
    parts = [[*master, "RRULE:FREQ=DAILY;COUNT=4"], [*moved, "LOCATION:Raum 9"], gone]
    found = row(whole(*(line for part in parts for line in ("BEGIN:VEVENT", *part, "END:VEVENT"))))
    assert [(each.starts.day, each.starts.hour, each.room) for each in found.sessions] == [
        (1, 8, None), (2, 13, "Raum 9"), (4, 8, None),
    ]  # fmt: skip


def _own_zone(offset: str) -> list[str]:
    part = ["BEGIN:STANDARD", "DTSTART:19700101T000000", f"TZOFFSETFROM:{offset}", f"TZOFFSETTO:{offset}"]
    return ["BEGIN:VTIMEZONE", "TZID:Angepasste Zone (Köln)", *part, "END:STANDARD", "END:VTIMEZONE"]


def test_two_files_that_call_different_zones_by_one_name_keep_their_own_hours() -> None:
    """The library remembers the first zone of a name for ever; a second file must not get its hours."""
    start = 'DTSTART;TZID="Angepasste Zone (Köln)":20270301T090000'
    found = [row(event(start, "DURATION:PT1H", head=_own_zone(offset))) for offset in ("+0300", "+0500")]
    assert [each.sessions[0].starts.hour for each in found] == [6, 4]


def test_the_library_alone_would_mix_them_up() -> None:
    """The control: what the library itself gives for the second file is an hour of the first."""
    start = "DTSTART;TZID=Angepasste Zone (Kiel):20270301T090000"
    files = [event(start, head=_own_zone(offset)).replace("Köln", "Kiel") for offset in ("+0300", "+0500")]
    read_by_it: list[Any] = [Calendar.from_ical(file).walk("VEVENT")[0]["DTSTART"] for file in files]
    assert [each.dt.astimezone(UTC).hour for each in read_by_it] == [6, 6]


@pytest.mark.parametrize("tzid", ["W. Europe Standard Time", "Europe/Berlin"])
def test_a_zone_that_everybody_knows_needs_no_definition(tzid: str) -> None:
    """The names of Windows are known too."""
    assert row(event(f"DTSTART;TZID={tzid}:20270301T090000", "DURATION:PT1H")).sessions[0].starts.hour == 8


def test_a_zone_that_nobody_knows_is_refused_and_not_guessed() -> None:
    """A time in "Irgendwo" is no time; the other course of the file comes in."""
    assert "Irgendwo" in broken(event("DTSTART;TZID=Irgendwo:20270301T090000", "DURATION:PT1H"))


def test_a_time_without_a_place_is_hannovers_unless_the_calendar_names_another() -> None:
    """Floating times follow the calendar's own zone where it has one."""
    lines = ("DTSTART:20270301T090000", "DURATION:PT1H")
    assert row(event(*lines)).sessions[0].starts.hour == 8
    assert row(event(*lines, head=["X-WR-TIMEZONE:Europe/London"])).sessions[0].starts.hour == 9


def test_a_rule_without_an_end_is_bounded_and_changes_once_a_year() -> None:
    """Two years from the last anniversary, the same result all year, and a finding that says so."""
    text = event("DTSTART;TZID=Europe/Berlin:20200106T090000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
    found = row(text)
    assert found.sessions[0].starts.date() >= date(2027, 1, 6)
    assert found.sessions[-1].starts.date() < date(2029, 1, 6)
    assert len(found.sessions) in (104, 105)
    assert "without an end" in found.remarks[0].sentence
    assert row(text, NOW + timedelta(days=300)).sessions == found.sessions
    assert row(text, NOW + timedelta(days=400)).sessions != found.sessions


@pytest.mark.parametrize("rule", ["FREQ=DAILY", "FREQ=DAILY;COUNT=90000", "FREQ=DAILY;UNTIL=20991231T000000Z"])
def test_no_rule_gives_more_dates_than_a_message_holds(rule: str) -> None:
    """The first dates come in, and the office reads that there are more."""
    found = row(event("DTSTART:20270301T090000Z", "DURATION:PT1H", f"RRULE:{rule}"))
    assert len(found.sessions) == MOST_SESSIONS
    assert found.remarks


@pytest.mark.parametrize(
    "rule", ["FREQ=SECONDLY", "FREQ=HOURLY;COUNT=3", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;BYHOUR=77", "COUNT=3"]
)
def test_a_rule_without_sense_refuses_the_course(rule: str) -> None:
    """Nothing that repeats by the hour is a course; nothing hangs."""
    assert broken(event("DTSTART:20270301T090000Z", "DURATION:PT1H", f"RRULE:{rule}"))


def test_an_impossible_day_ends_by_itself() -> None:
    """The 30th of February never comes, and the search for it ends."""
    found = row(event("DTSTART:20270301T090000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"))
    assert [each.starts.day for each in found.sessions] == [1]


@pytest.mark.parametrize(
    "lines",
    [
        ["DTSTART:20270301T090000Z", "DTEND:20270301T080000Z"],
        ["DTSTART:20270301T090000Z", "DTEND;VALUE=DATE:20270302"],
        ["DTSTART:gestern"],
        ["DTSTART:20270301T090000Z", "DURATION:PT1H", "EXDATE:nie"],
        ["DTSTART:16010101T000000Z", "DURATION:PT1H"],
        ["DTEND:20270301T090000Z"],
    ],
    ids=["ends before", "ends on a day", "no date", "no exception", "long ago", "no beginning"],
)
def test_what_would_become_a_wrong_time_is_refused(lines: list[str]) -> None:
    """Each is named with its number, and nothing of it comes in."""
    assert "kurs-1" in broken(event(*lines))


def test_whole_days_are_kept_as_days_without_an_invented_hour() -> None:
    """The day after the last one ends it; the excepted day does not count."""
    found = row(event("DTSTART;VALUE=DATE:20270301", "DTEND;VALUE=DATE:20270303", "RRULE:FREQ=WEEKLY;COUNT=3"))
    assert (found.starts_on, found.ends_on, found.sessions) == (date(2027, 3, 1), date(2027, 3, 16), ())
    lines = ("DTSTART;VALUE=DATE:20270301", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20270315")
    assert row(event(*lines)).ends_on == date(2027, 3, 8)


def test_what_is_private_or_personal_does_not_come_in() -> None:
    """A private event is left out; guests and organizers of a public one are not read."""
    assert "private" in broken(event("DTSTART:20270301T090000Z", "DURATION:PT1H", "CLASS:PRIVATE"))
    people = ["ATTENDEE;CN=Ada Beispiel:mailto:ada@example.org", "ORGANIZER:mailto:chef@example.org"]
    found = row(event("DTSTART:20270301T090000Z", "DURATION:PT1H", *people))
    assert "example.org" not in repr(found)


def test_a_long_uid_is_shortened_to_the_same_number_each_time() -> None:
    """Two long UIDs that begin alike stay two courses."""
    long = [f"{'x' * 300}{end}" for end in "ab"]
    found = [row(event("DTSTART:20270301T090000Z", "DURATION:PT1H", uid=uid)).number for uid in (*long, long[0])]
    assert found[0] == found[2] != found[1]
    assert all(len(number) <= 200 for number in found)


def test_an_address_in_the_location_is_parted() -> None:
    """The town lets the quarter be found; what is no address stays one name."""
    place = row(event("DTSTART:20270301T090000Z", "DURATION:PT1H", "LOCATION:Haus\\, Weg 5\\, 30451 Hannover"))
    assert (place.building, place.street, place.postcode, place.town) == ("Haus", "Weg 5", "30451", "Hannover")
    assert row(event("DTSTART:20270301T090000Z", "DURATION:PT1H", "LOCATION:Im Park")).building == "Im Park"


@pytest.mark.parametrize(
    "text",
    ["", "/etc/passwd", "Guten Tag", "<html></html>", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", "BEGIN:X\r\n" * 5000],
)
def test_what_is_no_calendar_is_said_and_nothing_is_raised(text: str) -> None:
    """Also a file whose text is the name of another file on this machine."""
    (entry,) = read(text)
    assert isinstance(entry, BrokenRow)
    assert entry.ends_file


def test_a_calendar_in_windows_letters_is_read() -> None:
    """Old programmes do not write UTF-8."""
    text = event("DTSTART:20270301T090000Z", "DURATION:PT1H", title="Übung für Anfänger")
    (found,) = read(text.encode("cp1252"))
    assert isinstance(found, CatalogueRow)
    assert found.title == "Übung für Anfänger"
