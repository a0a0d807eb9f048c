"""Turns: what many ask for at once is given to one of each institution after the other; a flood waits for itself."""

import asyncio
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from shared.kit.clock import monotonic

lane: ContextVar[str] = ContextVar("lane", default="")
"""For whom the work at hand is done: an institution, a stranger's address, or the service itself (empty)."""

BREATH = 0.005
REST = 2.0
LONGEST_REST = 1.0


@contextmanager
def in_lane(name: str) -> Iterator[None]:
    """Do the work of a block in somebody's lane."""
    token = lane.set(name)
    try:
        yield
    finally:
        lane.reset(token)


class Gate:
    """Has so many places; of those who wait, each lane gets one in its turn, and none has more than its share.

    The service's own work has no share: its relay and its readers serve everybody.
    """

    def __init__(self, places: int, share: int) -> None:
        self._free = places
        self._share = share
        self._inside: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it until the block ends."""
        name = lane.get()
        if self._free and not self._waiting and self._has_room(name):
            self._enter(name)
        else:
            await self._wait(name)
        try:
            yield
        finally:
            self._leave(name)

    def waiting(self, name: str) -> int:
        """Count who waits in a lane."""
        return len(self._waiting.get(name, ()))

    def _has_room(self, name: str) -> bool:
        return not name or self._inside[name] < self._share

    def _enter(self, name: str) -> None:
        self._free -= 1
        self._inside[name] += 1

    def _leave(self, name: str) -> None:
        self._free += 1
        self._inside[name] -= 1
        if not self._inside[name]:
            del self._inside[name]
        self._let_in()

    async def _wait(self, name: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(place)
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            # Let in and given up at the same moment: the place goes on to the next.
            if place.done() and not place.cancelled():
                self._leave(name)
            raise

    def _let_in(self) -> None:
        while self._free and (name := self._next()) is not None:
            queue = self._waiting[name]
            place = queue.popleft()
            if queue:
                self._waiting.move_to_end(name)
            else:
                del self._waiting[name]
            if not place.done():
                self._enter(name)
                place.set_result(None)

    def _next(self) -> str | None:
        return next((name for name in self._waiting if self._has_room(name)), None)


class Rest:
    """Has every lane rest after its work, twice as long as it worked: on a slow machine, too, others have their part.

    A limit by the second cannot know how much a machine does in one. A lane does one piece of work at a time.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._at_work: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Wait until the lane has rested, then work until the block ends."""
        name = lane.get()
        async with self._at_work[name]:
            if (wait := self._until.pop(name, 0.0) - monotonic()) > 0:
                await asyncio.sleep(wait)
            begun = monotonic()
            try:
                yield
            finally:
                now = monotonic()
                self._until[name] = now + min(LONGEST_REST, REST * (now - begun))


class Breath:
    """Lets others have the event loop again and again during a long piece of work."""

    def __init__(self) -> None:
        self._until = monotonic() + BREATH

    async def take(self) -> None:
        """Hand over, if the work has lasted for some milliseconds since it last did."""
        if monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = monotonic() + BREATH
