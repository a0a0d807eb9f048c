"""A broker in the place of FastStream's: one subscriber for each stream, with its position in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Protocol

from deploy.simulation.redis import SimRedis
from deploy.simulation.trace import Trace
from shared.kit.errors import Transient
from shared.kit.streams import Entry, Position

Handler = Callable[[Any], Awaitable[None]]
AGAIN = 1.0


class Reads(Protocol):
    """The process that subscribes."""

    trace: Trace
    random: Random
    repeats: float
    streams: Any
    redis: SimRedis

    def start(self, doing: Any) -> asyncio.Task[None]:
        """Run something as long as the process lives."""
        ...


class SimBroker:
    """What Subscriptions uses of a RedisBroker."""

    def __init__(self, process: Reads) -> None:
        self._process = process

    async def connect(self) -> None:
        """There is nothing to connect."""

    async def stop(self) -> None:
        """The process ends its subscribers."""

    def subscriber(self, *, stream: Any, **_: Any) -> "SimSubscriber":
        """Make a subscriber of one stream."""
        return SimSubscriber(self._process, stream)


class SimSubscriber:
    """Reads on behind its position, which moves when the handler returns; it is lost with the process."""

    def __init__(self, process: Reads, wanted: Any) -> None:
        self._process = process
        self._wanted = wanted
        self._stream = wanted.name
        self._position = Position.parse(wanted.last_id)
        self._handler: Handler | None = None

    def __call__(self, handler: Handler) -> Handler:
        """Take the handler."""
        self._handler = handler
        return handler

    async def start(self) -> None:
        """Begin to read."""
        self._process.start(self._read())

    async def _read(self) -> None:
        while True:
            await self._process.redis.entries_behind(self._stream, self._position)
            try:
                page = await self._process.streams.read(self._stream, self._position, self._wanted.max_records)
            except Transient:
                await asyncio.sleep(AGAIN)
                continue
            await self._give(page)

    async def _give(self, page: list[Entry]) -> None:
        if not page:
            # Trimmed away: a blocking XREAD waits for the next entry, and it comes with a gap before it.
            await self._process.redis.next_entry(self._stream)
            return
        assert self._handler is not None  # noqa: S101 - Subscriptions gives the handler before it starts
        times = 2 if self._process.random.random() < self._process.repeats else 1
        for again in range(times):
            if again:
                self._process.trace.fault("page_again", self._stream)
            ids = [str(entry.position).encode() for entry in page]
            await self._handler({"message_ids": ids, "data": [_raw(entry) for entry in page]})
        self._position = page[-1].position


def _raw(entry: Entry) -> dict[bytes, bytes]:
    return {b"p": entry.payload, b"h": entry.hash}
