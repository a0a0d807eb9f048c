"""A Redis in memory that can lose its data, or the last of what it wrote, and wakes those who wait for entries."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, TypeVar

from shared.kit.memory_streams import MemoryStreams
from shared.kit.streams import START, Entry, Heartbeat, Position

T = TypeVar("T")


class SimRedis(MemoryStreams):
    """Streams in memory with the list of all writes, which is what the append-only file of a Redis is."""

    compares = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = False
        self.refused = 0
        self._written: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
        super().__init__()

    async def append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        """Append the entries where the stream ends at `after`; without comparing, where Redis takes their ids."""
        [head] = await self.heads([stream])
        if not self.compares and entries[0].position > head:
            after = head
        end = await super().append(stream, after, entries, state)
        if end is None:
            self.refused += 1
        else:
            self._written.append(("append", (stream, after, entries, state)))
            self._wake(stream)
        return end

    async def keep_state(self, stream: str, state: dict[str, Entry]) -> None:
        """Set the newest entries of some keys."""
        self._written.append(("keep_state", (stream, state)))
        await super().keep_state(stream, state)

    async def beat(self, stream: str, heartbeat: Heartbeat) -> None:
        """Leave the writer's heartbeat."""
        self._written.append(("beat", (stream, heartbeat)))
        await super().beat(stream, heartbeat)

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position."""
        self._written.append(("trim", (stream, below)))
        await super().trim(stream, below)

    def lose(self, writes: int) -> None:
        """Come back without the last writes of all keys, as after a power cut with `appendfsync everysec`."""
        kept = self._written[: max(0, len(self._written) - writes)]
        self.wipe()
        self._written = []
        for name, arguments in kept:
            at_once(getattr(self, name)(*arguments))
        self.disconnect()

    def lose_all(self) -> None:
        """Come back empty."""
        self.wipe()
        self._written = []
        self.disconnect()

    def disconnect(self) -> None:
        """Let everybody go who waits, as a connection does that breaks."""
        for stream in list(self._waiting):
            self._wake(stream)

    async def entries_behind(self, stream: str, after: Position) -> None:
        """Wait until there may be an entry behind a position."""
        if self._ends.get(stream, START) <= after:
            await self.next_entry(stream)

    async def next_entry(self, stream: str) -> None:
        """Wait until an entry comes, or the connection breaks."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[stream].append(waiting)
        await waiting

    async def any_behind(self, after: dict[str, Position]) -> None:
        """Wait until one of some streams has an entry behind its place, or the connection breaks."""
        if all(self._ends.get(stream, START) <= place for stream, place in after.items()):
            waiting = asyncio.get_running_loop().create_future()
            for stream in after:
                self._waiting[stream].append(waiting)
            await waiting

    def _wake(self, stream: str) -> None:
        for waiting in self._waiting.pop(stream, []):
            if not waiting.done():
                waiting.set_result(None)


def at_once(doing: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        doing.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a coroutine waited that must not")
