"""Live views: listeners to the change feed of one process, woken when a stream has moved, few enough, and let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType

import structlog

from shared.kit.applying import is_transient
from shared.kit.changes import Change, Feed
from shared.kit.ending import is_ending, pause
from shared.kit.errors import Problem
from shared.kit.feed_cursor import Places
from shared.kit.paging import PageSize
from shared.kit.streams import Position

log = structlog.get_logger()

LOOK_EVERY = 0.25
PAGE = 50
PAGE_BYTES = 256 * 1024
COME_BACK_SECONDS = 30


class TooManyListeners(Problem):
    """This process has as many listeners as it may."""

    status = 503
    code = "too_many_listeners"
    headers = MappingProxyType({"Retry-After": str(COME_BACK_SECONDS)})


class Live:
    """The listeners of one process; one look at the streams' ends serves them all.

    Nothing is queued for a listener: each reads its own next page once the one before was sent, so that a slow one
    holds one page and a place in the streams.
    """

    def __init__(self, feed: Feed, most: int) -> None:
        self.feed = feed
        self._most = most
        # Every listener holds a page of its own.
        self._pages = PageSize(PAGE, PAGE_BYTES)
        self.listeners = 0
        self._ends: dict[str, Position] | None = None
        self._turn = 0
        self._turned = asyncio.Event()
        self._closing = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """Take a listener in; raises TooManyListeners."""
        if self.listeners >= self._most or self._closing.is_set():
            raise TooManyListeners(f"{self._most} listen already; please come back later, or poll /changes")
        self.listeners += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self.listeners -= 1
            if not self.listeners and self._looking is not None:
                self._looking.cancel()
                self._looking, self._ends = None, None

    async def follow(
        self, since: Places, institution: str | None, types: frozenset[str]
    ) -> AsyncIterator[tuple[Change, Places]]:
        """Give every change behind places as it comes, with the places behind it, until the process stops."""
        places = dict(since)
        while not self._closing.is_set():
            turn = self._turn
            try:
                page = await self.feed.page(places, PAGE, institution, types, self._pages)
            except Exception as error:
                if not is_transient(error):
                    raise
                await self._wait(self._closing, 1.0)
                continue
            for change in page.changes:
                places[change.institution] = change.place
                yield change, places
                if self._closing.is_set():
                    return
            places = dict(page.places)
            if not page.more:
                await self._wait_for_turn(turn)

    def close(self) -> None:
        """Let all listeners go: they come back to another process, or to this one after its restart."""
        self._closing.set()
        self._wake()

    async def _wait_for_turn(self, seen: int) -> None:
        while self._turn == seen and not self._closing.is_set():
            await self._turned.wait()

    def _wake(self) -> None:
        self._turn += 1
        self._turned.set()
        self._turned = asyncio.Event()

    async def _look(self) -> None:
        silent = False
        while not is_ending():
            try:
                ends = await self.feed.heads()
                silent = False
                if ends != self._ends:
                    self._ends = ends
                    self._wake()
            except Exception as error:
                if not is_transient(error):
                    log.exception("live_fault")
                elif not silent:
                    log.warning("live_waits", reason=str(error))
                silent = True
            await pause(LOOK_EVERY if not silent else 4 * LOOK_EVERY)

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
