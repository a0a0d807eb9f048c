"""The real path: what courses commits at one node, its relay, Redis, and the readers of courses at another node."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import sqlalchemy as sa
from faststream.redis import RedisBroker

from services.courses.app import service
from services.courses.store import Store
from shared.contract.streams import StreamName
from shared.contract.words import Audience
from shared.kit import tables
from shared.kit.clock import monotonic
from shared.kit.node import Node, build
from shared.kit.reader import StreamReader
from shared.kit.settings import Settings
from shared.kit.streams import Entry, Position
from shared.kit.subscriptions import Subscriptions

SECRET = "sixteen signs and a few more"  # noqa: S105 - opens nothing
PAGE = 500
Taken = Callable[[list[Position], float], None]


def institutions(number: int) -> list[str]:
    """Name institutions of the sending node."""
    return [f"haus-{each:03}" for each in range(number)]


def stream_of(institution: str) -> str:
    """Name the stream on which courses of an institution tells the network."""
    return str(StreamName(Audience.NETWORK, institution, "courses"))


def node_at(database: str, redis: str) -> Node[Store]:
    """Build the service courses as its own process would, hosting nobody of whom it hears."""
    settings = Settings(database=database, redis=redis, secret=SECRET, hosted="nobody", services="http://127.0.0.1:9")
    return build(service, settings)


async def close(node: Node[Any]) -> None:
    """Close what a node has opened."""
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()


async def commit(node: Node[Store], messages: Iterable[Any], count: int) -> None:
    """Commit messages through units of work, as handlers do."""
    messages = iter(messages)
    for start in range(0, count, PAGE):
        async with node.works() as work:
            work.tell(*islice(messages, min(PAGE, count - start)))


async def relay_all(node: Node[Store]) -> None:
    """Bring everything that is committed into the streams."""
    while await node.relay.step():
        await node.lease.hold()


async def until_published(node: Node[Store], count: int) -> None:
    """Wait until the running node has brought a number of messages into its one stream."""
    while (await node.streams.heads([stream_of(institutions(1)[0])]))[0].seq < count:  # noqa: ASYNC110 - in Redis
        await asyncio.sleep(0.05)


async def know(node: Node[Store], slugs: list[str]) -> None:
    """Have a node know institutions, as it would from members."""
    rows = [{"slug": slug, "name": slug, "state": "active", "version": 1} for slug in slugs]
    async with node.database.transaction() as connection:
        await connection.execute(sa.insert(tables.institution), rows)


async def stand_at_start(node: Node[Store], slugs: list[str]) -> None:
    """Give the readers a cursor before the first message, so that they read the streams and no snapshot."""
    rows = [{"stream": stream_of(slug), "epoch": 0, "seq": 0, "attempts": 0} for slug in slugs]
    async with node.database.transaction() as connection:
        await connection.execute(sa.insert(tables.cursor), rows)


class Watched(StreamReader):
    """A reader that says when it has committed what it took."""

    taken: Taken | None = None

    async def _apply(self, entries: list[Entry]) -> None:
        await super()._apply(entries)
        if self.taken is not None and self.position is not None:
            at = monotonic()
            # With care, only the first of them is applied.
            self.taken([one.position for one in entries if one.position <= self.position], at)


class Receiver:
    """The readers of a node, and where they are."""

    def __init__(self, database: str, redis: str, slugs: list[str]) -> None:
        self.node = node_at(database, redis)
        self.slugs = slugs
        self._seen: list[tuple[list[Position], float]] = []
        self.left = 0
        self.done = asyncio.Event()
        self.ended = 0.0
        self.made = 0.0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Subscribe to the streams, and look after the readers as a running service does."""
        node, settings = self.node, self.node.settings
        broker: RedisBroker = node.subscriptions._broker
        make = node.subscriptions._make
        subscriptions = Subscriptions(
            broker, node.streams, node.database, node.subscriptions._hears, settings, node.works.clock,
            lambda name: self._watched(make(name)),
        )  # fmt: skip
        node.subscriptions = subscriptions
        tasks = [asyncio.create_task(turn) for turn in (node._start_reading(), node.writing_back())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await subscriptions.stop()

    async def settled(self) -> None:
        """Wait until every stream is subscribed to."""
        wanted = {stream_of(slug) for slug in self.slugs}
        while not wanted <= self.node.subscriptions.readers.keys():  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.02)

    async def stands_at(self, position: Position) -> None:
        """Wait until the first stream is read up to a position; what was read on the way does not count for `until`."""
        await self.settled()
        reader = self.node.subscriptions.readers[stream_of(self.slugs[0])]
        while reader.position != position:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.02)
        self.left = 0

    async def until(self, messages: int) -> float:
        """Wait until so many messages are committed; give the moment."""
        self.left += messages
        self.done.clear()
        if self.left > 0:
            await self.done.wait()
        return self.ended

    def _watched(self, reader: StreamReader) -> StreamReader:
        reader.__class__ = Watched
        assert isinstance(reader, Watched)  # noqa: S101 - just made so
        reader.taken = self._note
        if reader.stream == stream_of(self.slugs[0]):
            self.made = monotonic()
        return reader

    @property
    def seen(self) -> dict[Position, float]:
        """Give when each message was committed."""
        return {position: at for positions, at in self._seen for position in positions}

    def _note(self, positions: list[Position], at: float) -> None:
        self._seen.append((positions, at))
        self.left -= len(positions)
        self.ended = at
        if self.left <= 0:
            self.done.set()


def position(number: int) -> Position:
    """Give the position of a message in the first epoch."""
    return Position(1, number)
