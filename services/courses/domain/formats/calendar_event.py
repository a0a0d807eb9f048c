"""One VEVENT and its moved dates become the sessions of a course."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from icalendar import Component

from services.courses.domain.catalogue import CatalogueSession
from services.courses.domain.formats.recurrence import MOST_SESSIONS, Repeats, repeats
from services.courses.domain.formats.zones import Unreadable, When, Zones

ONE_UNIT: Final = timedelta(minutes=45)
NO_END: Final = "states no end; 45 minutes are assumed until somebody says it here."
_DATES: Final = ("DTSTART", "DTEND", "DURATION", "RRULE", "EXDATE", "EXRULE", "RECURRENCE-ID")
_EARLIEST, _LATEST = datetime(1990, 1, 1), datetime(2100, 12, 31)  # noqa: DTZ001 - what clocks show, in any zone


@dataclass(frozen=True, slots=True)
class Length:
    """How long something lasts: whole days go by the calendar, the rest by the clock; `assumed` if nobody said it."""

    days: int = 0
    rest: timedelta = timedelta()
    assumed: bool = False

    def end_of(self, start: When) -> datetime:
        """Give when something that starts then is over, in UTC."""
        return replace(start, wall=start.wall + timedelta(days=self.days)).utc + self.rest


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One date: its sign in the rule, and when it really is."""

    sign: When
    starts: datetime
    ends: datetime
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of a course: sessions, or only days; `remarks` end the sentence "Course X ..."."""

    sessions: tuple[CatalogueSession, ...] = ()
    first: date | None = None
    last: date | None = None
    remarks: tuple[str, ...] = ()


def dates_of(event: Component, moved: Sequence[Component], zones: Zones, now: datetime) -> Dates:
    """Read all dates of an event; raises Unreadable rather than give a wrong time."""
    for component in (event, *moved):
        if wrong := [str(name) for name, _ in component.errors if name in _DATES]:
            raise Unreadable(f"has a {wrong[0]} that cannot be read.")
    start = _start(event, zones)
    if not isinstance(start, When):
        return _days(event, start, moved, zones, now)
    length = _length(event, start, zones)
    found, remarks = _occurrences(event, start, length, zones, now)
    left, begins = [each for each in found[0] if not _is_left_out(each, event, start, zones, now)], found[1]
    for override in moved:
        left = _moved(left, override, begins, zones)
    sessions = sorted({CatalogueSession(each.starts, each.ends, each.room) for each in left}, key=_order)
    if length.assumed or any(_states_no_end(override) for override in moved):
        remarks = [*remarks, NO_END]
    if len(sessions) > MOST_SESSIONS:
        remarks = [*remarks, f"has {len(sessions)} dates; the first {MOST_SESSIONS} are read."]
    return Dates(tuple(sessions[:MOST_SESSIONS]), remarks=tuple(dict.fromkeys(remarks)))


def _order(session: CatalogueSession) -> tuple[datetime, datetime, str]:
    return session.starts, session.ends, session.room or ""


def values_of(component: Component, name: str) -> Iterator[tuple[Any, str | None]]:
    """Give every value of a property that may come several times, each with the TZID of its own line."""
    found = component.get(name)
    for line in found if isinstance(found, list) else [found] if found is not None else []:
        tzid = line.params.get("TZID")
        for value in getattr(line, "dts", [line]):
            yield value.dt, tzid


def _single(component: Component, name: str, zones: Zones) -> When | date | None:
    values = list(values_of(component, name))
    if not values:
        return None
    if len(values) > 1:
        raise Unreadable(f"has more than one {name}.")
    value, tzid = values[0]
    return zones.when(value, tzid)


def _start(event: Component, zones: Zones) -> When | date:
    start = _single(event, "DTSTART", zones)
    if start is None:
        raise Unreadable("has no beginning.")
    wall = start.wall if isinstance(start, When) else datetime.combine(start, time())
    if not _EARLIEST <= wall <= _LATEST:
        raise Unreadable(f"begins on {wall:%d.%m.%Y}, far from any course.")
    return start


def _states_no_end(event: Component) -> bool:
    return event.get("DTEND") is None and event.get("DURATION") is None


def _length(event: Component, start: When, zones: Zones) -> Length:
    end = _single(event, "DTEND", zones)
    if isinstance(end, When):
        lasts = end.utc - start.utc
        if lasts < timedelta():
            raise Unreadable("ends before it began.", "bad_time")
        return Length(rest=lasts) if lasts else Length(rest=ONE_UNIT, assumed=True)
    if end is not None:
        raise Unreadable("begins at a time and ends on a day without one.", "bad_time")
    duration = event.get("DURATION")
    if duration is None:
        return Length(rest=ONE_UNIT, assumed=True)
    if not isinstance(duration.dt, timedelta) or duration.dt <= timedelta():
        raise Unreadable("lasts no time at all.", "bad_time")
    return Length(duration.dt.days, duration.dt - timedelta(days=duration.dt.days))


def _rules(event: Component, name: str) -> list[Any]:
    found = event.get(name)
    return found if isinstance(found, list) else [found] if found is not None else []


def _occurrences(
    event: Component, start: When, length: Length, zones: Zones, now: datetime
) -> tuple[tuple[list[Occurrence], datetime | None], list[str]]:
    """Give the dates by rules and by hand, with the beginning of the window where a rule has no end."""
    ruled = [repeats(rule, start, now) for rule in _rules(event, "RRULE")]
    walls = dict.fromkeys(wall for each in ruled or [Repeats((start.wall,))] for wall in each.walls)
    starts = [replace(start, wall=wall) for wall in walls]
    found = [Occurrence(each, each.utc, length.end_of(each)) for each in starts]
    remarks = [each.cut for each in ruled if each.cut]
    for value, tzid in values_of(event, "RDATE"):
        try:
            found.append(_by_hand(value, tzid, start, length, zones))
        except Unreadable as unreadable:
            remarks.append(f"has an additional date that is left out: it {unreadable}")
    if any(name == "RDATE" for name, _ in event.errors):
        remarks.append("has an additional date that cannot be read and is left out.")
    return (found, min((each.begins for each in ruled if each.begins), default=None)), remarks


def _by_hand(value: object, tzid: str | None, start: When, length: Length, zones: Zones) -> Occurrence:
    """Read an additional date: a moment, a day at the usual hour, or a period with its own end."""
    if isinstance(value, tuple):
        begins, until = value
        when = zones.when(begins, tzid)
        if not isinstance(when, When):
            raise Unreadable("has a period without a time.", "bad_time")
        last = zones.when(until, tzid) if isinstance(until, datetime) else None
        ends = last.utc if isinstance(last, When) else when.utc + until
        if ends <= when.utc:
            raise Unreadable("has a period that ends before it began.", "bad_time")
        return Occurrence(when, when.utc, ends)
    when = zones.when(value, tzid)
    if not isinstance(when, When):
        when = replace(start, wall=datetime.combine(when, start.wall.time()))
    return Occurrence(when, when.utc, length.end_of(when))


def _is_left_out(each: Occurrence, event: Component, start: When, zones: Zones, now: datetime) -> bool:
    for value, tzid in values_of(event, "EXDATE"):
        excluded = zones.when(value, tzid)
        if excluded.is_at(each.sign) if isinstance(excluded, When) else excluded == each.sign.wall.date():
            return True
    return any(each.sign.wall in repeats(rule, start, now).walls for rule in _rules(event, "EXRULE"))


def _moved(found: list[Occurrence], override: Component, begins: datetime | None, zones: Zones) -> list[Occurrence]:
    """Put what is said of one date in the place of that date."""
    sign = _single(override, "RECURRENCE-ID", zones)
    if sign is None or override["RECURRENCE-ID"].params.get("RANGE"):
        raise Unreadable("moves all later dates at once, which is not read.")
    rest = [each for each in found if not _is_of(sign, each)]
    wall = sign.wall if isinstance(sign, When) else datetime.combine(sign, time())
    if str(override.get("STATUS", "")).upper() == "CANCELLED" or (begins is not None and wall < begins):
        return rest
    start = _start(override, zones)
    if not isinstance(start, When):
        raise Unreadable("has a date that was moved to a day without a time.", "bad_time")
    length = _length(override, start, zones)
    room = " ".join(str(override.get("LOCATION", "")).split()) or None
    return [*rest, Occurrence(start, start.utc, length.end_of(start), room)]


def _is_of(sign: When | date, each: Occurrence) -> bool:
    return sign.is_at(each.sign) if isinstance(sign, When) else sign == each.sign.wall.date()


def _days(event: Component, first: date, moved: Sequence[Component], zones: Zones, now: datetime) -> Dates:
    """Read an event of whole days: they are kept as the first and the last day, without sessions."""
    start = When(datetime.combine(first, time()), UTC, floating=True)
    ruled = [repeats(rule, start, now) for rule in _rules(event, "RRULE")]
    days = {wall.date() for each in ruled or [Repeats((start.wall,))] for wall in each.walls}
    days |= {_day(value) for value, _ in values_of(event, "RDATE")}
    days -= {_day(value) for value, _ in values_of(event, "EXDATE")}
    for override in moved:
        days -= {_day(value) for value, _ in values_of(override, "RECURRENCE-ID")}
        if str(override.get("STATUS", "")).upper() != "CANCELLED":
            days.add(_day_of(_start(override, zones)))
    if not days:
        raise Unreadable("has no day left that is not excepted.")
    remarks = ("names days without a time; its sessions are not known.", *(each.cut for each in ruled if each.cut))
    return Dates((), min(days), max(days) + _lasting(event, first) - timedelta(days=1), remarks)


def _lasting(event: Component, first: date) -> timedelta:
    """Give for how many days it goes; the end of whole days is the day after the last one."""
    end, duration = event.get("DTEND"), event.get("DURATION")
    if end is not None and not isinstance(end.dt, datetime) and end.dt > first:
        return timedelta(days=(end.dt - first).days)
    days = duration.dt.days if duration is not None and isinstance(duration.dt, timedelta) else 1
    return timedelta(days=max(1, days))


def _day(value: object) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    raise Unreadable("has a date among whole days that is none.")


def _day_of(start: When | date) -> date:
    return start.wall.date() if isinstance(start, When) else start
