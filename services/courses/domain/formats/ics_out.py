"""Writes a calendar (RFC 5545) of all sessions of all runs."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from services.courses.domain.formats.writing import Heading, Shown, address
from shared.contract.words import Place, RunState
from shared.contract.zone import BERLIN, BERLIN_RULE

# The rule of the European Union since 1996 (directive 2000/84/EC); what was before is written in UTC.
_RULE_SINCE: Final = datetime(1996, 3, 31, 1, tzinfo=UTC)
_STATUS: Final = {RunState.PUBLISHED: "TENTATIVE", RunState.CANCELLED: "CANCELLED"}
_ESCAPED: Final = {"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"}


class IcsWriter:
    """One VEVENT for each session; a run that knows only its days is one event of whole days.

    A session is named as in the mails to participants: by its position, so that an entry moves with its session.
    """

    def __init__(self, heading: Heading) -> None:
        self._heading = heading

    def begin(self) -> str:
        """Give the head with the zone of Hannover."""
        head = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//ALBuM//courses//DE", "CALSCALE:GREGORIAN"]
        named = ["METHOD:PUBLISH", f"X-WR-CALNAME:{_text(self._heading.title)}", "X-WR-TIMEZONE:Europe/Berlin"]
        return _lines([*head, *named, *BERLIN_RULE.splitlines()])

    def add(self, shown: Shown) -> str:
        """Give the sessions of a run."""
        return _lines(self._events(shown))

    def end(self) -> str:
        """Give the end of the calendar."""
        return _lines(["END:VCALENDAR"])

    def _events(self, shown: Shown) -> Iterator[str]:
        run = shown.picture
        for position, session in enumerate(run.sessions):
            times = [_time("DTSTART", session.starts), _time("DTEND", session.ends)]
            place = run.place.model_copy(update={"room": session.room or run.place.room})
            yield from self._event(shown, f"{run.run_id}-p{position}", times, place)
        if not run.sessions and run.starts_on:
            last = max(run.ends_on or run.starts_on, run.starts_on) + timedelta(days=1)
            days = [f"DTSTART;VALUE=DATE:{_day(run.starts_on)}", f"DTEND;VALUE=DATE:{_day(last)}", "TRANSP:TRANSPARENT"]
            yield from self._event(shown, f"{run.run_id}-days", days, run.place)

    def _event(self, shown: Shown, name: str, times: list[str], place: Place) -> Iterator[str]:
        run = shown.picture
        yield from ("BEGIN:VEVENT", f"UID:{name}@album")
        yield from (f"DTSTAMP:{_utc(shown.seen_at)}", f"SEQUENCE:{shown.version}", *times)
        yield f"SUMMARY:{_text(run.title)}"
        yield f"STATUS:{_STATUS.get(run.state, 'CONFIRMED')}"
        if where := where_of(place):
            yield f"LOCATION:{_text(where)}"
        told = (run.cancelled_reason, run.description, f"{run.number} · {shown.name}")
        yield f"DESCRIPTION:{_text(chr(10).join(filter(None, told)))}"
        yield from (f"CATEGORIES:{run.kind.value}", f"URL:{address(self._heading, run.run_id)}", "END:VEVENT")


def where_of(place: Place) -> str:
    """Give a place in one line, from the building to the town."""
    town = " ".join(filter(None, (place.postcode, place.town)))
    return ", ".join(filter(None, (place.name, place.room, place.street, town)))


def _time(name: str, moment: datetime) -> str:
    local = moment.astimezone(BERLIN)
    # The hour that comes twice in autumn has no second name in a local time.
    if moment < _RULE_SINCE or local.fold:
        return f"{name}:{_utc(moment)}"
    return f"{name};TZID=Europe/Berlin:{local:%Y%m%dT%H%M%S}"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _day(day: date) -> str:
    return f"{day:%Y%m%d}"


def _text(text: str) -> str:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"[\\;,\n]", lambda found: _ESCAPED[found[0]], re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", plain))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _folded(line: str) -> str:
    """Break a line after 75 bytes at most, never inside a letter."""
    if len(line) <= 75 and line.isascii():
        return line
    pieces, room = [""], 75
    for letter in line:
        size = len(letter.encode())
        if size > room:
            pieces.append("")
            room = 74
        pieces[-1] += letter
        room -= size
    return "\r\n ".join(pieces)
