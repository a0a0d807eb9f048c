"""On which days something repeats: the rules of RFC 5545, by the clock on the wall, never without an end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, Final

from dateutil.rrule import rrule, rrulestr

from services.courses.domain.formats.zones import Unreadable, When

MOST_SESSIONS: Final = 400
YEARS_OF_AN_ENDLESS_RULE: Final = 2
_YEARS_OF_ANY_RULE: Final = 10
_MOST_STEPS: Final = 100_000
_DAILY_OR_RARER: Final = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})


@dataclass(frozen=True, slots=True)
class Repeats:
    """What the clock shows at each occurrence; `cut` ends the sentence "Course X ..." where some are left out."""

    walls: tuple[datetime, ...]
    begins: datetime | None = None
    cut: str | None = None


def repeats(rule: Any, start: When, now: datetime) -> Repeats:
    """Expand a rule from its start.

    A rule without an end gives two years, counted from the last day on which a whole number of years had passed:
    the result then changes once a year and not with every import. Raises Unreadable for a rule without sense.
    """
    if {str(each) for each in rule.get("FREQ", [])} - _DAILY_OR_RARER or not rule.get("FREQ"):
        raise Unreadable("repeats every hour or more often, or by no known measure.", "bad_time")
    until, count = _until(rule, start), _count(rule)
    if until is None and count is None:
        return _endless(rule, start.wall, now.astimezone(start.zone).replace(tzinfo=None))
    horizon = _years_later(start.wall, _YEARS_OF_ANY_RULE)
    last = min(until, horizon) if until else horizon
    most = min(count or MOST_SESSIONS, MOST_SESSIONS)
    walls = tuple(islice(_walls(rule, start.wall, last), most + 1))
    cut = None
    if len(walls) > most and (count is None or count > most):
        cut = f"repeats more than {MOST_SESSIONS} times; the first {MOST_SESSIONS} are read."
    elif last == horizon and (until or len(walls) < (count or 0)):
        cut = f"repeats for more than {_YEARS_OF_ANY_RULE} years; what comes later is left out."
    return Repeats(walls[:most], cut=cut)


def _endless(rule: Any, first: datetime, now: datetime) -> Repeats:
    passed = max(0, now.year - first.year - (_years_later(first, now.year - first.year) > now))
    begins = _years_later(first, passed)
    ends = _years_later(begins, YEARS_OF_AN_ENDLESS_RULE)
    last = ends - timedelta(seconds=1)
    inside = (wall for wall in _walls(rule, first, last) if wall >= begins)
    walls = tuple(islice(inside, MOST_SESSIONS))
    till = walls[-1] if len(walls) == MOST_SESSIONS else last
    return Repeats(walls, begins, f"repeats without an end; it is read from {begins:%d.%m.%Y} to {till:%d.%m.%Y}.")


def _walls(rule: Any, first: datetime, last: datetime) -> Iterator[datetime]:
    """Go through the occurrences; the start is one of them even where the rule does not name it."""
    yield first
    for step, wall in enumerate(_rule(rule, first, last)):
        if step >= _MOST_STEPS:
            raise Unreadable("repeats too often to be a course.", "bad_time")
        if wall != first:
            yield wall


def _rule(rule: Any, first: datetime, last: datetime) -> rrule:
    plain = type(rule)({name: value for name, value in rule.items() if name not in ("UNTIL", "COUNT")})
    text = plain.to_ical().decode() + f";UNTIL={last:%Y%m%dT%H%M%S}"
    try:
        found = rrulestr(text, dtstart=first)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable("repeats by a rule that cannot be read.") from error
    if not isinstance(found, rrule) or int(str((rule.get("INTERVAL") or [1])[0])) < 1:
        raise Unreadable("repeats by a rule that cannot be read.")
    return found


def _count(rule: Any) -> int | None:
    found = rule.get("COUNT")
    return max(1, int(found[0])) if found else None


def _until(rule: Any, start: When) -> datetime | None:
    found = rule.get("UNTIL")
    if not found:
        return None
    until = found[0]
    if not isinstance(until, datetime):
        return datetime.combine(until, time.max.replace(microsecond=0)) if isinstance(until, date) else None
    bare = until.replace(tzinfo=None)
    if until.tzinfo is None:
        return bare
    # The moment is given in UTC; the rule itself goes by the clock where the course is.
    local = until.astimezone(start.zone).replace(tzinfo=None)
    return max(bare, local) if start.floating else local


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # the 29th of February
        return moment.replace(year=moment.year + years, day=28)
