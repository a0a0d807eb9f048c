"""Reading a stream in pages that are bounded by bytes as well as by number, though a stream counts entries only."""

from typing import Generic, Protocol, TypeVar

from shared.kit.streams import Position

SMALLEST = 16
LARGEST = 500
MOST_BYTES = 1024 * 1024


class HasPayload(Protocol):
    """An entry of any kind."""

    @property
    def position(self) -> Position:
        """Give where it stands."""
        ...

    @property
    def payload(self) -> bytes:
        """Give the exact bytes of the message."""
        ...


E = TypeVar("E", bound=HasPayload)


class Readable(Protocol[E]):
    """What gives the entries of a stream behind a position."""

    async def read(self, stream: str, after: Position, count: int) -> list[E]:
        """Give up to `count` entries behind a position."""
        ...


P = TypeVar("P", bound=HasPayload)


class Pages(Generic[P]):
    """Asks for more entries at once while they are small, for fewer as soon as they are large."""

    def __init__(self, streams: Readable[P], largest: int = LARGEST) -> None:
        self._streams = streams
        self._largest = largest
        self.count = SMALLEST

    async def after(self, stream: str, position: Position, count: int | None = None) -> list[P]:
        """Give a page of entries behind a position."""
        page = await self._streams.read(stream, position, count or self.count)
        size = sum(len(entry.payload) for entry in page)
        if size > MOST_BYTES:
            self.count = max(1, self.count // 4)
            return _first_of(page)
        if size * 4 < MOST_BYTES and len(page) == self.count:
            self.count = min(self._largest, self.count * 2)
        return page


def _first_of(page: list[P]) -> list[P]:
    """Give the beginning of a page that is not too large; one entry at least."""
    size = 0
    for index, entry in enumerate(page):
        size += len(entry.payload)
        if size > MOST_BYTES and index:
            return page[:index]
    return page


def before(position: Position) -> Position:
    """Give the place right before a position, to read on from there."""
    return Position(position.epoch, position.seq - 1)


def behind(position: Position) -> Position:
    """Give the place right behind a position in its epoch."""
    return Position(position.epoch, position.seq + 1)


def unbroken(page: list[P]) -> list[P]:
    """Give the entries up to the first gap."""
    for index in range(1, len(page)):
        if not page[index].position.follows(page[index - 1].position):
            return page[:index]
    return page
