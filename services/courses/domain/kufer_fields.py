"""The values of one KuferSQL course: each either reads, or leaves a finding behind and reads as nothing."""

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

from services.courses.domain.catalogue import CatalogueSession, Finding, Kind, Trouble
from shared.contract.zone import BERLIN

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_GERMAN_DAY: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?: 00:00(?::00)?)?")
_ISO_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]00:00(?::00)?)?")
_CLOCK: Final = re.compile(r"([0-9]{1,2})[:.]([0-9]{2})(?::00)?(?: Uhr)?")
_EUROS: Final = re.compile(r"([0-9]{1,5})(?:[.,]([0-9]{2}))?(?: ?(?:€|EUR|Euro))?")
_YES: Final = frozenset({"w", "wahr", "j", "ja", "1", "true"})
_NO: Final = frozenset({"f", "falsch", "n", "nein", "0", "false"})
_EARLIEST, _LATEST = date(1990, 1, 1), date(2100, 12, 31)


def day_of(text: str) -> date | None:
    """Read 03.04.2017 or 2017-04-03; None for a day that does not exist or lies far from any course."""
    german, iso = _GERMAN_DAY.fullmatch(text), _ISO_DAY.fullmatch(text)
    if german:
        day, month, year = (int(part) for part in german.groups())
    elif iso:
        year, month, day = (int(part) for part in iso.groups())
    else:
        return None
    try:
        read = date(year, month, day)
    except ValueError:
        return None
    return read if _EARLIEST <= read <= _LATEST else None


def clock_of(text: str) -> time | None:
    """Read 9:00, 09.00 or 09:00:00; None for a time no clock shows."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute = (int(part) for part in match.groups())
    return time(hour, minute) if hour < 24 and minute < 60 else None


def moment_of(day: date, clock: time) -> datetime | None:
    """Turn a day and a time in Hannover into UTC; None in the hour that summer time leaves out."""
    moment = datetime.combine(day, clock, BERLIN).astimezone(UTC)
    return moment if moment.astimezone(BERLIN).time() == clock else None


class Fields:
    """What one `kurs` element says; `troubles` fills up with what could not be read."""

    def __init__(self, course: "Element", position: int, most_in_text: int, most_in_line: int) -> None:
        self._course = course
        self._most_in_text = most_in_text
        self._most_in_line = most_in_line
        self._name = f"Course no. {position} in the file"
        self.number = ""
        self.troubles: list[Finding] = []
        self.number = self._number()

    def _number(self) -> str:
        number = self.line("knr")
        if number is None:
            if not self.troubles:
                self._trouble("unreadable_row", "has no course number.")
            return ""
        self._name = f"Course {number}"
        return number

    def title(self, *tags: str) -> str:
        """Give the first title there is; a course without one cannot be shown."""
        known = len(self.troubles)
        title = self.line(*tags)
        if title is None and len(self.troubles) == known:
            self._trouble("unreadable_row", "has no title.")
        return title or ""

    def line(self, *tags: str) -> str | None:
        """Give the first of these tags that says something, as one line."""
        return next((line for tag in tags if (line := self._line(self._course, tag))), None)

    def lines(self, path: str) -> tuple[str, ...]:
        """Give every element of this path as one line, each once."""
        found = [self._line(element, ".") for element in self._course.iterfind(path)]
        return tuple(dict.fromkeys(line for line in found if line))

    def text(self, *tags: str) -> str | None:
        """Give the first of these tags that says something, line breaks kept."""
        for tag in tags:
            lines = (self._course.findtext(tag) or "").splitlines()
            if text := "\n".join(line.strip() for line in lines).strip():
                return self._short_enough(tag, text, self._most_in_text)
        return None

    def count(self, tag: str) -> int | None:
        """Give a number of people; None where the file gives none."""
        text = self.line(tag)
        if text is None:
            return None
        if not re.fullmatch("[0-9]{1,5}", text):
            self._trouble("unreadable_row", f"has {tag} {_shown(text)}, which is no number of people.", text)
            return None
        return int(text)

    def day(self, tag: str) -> date | None:
        """Give a day; None where the file gives none."""
        text = self.line(tag)
        return None if text is None else self._day(tag, text)

    def period(self, first: str, last: str) -> tuple[date | None, date | None]:
        """Give the first and the last day, which must not be in the wrong order."""
        starts_on, ends_on = self.day(first), self.day(last)
        if starts_on and ends_on and ends_on < starts_on:
            sentence = f"ends on {ends_on:%d.%m.%Y}, before it starts on {starts_on:%d.%m.%Y}."
            self._trouble("bad_date", sentence, ends_on.isoformat())
        return starts_on, ends_on

    def flag(self, tag: str) -> bool | None:
        """Give W(ahr) or F(alsch); None for anything else."""
        text = (self.line(tag) or "").casefold()
        return True if text in _YES else False if text in _NO else None

    def negated(self, tag: str) -> bool | None:
        """Give the opposite of a flag that is named by a "no"."""
        value = self.flag(tag)
        return None if value is None else not value

    def fees(self, normal: str, reduced: str, note: str) -> tuple[int | None, int | None, str | None]:
        """Give both fees in cents and the words about them; a fee in words goes into the words."""
        texts = self.line(normal), self.line(reduced)
        cents = [_cents(text) for text in texts]
        words = [text for text, read in zip(texts, cents, strict=True) if text and read is None]
        notes = [*words, self.line(note)]
        return cents[0], cents[1], "; ".join(text for text in notes if text) or None

    def sessions(self, path: str) -> tuple[CatalogueSession, ...]:
        """Give all dates of the course in the order of time."""
        found = [session for element in self._course.iterfind(path) if (session := self._session(element))]
        return tuple(sorted(found, key=lambda session: (session.starts, session.ends, session.room or "")))

    def _session(self, element: "Element") -> CatalogueSession | None:
        tag, begins, ends = (self._line(element, name) or "" for name in ("tag", "zeitvon", "zeitbis"))
        if not (tag or begins or ends):
            return None
        day = self._day("tag", tag)
        first, last = self._clock(tag, begins), self._clock(tag, ends)
        if day is None or first is None or last is None:
            return None
        return self._between(day, first, last, self._room(element))

    def _room(self, element: "Element") -> str | None:
        return self._line(element, "ortraumname") or self._line(element, "ort") or None

    def _between(self, day: date, first: time, last: time, room: str | None) -> CatalogueSession | None:
        starts, ends = moment_of(day, first), moment_of(day, last)
        if starts is None or ends is None:
            self._trouble("bad_time", f"has a session on {day:%d.%m.%Y} in the hour that summer time leaves out.")
            return None
        if ends <= starts:
            sentence = (
                f"has a session on {day:%d.%m.%Y} from {first:%H:%M} to {last:%H:%M}, which ends before it began."
            )
            self._trouble("bad_time", sentence, f"{first:%H:%M}-{last:%H:%M}")
            return None
        return CatalogueSession(starts, ends, room)

    def _day(self, tag: str, text: str) -> date | None:
        day = day_of(text)
        if day is None:
            what = f"the date {_shown(text)}" if text else "a session without a date"
            self._trouble("bad_date", f"has {what} ({tag}), which is no day of the calendar.", text)
        return day

    def _clock(self, day: str, text: str) -> time | None:
        clock = clock_of(text)
        if clock is None:
            what = f"the time {_shown(text)}" if text else "no time"
            self._trouble("bad_time", f"has {what} on {_shown(day)}, which no clock shows.", text)
        return clock

    def _line(self, element: "Element", tag: str) -> str:
        line = " ".join(((element.text if tag == "." else element.findtext(tag)) or "").split())
        return self._short_enough(tag, line, self._most_in_line)

    def _short_enough(self, tag: str, text: str, most: int) -> str:
        if len(text) <= most:
            return text
        self._trouble("unreadable_row", f"has {len(text):,} characters in {tag}; {most:,} are read at most.")
        return ""

    def _trouble(self, kind: Kind | Trouble, sentence: str, *values: str) -> None:
        numbers = (self.number,) if self.number else ()
        trouble = Finding(kind, numbers, f"{self._name} {sentence}", tuple(_shown(each) for each in values))
        if kind != "unreadable_row" or trouble not in self.troubles:  # a tag that serves two fields is told once
            self.troubles.append(trouble)


def _cents(text: str | None) -> int | None:
    match = _EUROS.fullmatch(text or "")
    return int(match.group(1)) * 100 + int(match.group(2) or 0) if match else None


def _shown(text: str) -> str:
    """Cut a value short: what stands in the wrong field may be a whole page."""
    return text if len(text) <= 40 else f"{text[:40]}..."
