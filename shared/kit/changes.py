"""The change feed: what the network tells of a service's things, read from the streams behind a cursor.

An ordinal given at insert would be simpler, and would skip: serial order is not commit order. A stream's positions
are given after the commit, by one writer, and are the same on every node and after a wiped Redis.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from shared.contract.catalogue import CATALOGUE
from shared.contract.envelope import MessageRefused, open_envelope, service_of, type_of
from shared.contract.streams import StreamName
from shared.contract.words import Audience
from shared.kit.database import Database
from shared.kit.directory import known_institutions
from shared.kit.errors import Transient
from shared.kit.feed_cursor import Place, Places
from shared.kit.outbox import digest
from shared.kit.paging import PageSize
from shared.kit.streams import START, Entry, Position, Streams

log = structlog.get_logger()

CHUNK = 100
MOST_READ = 2000
MOST_BYTES = 4 * 1024 * 1024
KEPT_SECONDS = 60.0
MOST_KEPT_KEYS = 200_000


class StateIncomplete(Transient):
    """The state of a stream is being refilled; what it lacks is not passed over."""


def public_types(service: str) -> frozenset[str]:
    """Give the types of the public messages that a service speaks; empty where it tells the network nothing."""
    spoken = (kind for kind in CATALOGUE.values() if service_of(kind) == service)
    return frozenset(type_of(kind) for kind in spoken if kind.audience is Audience.NETWORK)


@dataclass(frozen=True, slots=True)
class Change:
    """A message as it travelled, and the place of its institution's stream behind it."""

    institution: str
    position: Position
    payload: bytes
    place: Place


@dataclass(frozen=True)
class Page:
    """Changes, the places behind them, and whether there is more already."""

    changes: Sequence[Change]
    places: Places
    more: bool


class Feed:
    """Reads the public streams of one service as this node has them."""

    def __init__(self, service: str, office: str, database: Database, streams: Streams) -> None:
        self.service = service
        self._office = office
        self._database = database
        self._streams = streams
        self._states = _States(streams)
        self._pages = PageSize(CHUNK, MOST_BYTES)

    async def heads(self) -> dict[str, Position]:
        """Give the end of every institution's stream; one that has joined is among them."""
        async with self._database.reading() as connection:
            institutions = sorted({*await known_institutions(connection), self._office})
        return await self._heads_of(institutions)

    async def page(
        self,
        since: Places,
        limit: int,
        institution: str | None = None,
        types: Collection[str] = (),
        pages: PageSize | None = None,
    ) -> Page:
        """Give up to `limit` changes behind places; within an institution in order, a busy one hides no other."""
        heads = await (self.heads() if institution is None else self._heads_of([institution]))
        news = [name for name, head in heads.items() if head > since.get(name, Place()).at]
        reading = _Reading(dict(since), limit, frozenset(types), pages or self._pages)
        share = -(-limit // max(1, len(news)))
        for name in _rotated(news, since):
            await self._read(name, heads[name], min(share, limit - len(reading.changes)), reading)
        return Page(reading.changes, reading.places, reading.more)

    async def _heads_of(self, institutions: list[str]) -> dict[str, Position]:
        heads = await self._streams.heads([self._stream(name) for name in institutions])
        return dict(zip(institutions, heads, strict=True))

    def _stream(self, institution: str) -> str:
        return str(StreamName(Audience.NETWORK, institution, self.service))

    async def _read(self, institution: str, head: Position, room: int, reading: "_Reading") -> None:
        place = reading.places.get(institution, Place())
        end = len(reading.changes) + room
        while place.at < head and len(reading.changes) < end and not reading.is_spent:
            if place.until is not None and head < place.until:
                return  # a wiped Redis that is being refilled: what the cursor speaks of comes back under the same ids
            count = reading.wanted(end)
            try:
                steps, after = await self._steps(self._stream(institution), place, head, count)
            except StateIncomplete as error:
                # The place stays where it is, and the other institutions go on.
                log.warning("state_incomplete", reason=str(error))
                return
            place = reading.take(institution, steps, after, end)
        reading.more |= place.at < head

    async def _steps(
        self, stream: str, place: Place, head: Position, count: int
    ) -> tuple[list[tuple[Entry, Place]], Place]:
        """Give the next entries with the place behind each, and the place behind all."""
        if place.until is None and place.at != START:
            entries = await self._streams.read(stream, place.at, count)
            if entries and entries[0].position.follows(place.at):
                steps = [(entry, Place(entry.position)) for entry in _unbroken(entries)]
                return steps, steps[-1][1]
        if place.until is None:
            # The start, or a place before the trim: the newest of each key up to a fixed end, then what follows it.
            place = replace(place, until=await self._states.end(stream, place.at, head))
        return await self._compacted(stream, place, head, count)

    async def _compacted(
        self, stream: str, place: Place, head: Position, count: int
    ) -> tuple[list[tuple[Entry, Place]], Place]:
        until = place.until or head
        wanted = await self._states.between(stream, place.at, until, head)
        part = wanted[:count]
        found = await self._streams.state_of(stream, [key for _, key in part]) if part else {}
        steps = [
            # A key that moved on meanwhile is told behind `until`.
            (found[key], Place(position, until))
            for position, key in part
            if key in found and found[key].position == position
        ]
        return steps, Place(until) if len(part) == len(wanted) else Place(part[-1][0], until)


class _Reading:
    """What one page has taken so far, and how much more may be read for it."""

    def __init__(self, places: dict[str, Place], limit: int, types: frozenset[str], pages: PageSize) -> None:
        self.places = places
        self.changes: list[Change] = []
        self.more = False
        self._types = types
        self._left = MOST_READ
        self._pages = pages
        self._bytes = pages.most_bytes

    @property
    def is_spent(self) -> bool:
        """Tell whether enough was read for one page, though little of it may be wanted."""
        return self._left <= 0 or self._bytes <= 0

    def wanted(self, end: int) -> int:
        """Give how many entries to read next; of those of wanted types nobody knows how far they lie apart."""
        return self._pages.count if self._types else min(self._pages.count, end - len(self.changes))

    def take(self, institution: str, steps: list[tuple[Entry, Place]], after: Place, end: int) -> Place:
        """Take what is wanted until there are `end` changes; give the place behind."""
        self._pages.saw([entry for entry, _ in steps])
        for entry, place in steps:
            self.places[institution] = place
            self._left -= 1
            if self._is_wanted(entry):
                self._bytes -= len(entry.payload)
                self.changes.append(Change(institution, entry.position, entry.payload, place))
            if (len(self.changes) >= end or self.is_spent) and entry is not steps[-1][0]:
                return place
        self._left -= 1
        self.places[institution] = after
        return after

    def _is_wanted(self, entry: Entry) -> bool:
        try:
            envelope = open_envelope(entry.payload)
        except MessageRefused:
            return False  # no message: every reader of the stream parks it with its reason
        return not self._types or envelope.type in self._types


@dataclass(frozen=True)
class _State:
    """The keys of a stream's state by position, as they stood when the stream ended at `head`."""

    head: Position
    keys: list[tuple[Position, str]]


class _States:
    """The order of streams' states, kept for a minute: a late joiner asks for a large one page by page.

    One made when the stream ended at `head` serves every `until` up to there: a key only ever moves behind its end.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._kept: OrderedDict[str, _State] = OrderedDict()
        self._making = asyncio.Lock()

    async def end(self, stream: str, at: Position, head: Position) -> Position:
        """Give up to where the state is to be given to somebody who stands at a place."""
        kept = self._kept.get(stream)
        return kept.head if kept is not None and at < kept.head <= head else head

    async def between(self, stream: str, at: Position, until: Position, head: Position) -> list[tuple[Position, str]]:
        """Give the keys whose newest message lies behind `at` and not behind `until`, in order."""
        async with self._making:
            kept = self._kept.get(stream)
            if kept is None or kept.head < until:
                kept = _State(head, await self._made(stream, head))
                self._keep(stream, kept)
        return kept.keys[bisect_right(kept.keys, at, key=_position) : bisect_right(kept.keys, until, key=_position)]

    async def _made(self, stream: str, head: Position) -> list[tuple[Position, str]]:
        index = await self._streams.state_index(stream)
        beat = await self._streams.heartbeat(stream)
        newest = max((entry.position for entry in index.values()), default=START)
        # The last entry is the newest of its key: a state that does not reach the end, or has lost keys, would skip.
        short = newest < head or (beat is not None and len(index) < beat.keys)
        if short or (beat and beat.head == head == newest and beat.digest != digest(index)):
            raise StateIncomplete(f"the state of {stream} is not complete yet")
        return sorted((entry.position, key) for key, entry in index.items())

    def _keep(self, stream: str, state: _State) -> None:
        self._kept[stream] = state
        self._kept.move_to_end(stream)
        while len(self._kept) > 1 and sum(len(each.keys) for each in self._kept.values()) > MOST_KEPT_KEYS:
            self._kept.popitem(last=False)
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, stream, state)

    def _drop(self, stream: str, state: _State) -> None:
        if self._kept.get(stream) is state:
            del self._kept[stream]


def _position(row: tuple[Position, str]) -> Position:
    return row[0]


def _unbroken(entries: list[Entry]) -> list[Entry]:
    """Give the entries up to the first gap; the first one is known to follow."""
    for at in range(1, len(entries)):
        if not entries[at].position.follows(entries[at - 1].position):
            return entries[:at]
    return entries


def _rotated(names: list[str], since: Mapping[str, Place]) -> list[str]:
    """Begin with another institution each time the cursor has moved: with a small limit none waits for ever."""
    if not names:
        return names
    turn = sum(place.at.seq for place in since.values()) % len(names)
    return names[turn:] + names[:turn]
