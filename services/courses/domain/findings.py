"""What an office should look at in a catalogue before it is shown to others."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from services.courses.domain.catalogue import KINDS, BrokenRow, CatalogueRow, CatalogueSession, Entry, Finding
from shared.contract.zone import BERLIN

MOST_PAIRS = 10_000
MOST_DETAILS = 20
NOT_A_ROOM = frozenset({"online", "digital", "virtuell", "zoom", "webinar", "n.n.", "nn", "offen"})


def findings(entries: Iterable[Entry], most_pairs: int = MOST_PAIRS) -> tuple[Finding, ...]:
    """List what is odd in a catalogue, unreadable courses first.

    A number that comes again is a finding and is otherwise left out. Courses that the institution has cancelled take
    no seats and no rooms. After `most_pairs` overlapping pairs of sessions the search for more stops and says so.
    """
    entries = tuple(entries)
    found = [finding for entry in entries if isinstance(entry, BrokenRow) for finding in entry.findings]
    rows, doubled = first_of_each(entry for entry in entries if isinstance(entry, CatalogueRow))
    running = [row for row in rows if not row.cancelled]
    found += [_duplicate(row) for row in doubled]
    found += [remark for row in rows for remark in row.remarks]
    found += [finding for row in running for finding in _seats(row)]
    return (*found, *_rooms(running, most_pairs))


def count_findings(found: Iterable[Finding]) -> dict[str, int]:
    """Count the findings by kind, zeros included; what could not be read at all is no kind and is not counted."""
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    for finding in found:
        if finding.kind in counts:
            counts[finding.kind] += finding.count
    return counts


def first_of_each(rows: Iterable[CatalogueRow]) -> tuple[tuple[CatalogueRow, ...], tuple[CatalogueRow, ...]]:
    """Part the rows into the first of each number and those that come again."""
    first: dict[str, CatalogueRow] = {}
    again: list[CatalogueRow] = []
    for row in rows:
        if row.number in first:
            again.append(row)
        else:
            first[row.number] = row
    return tuple(first.values()), tuple(again)


def _duplicate(row: CatalogueRow) -> Finding:
    sentence = f"Course {row.number} is in the file more than once; the first one counts, this one is left out."
    return Finding("duplicate", (row.number,), sentence, (row.title,))


def _seats(row: CatalogueRow) -> Iterator[Finding]:
    taken, capacity, minimum = row.registered, row.capacity, row.minimum
    if capacity is not None and taken > capacity:
        sentence = f"Course {row.number} has {_people(taken)} for {_seats_of(capacity)}."
        yield Finding("over_capacity", (row.number,), sentence, (f"{taken}/{capacity}",))
    if capacity is not None and taken == capacity:
        sentence = f"Course {row.number} is exactly full: {taken} of {_seats_of(capacity)}."
        yield Finding("exactly_full", (row.number,), sentence, (f"{taken}/{capacity}",))
    if minimum is not None and taken < minimum:
        sentence = f"Course {row.number} has {_people(taken)} and needs {minimum} to start."
        yield Finding("below_minimum", (row.number,), sentence, (f"{taken}/{minimum}",))


def _people(count: int) -> str:
    return {0: "nobody", 1: "1 person"}.get(count, f"{count} people")


def _seats_of(count: int) -> str:
    return "1 seat" if count == 1 else f"{count} seats"


@dataclass(frozen=True, slots=True)
class _Use:
    """One session in one room."""

    starts: datetime
    ends: datetime
    number: str


@dataclass(slots=True)
class _Clash:
    """Two courses that meet in one room, and how often."""

    place: str
    count: int = 0
    detail: list[str] = field(default_factory=list)

    def add(self, one: _Use, other: _Use) -> None:
        self.count += 1
        if len(self.detail) < MOST_DETAILS:
            self.detail.append(f"{one.starts.astimezone(BERLIN):%d.%m.%Y} {_hours(one)} / {_hours(other)}")


def _rooms(rows: Iterable[CatalogueRow], most_pairs: int) -> Iterator[Finding]:
    clashes: dict[tuple[str, str, str], _Clash] = {}
    pairs = 0
    for place, uses in _uses_by_room(rows).items():
        for one, other in _overlapping(uses):
            pairs += 1
            if pairs > most_pairs:
                break
            first, second = sorted((one.number, other.number))
            clashes.setdefault((place, first, second), _Clash(place)).add(one, other)
    for (_, first, second), clash in clashes.items():
        yield _overlap(first, second, clash)
    if pairs > most_pairs:
        sentence = f"More than {most_pairs} pairs of sessions overlap in rooms; the others are not listed."
        yield Finding("room_overlap", (), sentence, count=0)


def _uses_by_room(rows: Iterable[CatalogueRow]) -> dict[str, list[_Use]]:
    rooms: dict[str, list[_Use]] = defaultdict(list)
    for row in rows:
        for session in row.sessions:
            if place := _place(row, session):
                rooms[place].append(_Use(session.starts, session.ends, row.number))
    return rooms


def _place(row: CatalogueRow, session: CatalogueSession) -> str | None:
    """Name a room by building and room: "Seminarraum 1" exists in many buildings, one building has many rooms."""
    room = session.room or row.room
    if not room or room.casefold() in NOT_A_ROOM:
        return None
    building = row.building or row.street
    return f"{room} ({building})" if building and building != room else room


def _overlapping(uses: list[_Use]) -> Iterator[tuple[_Use, _Use]]:
    """Sweep through one room by time: each session meets only those that have not ended; touching is no overlap."""
    present: list[_Use] = []
    for use in sorted(uses, key=lambda use: (use.starts, use.ends, use.number)):
        present = [earlier for earlier in present if earlier.ends > use.starts]
        for earlier in present:
            yield earlier, use
        present.append(use)


def _overlap(first: str, second: str, clash: _Clash) -> Finding:
    times = "once, on" if clash.count == 1 else f"{clash.count} times, first on"
    who = f"Courses {first} and {second}" if first != second else f"Sessions of course {first}"
    sentence = f"{who} overlap in the room {clash.place} {times} {clash.detail[0]}."
    numbers = (first, second) if first != second else (first,)
    return Finding("room_overlap", numbers, sentence, tuple(clash.detail), clash.count)


def _hours(use: _Use) -> str:
    return f"{use.starts.astimezone(BERLIN):%H:%M}-{use.ends.astimezone(BERLIN):%H:%M}"
