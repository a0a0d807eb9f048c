"""The sessions of a course in one cell: `05.04.2027 09:00-12:15 @ Raum 3 | 06.04.2027 09:00-12:15`."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from services.courses.domain.catalogue import CatalogueSession
from services.courses.domain.formats.zones import Unreadable
from services.courses.domain.kufer_fields import clock_of, day_of, moment_of
from shared.contract.zone import BERLIN

_PARTS: Final = re.compile(r"(?:[^|\\\n;]|\\.)+")
_LOCAL: Final = re.compile(
    r"(?:\w{2,10}\.?,? +)?(?P<day>[0-9.\-]{8,10})[ ,]+(?:von +)?(?P<begins>[0-9.:]{4,5})(?: *Uhr)?"
    r" *(?:-|–|bis) *(?:(?P<last>[0-9.\-]{8,10}) +)?(?P<ends>[0-9.:]{4,5})(?: *Uhr)?"
)
_MOMENTS: Final = re.compile(r"(?P<begins>[0-9T:.+\-]+Z?)/(?P<ends>[0-9T:.+\-]+Z?)")


def read_sessions(cell: str) -> tuple[CatalogueSession, ...]:
    """Read a cell of sessions; raises Unreadable for the first that is none."""
    found = [_session(part.strip()) for part in _PARTS.findall(cell) if part.strip()]
    return tuple(sorted(found, key=lambda session: (session.starts, session.ends, session.room or "")))


def write_sessions(sessions: Iterable[CatalogueSession]) -> str:
    """Write sessions as a cell that reads back as the same moments."""
    return " | ".join(_written(sessions))


def _written(sessions: Iterable[CatalogueSession]) -> Iterator[str]:
    for session in sessions:
        time = _in_hannover(session)
        room = re.sub(r"([\\|;@])", r"\\\1", session.room) if session.room else None
        yield f"{time} @ {room}" if room else time


def _in_hannover(session: CatalogueSession) -> str:
    begins, ends = session.starts.astimezone(BERLIN), session.ends.astimezone(BERLIN)
    last = "" if begins.date() == ends.date() else f"{ends:%d.%m.%Y} "
    local = f"{begins:%d.%m.%Y %H:%M}-{last}{ends:%H:%M}"
    # Seconds, and the hour that comes twice in autumn, do not fit into what people read.
    if (begins.fold or ends.fold) or begins.second or ends.second or begins.microsecond or ends.microsecond:
        return f"{session.starts.astimezone(UTC).isoformat()}/{session.ends.astimezone(UTC).isoformat()}"
    return local


def _session(text: str) -> CatalogueSession:
    time, *room = re.split(r"(?<!\\)@", text, maxsplit=1)
    starts, ends = _times(time.strip())
    if ends <= starts:
        raise Unreadable(f"has a session '{time.strip()[:60]}', which ends before it began.", "bad_time")
    where = " ".join(re.sub(r"\\(.)", r"\1", room[0]).split()) if room else ""
    return CatalogueSession(starts, ends, where[:200] or None)


def _times(text: str) -> tuple[datetime, datetime]:
    if moments := _MOMENTS.fullmatch(text):
        return _moment(moments["begins"], text), _moment(moments["ends"], text)
    local = _LOCAL.fullmatch(text)
    if not local:
        raise Unreadable(f"has a session '{text[:60]}', which is no date with times.")
    return _local(local["day"], local["begins"], text), _local(local["last"] or local["day"], local["ends"], text)


def _moment(text: str, whole: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1990 <= moment.year <= 2100:
        raise Unreadable(f"has a session '{whole[:60]}', which is no date with times.")
    return moment.astimezone(UTC)


def _local(day: str, clock: str, whole: str) -> datetime:
    date, time = day_of(day), clock_of(clock)
    if date is None:
        raise Unreadable(f"has a session '{whole[:60]}' on no day of the calendar.")
    moment = moment_of(date, time) if time else None
    if moment is None:
        raise Unreadable(f"has a session '{whole[:60]}' at a time that no clock shows.", "bad_time")
    return moment
