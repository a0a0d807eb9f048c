"""The time zones of one calendar file: names everybody knows, and those that the file defines itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from icalendar import Component, Timezone
from icalendar.timezone import tzp
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from services.courses.domain.catalogue import Kind, Trouble
from shared.contract.zone import BERLIN


class Unreadable(Exception):  # noqa: N818 - it says what the value is
    """A value of a calendar that would become a wrong time; its text ends the sentence "Course X ..."."""

    def __init__(self, words: str, kind: Kind | Trouble = "bad_date") -> None:
        super().__init__(words)
        self.kind: Kind | Trouble = kind


@dataclass(frozen=True, slots=True)
class When:
    """A time as a calendar writes it: what the clock shows, where; floating means that no place was named."""

    wall: datetime
    zone: tzinfo
    floating: bool = False

    @property
    def utc(self) -> datetime:
        """Give the moment; an hour that summer time leaves out is counted from before the change (RFC 5545)."""
        return self.wall.replace(tzinfo=self.zone).astimezone(UTC)

    def is_at(self, other: "When") -> bool:
        """Tell whether both mean one occurrence: by the moment, or by the clock where one of them names no place."""
        if self.floating or other.floating:
            return self.wall == other.wall
        return self.utc == other.utc


class Zones:
    """Finds the zone behind a TZID.

    The library keeps the zones of every file it ever read, by name: Outlook calls every zone "Customized Time Zone",
    so another file's hours would come back. Here each file has its own.
    """

    def __init__(self, components: Iterable[Component]) -> None:
        components = tuple(components)
        self._defined = {str(each.get("TZID")): each for whole in components for each in whole.walk("VTIMEZONE")}
        self._made: dict[str, tzinfo | None] = {}
        named = [str(whole.get("X-WR-TIMEZONE")) for whole in components if whole.get("X-WR-TIMEZONE")]
        self.local: tzinfo = next((zone for name in named if (zone := _known(name))), BERLIN)

    def zone(self, tzid: str) -> tzinfo:
        """Give the zone of this name; raises Unreadable for one that nobody knows."""
        if tzid not in self._made:
            self._made[tzid] = _known(tzid) or self._own(tzid)
        found = self._made[tzid]
        if found is None:
            raise Unreadable(
                f"names the time zone '{tzid[:60]}', which neither the file nor the world knows.", "bad_time"
            )
        return found

    def when(self, value: object, tzid: str | None) -> When | date:
        """Read a value as the library gives it, with the TZID beside it; a date alone stays a date."""
        if isinstance(value, datetime):
            wall = value.replace(tzinfo=None)
            if value.tzinfo is not None and str(value.tzinfo) == "UTC":
                return When(wall, UTC)
            return When(wall, self.zone(tzid)) if tzid else When(wall, self.local, floating=True)
        if isinstance(value, date):
            return value
        raise Unreadable("has a time that names no day.", "bad_time")

    def _own(self, tzid: str) -> tzinfo | None:
        component = self._defined.get(tzid)
        if not isinstance(component, Timezone) or not _yearly(component):
            return None
        try:
            made: tzinfo = tzp.create_timezone(component)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ):  # what a definition without sense makes of the library
            return None
        return made


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def _known(tzid: str) -> ZoneInfo | None:
    """Find Europe/Berlin, its Windows name, or /any.vendor/Europe/Berlin."""
    cleaned = tzid.strip("/")
    parts = cleaned.split("/")
    tails = ["/".join(parts[start:]) for start in range(1, len(parts))] if tzid.startswith("/") else []
    for name in (cleaned, WINDOWS_TO_OLSON.get(cleaned, ""), *tails):
        if name in _names():
            return ZoneInfo(name)
    return None


def _yearly(component: Timezone) -> bool:
    """Tell whether the zone changes by years: a rule by seconds would be searched through since 1601."""
    rules = [each.get("RRULE") for each in component.subcomponents]
    flat = [rule for found in rules if found for rule in (found if isinstance(found, list) else [found])]
    return all(rule.get("FREQ") == ["YEARLY"] for rule in flat)
