"""Reads a calendar (RFC 5545): each VEVENT with all its dates is one course."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, BinaryIO, Final

from icalendar import Component

from services.courses.domain.catalogue import BrokenRow, CatalogueRow, Entry, Finding, Kind, Trouble
from services.courses.domain.characters import Characters, UnreadableFileError
from services.courses.domain.formats.calendar_event import Dates, dates_of
from services.courses.domain.formats.zones import Unreadable, Zones
from shared.contract.zone import BERLIN

MOST_BYTES: Final = 8 * 1024 * 1024
MOST_EVENTS: Final = 5_000
_NUMBER, _LINE, _PROSE = 120, 200, 4_000
NO_TITLE: Final = "Ohne Titel"
_TOWN: Final = re.compile(r"(?:D-)?([0-9]{5}) +(.+)")
# A calendar says nothing of seats and fees; what was stated here, or by nobody, stays as it is.
UNSTATED: Final = ("capacity", "minimum", "registered", "waiting")
# What broken calendars make of the library's parser; each becomes one sentence about the file.
_UNPARSABLE: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


@dataclass
class _Course:
    """The components that share a UID: the event itself, and the dates of it that were moved or cancelled."""

    number: str
    named: bool
    events: list[Component] = field(default_factory=list)
    moved: list[Component] = field(default_factory=list)


def read_ics(stream: BinaryIO, now: datetime) -> Iterator[Entry]:
    """Read a calendar course by course; an event that would get a wrong time comes as a BrokenRow.

    `now` bounds rules without an end. Attendees, organizers and alarms are never read. Nothing is raised.
    """
    try:
        components = _components(stream)
    except UnreadableFileError as error:
        yield _broken_file(str(error))
        return
    events = [event for whole in components for event in whole.walk("VEVENT")]
    if not events:
        yield _broken_file("The file holds no event of a calendar.")
    zones = Zones(components)
    for course in _courses(events[:MOST_EVENTS]):
        yield from _entries(course, zones, now)
    if len(events) > MOST_EVENTS:
        yield _broken_file(f"The file holds more than {MOST_EVENTS:,} events; the others are not read.")


def _components(stream: BinaryIO) -> list[Component]:
    source, pieces = Characters(stream, MOST_BYTES), []
    while piece := source.read():
        pieces.append(piece)
    # A text of one line would be taken for the name of a file on this machine.
    text = "".join(pieces) + "\n"
    try:
        return list(Component.from_ical(text, multiple=True))
    except _UNPARSABLE as error:
        raise UnreadableFileError("The file is no calendar, or it is cut off.") from error


def _broken_file(sentence: str) -> BrokenRow:
    return BrokenRow(None, (Finding("broken_file", (), sentence),), ends_file=True)


def _courses(events: Sequence[Component]) -> list[_Course]:
    found: dict[str, _Course] = {}
    for event in events:
        uid = " ".join(str(event.get("UID", "")).split())
        number = _number(uid) if uid else _number_without_uid(event)
        course = found.setdefault(number, _Course(number, bool(uid)))
        (course.moved if event.get("RECURRENCE-ID") is not None else course.events).append(event)
    return list(found.values())


def _number(uid: str) -> str:
    return uid if len(uid) <= _NUMBER else f"{uid[:100]}-{sha256(uid.encode()).hexdigest()[:16]}"


def _number_without_uid(event: Component) -> str:
    """Make a number that is the same as long as beginning and title are."""
    parts = [event.get(name) for name in ("DTSTART", "RECURRENCE-ID", "RDATE", "SUMMARY")]
    written = [part.to_ical() if hasattr(part, "to_ical") else str(part).encode() for part in parts]
    return f"ohne-uid-{sha256(b'|'.join(written)).hexdigest()[:12]}"


def _entries(course: _Course, zones: Zones, now: datetime) -> Iterator[Entry]:
    if not course.events:
        # Only moved dates came: they are the course, as far as the file tells it.
        yield _entry(course, course.moved[0], course.moved, zones, now)
        return
    yield _entry(course, course.events[0], course.moved, zones, now)
    for again in course.events[1:]:
        yield _entry(course, again, (), zones, now)


def _entry(course: _Course, event: Component, moved: Sequence[Component], zones: Zones, now: datetime) -> Entry:
    if str(event.get("CLASS", "PUBLIC")).upper() != "PUBLIC":
        return _broken(course.number, "is marked as private and is left out.", "unreadable_row")
    try:
        dates = dates_of(event, moved, zones, now)
    except Unreadable as unreadable:
        return _broken(course.number, str(unreadable), unreadable.kind)
    except (ArithmeticError, *_UNPARSABLE):
        return _broken(course.number, "has dates that no calendar shows.", "bad_date")
    return _row(course, event, dates)


def _broken(number: str, words: str, kind: Kind | Trouble) -> BrokenRow:
    return BrokenRow(number, (Finding(kind, (number,), f"Course {number} {words}"),))


def _row(course: _Course, event: Component, dates: Dates) -> CatalogueRow:
    title = _line(event, "SUMMARY")
    words = list(dates.remarks)
    words += [] if title else [f"has no title and is called '{NO_TITLE}'."]
    words += [] if course.named else ["has no UID; another beginning or title makes it another course."]
    days = [each.starts.astimezone(BERLIN).date() for each in dates.sessions]
    ends = [each.ends.astimezone(BERLIN).date() for each in dates.sessions]
    return CatalogueRow(
        number=course.number,
        title=title or NO_TITLE,
        description=_text(event),
        starts_on=min(days, default=dates.first),
        ends_on=max(ends, default=dates.last),
        sessions=dates.sessions,
        cancelled=str(event.get("STATUS", "")).upper() == "CANCELLED",
        unstated=UNSTATED,
        remarks=tuple(Finding("remark", (course.number,), f"Course {course.number} {each}") for each in words),
        **_place(_line(event, "LOCATION") or ""),
    )


def _line(event: Component, name: str) -> str | None:
    found = event.get(name)
    return " ".join(str(found[0] if isinstance(found, list) else found).split())[:_LINE] if found else None


def _text(event: Component) -> str | None:
    found = event.get("DESCRIPTION")
    lines = str((found[0] if isinstance(found, list) else found) or "").splitlines()
    return "\n".join(line.strip() for line in lines).strip()[:_PROSE].strip() or None


def _place(location: str) -> dict[str, Any]:
    """Part "Haus, Straße 5, 30159 Hannover, Deutschland"; anything else stays one name."""
    parts = [part.strip() for part in location.split(",") if part.strip()]
    if parts and parts[-1].casefold() in ("deutschland", "germany"):
        parts.pop()
    town = _TOWN.fullmatch(parts[-1]) if parts else None
    if not town:
        return {"building": ", ".join(parts) or None}
    rest = parts[:-1]
    street = rest.pop() if rest and re.search("[0-9]", rest[-1]) else None
    return {
        "building": ", ".join(rest) or None,
        "street": street,
        "postcode": town.group(1),
        "town": town.group(2),
    }
