"""The reader: every message of a stream has its effect once, because the cursor moves in the effect's transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta
from random import Random
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.streams import parse_stream
from shared.contract.words import Audience
from shared.kit import cursors, parking
from shared.kit.applying import Applier, Unguarded, is_transient
from shared.kit.clock import Clock, full_jitter, passed
from shared.kit.errors import Transient
from shared.kit.gaps import before, contiguous
from shared.kit.hears import Hears
from shared.kit.in_time import HandlerHangs
from shared.kit.paging import PageSize
from shared.kit.parking import Refusal
from shared.kit.retrying import retry_parked
from shared.kit.snapshot import Snapshot, snapshot_of
from shared.kit.streams import START, Entry, Position, Streams
from shared.kit.work import Work, Works

log = structlog.get_logger()

PAGE = 1000
LOG_PAGE = 500
MOST_ATTEMPTS = 3
SETTLE = 0.5
REFILLED_WITHIN = timedelta(minutes=10)

Backfill = Callable[[str, Position, int], Awaitable[list[Entry]]]


class StreamReader:
    """Reads one stream into the service's tables; one bad message stops nobody, a gap stops this stream alone."""

    def __init__(
        self,
        stream: str,
        hears: Hears,
        works: Works[Any],
        streams: Streams,
        backfill: Backfill,
        clock: Clock,
        random: Random,
    ) -> None:
        self.stream = stream
        self.position: Position | None = None
        self.failing: str | None = None
        self.pages = PageSize(PAGE)
        self._works = works
        self._streams = streams
        self._backfill = backfill
        self._clock = clock
        self._random = random
        self._applier = Applier(stream, hears)
        self._public = parse_stream(stream).audience is Audience.NETWORK
        self._sealed = parse_stream(stream).audience is Audience.SEALED
        self._gap_at: Position | None = None
        self._gap_since = clock.monotonic()
        self._lock = asyncio.Lock()
        self._attempts = 0
        self._careful = START
        self._counted: Position | None = None
        self._alone = True
        self._loaded: Position | None = None
        self._hung = 0

    async def take(self, entries: list[Entry]) -> None:
        """Apply entries that came in; returns only when they are committed, however long that takes."""
        self.pages.saw(entries)
        failures = 0
        while True:
            try:
                async with self._lock:
                    await self._advance(entries)
            except Exception as error:
                if not is_transient(error):
                    # A fault of ours, not of a message: this stream waits and says so, the others go on.
                    log.exception("reader_fault", stream=self.stream)
                failures += 1
                self.failing = f"{type(error).__name__}: {error}"
                if not isinstance(error, HandlerHangs):
                    await self._clock.sleep(full_jitter(self._random, failures, cap=5.0))
            else:
                self.failing = None
                return

    async def catch_up(self) -> None:
        """Read what the stream holds behind the cursor; raises Transient where something does not answer."""
        async with self._lock:
            await self._follow_cursor()
            while page := await self._streams.read(self.stream, self._at, self.pages.count):
                self.pages.saw(page)
                await self._advance(page)
            beat = await self._streams.heartbeat(self.stream)
            if beat is not None and self.position is not None and beat.head > self.position:
                await self._fill_gap(beat.head)

    async def retry_parked(self) -> None:
        """Try again what an operator asked for, in order, thing by thing."""
        async with self._lock:
            await retry_parked(self.stream, self._works, self._applier)

    async def leave(self, connection: AsyncConnection) -> None:
        """Take back the attempt that was counted in advance: whoever comes next need not be careful."""
        if self.position is not None and self._counted == self.position and not self._lock.locked():
            await cursors.take_back_attempt(connection, self.stream, self.position)

    async def _follow_cursor(self) -> None:
        """Take over the cursor as it stands in the database: a rebuild or another copy may have moved it."""
        was = self.position
        await self._load()
        if was is not None and self.position != was:
            log.info("cursor_followed", stream=self.stream, was=str(was), now=str(self.position))

    async def _load(self) -> None:
        while (stored := await self._stored()) is None:
            if self._public:
                await self._load_snapshot(START)
            else:
                async with self._works.database.transaction() as connection:
                    await cursors.make(connection, self.stream)
        self.position = self._loaded = stored

    async def _stored(self) -> Position | None:
        async with self._works.database.reading() as connection:
            stored = await cursors.stored(connection, self.stream)
        if stored is None:
            return None
        self._attempts, self._careful = stored.attempts, stored.careful
        if stored.attempts <= 1 and not self._alone:
            # This process has come here alive, and what is counted is the attempt of another copy that moved on.
            self._careful = START
        self._alone = False
        return stored.position

    async def _load_snapshot(self, after: Position) -> None:
        """Note the end, load the newest message of every key behind a position, stand at the noted end.

        Page by page in the order of the stream, the cursor behind each page: what a crash leaves is a cursor behind
        which every key has a newer message. An attempt counts as it does for the tail, and a message that ends the
        process is found and parked.
        """
        snapshot = await snapshot_of(self._streams, self.stream, after)
        async with self._works.database.transaction() as connection:
            await cursors.make(connection, self.stream)
        self.position = after
        if not await self._apply_pages(snapshot):
            return
        async with self._works() as work:
            if not await self._cursor_is_at(self._at, work.connection):
                self.position = None
                return
            await self._move_cursor(work.connection, snapshot.head)
        self.position = snapshot.head
        # The attempts that are counted are of this process, which has come to the end of them alive.
        self._alone = False
        log.info("snapshot_loaded", stream=self.stream, keys=len(snapshot.keys), head=str(snapshot.head))

    async def _apply_pages(self, snapshot: Snapshot) -> bool:
        """Apply what may have gaps in it, page by page; False where another copy has moved the cursor."""
        async for page in snapshot.pages(self._streams, self.pages):
            left = page
            while left:
                await self._apply(left)
                if self.position is None:
                    return False
                left = [entry for entry in left if entry.position > self._at]
        return True

    async def _advance(self, entries: list[Entry]) -> None:
        while True:
            if self.position is None:
                await self._load()
            fresh = [entry for entry in entries if entry.position > self._at]
            if not fresh:
                return
            ready = contiguous(self.stream, self._at, await self._hash_here(fresh[0]), fresh)
            if ready:
                await self._apply(ready)
            else:
                await self._fill_gap()

    @property
    def _at(self) -> Position:
        return self.position or START

    async def _hash_here(self, next_: Entry | None) -> bytes | None:
        """Give the hash at the cursor where an entry begins a new epoch behind it; None where it cannot be known."""
        if next_ is None or next_.position.epoch == max(self._at.epoch, 1):
            return None
        if self._at.seq == 0:
            return None  # nothing stands there, and Redis refuses to look before the first place of an epoch
        here = await self._streams.read(self.stream, Position(self._at.epoch, self._at.seq - 1), 1)
        return here[0].hash if here and here[0].position == self._at else None

    async def _fill_gap(self, end: Position | None = None) -> None:
        """Fetch what is missing: from the stream itself, from the owner's log, or as a snapshot; never skip."""
        there: list[Entry] = []
        for source in (self._streams.read, self._backfill):
            left = await source(self.stream, self._at, min(LOG_PAGE, self.pages.count))
            self.pages.saw(left)
            there = there or (left if self._sealed else [])
            here = await self._hash_here(left[0] if left else None)
            ready = contiguous(self.stream, self._at, here, left, from_log=source is self._backfill)
            if ready:
                log.info("gap_filled", stream=self.stream, behind=str(self.position), entries=len(ready))
                await self._apply(ready)
                return
        if self._public:
            await self._load_snapshot(self._at)
        elif self._may_begin_behind() and (begin := before(left or there) or end):
            await self._begin_behind_retention(begin)
        else:
            raise Transient(f"{self.stream} has a gap behind {self.position}, and its writer's log does not fill it")

    def _may_begin_behind(self) -> bool:
        """Tell whether what is missing was dropped for good, and nobody will bring it.

        An own stream says so where it begins. A box of another node may be behind its retention at any place: the line
        was cut for longer. There, some minutes are waited: a Redis that was wiped is being filled again.
        """
        if not self._sealed:
            return self._at == START
        if self._gap_at != self._at:
            self._gap_at, self._gap_since = self._at, self._clock.monotonic()
        return passed(self._clock, self._gap_since) >= REFILLED_WITHIN

    async def _begin_behind_retention(self, begin: Position) -> None:
        """Begin before the first message that there still is: what is older was dropped."""
        async with self._works() as work:
            if await self._cursor_is_at(self._at, work.connection):
                await self._move_cursor(work.connection, begin)
        log.warning("begun_behind_retention", stream=self.stream, at=str(begin))
        self.position = None

    async def _apply(self, entries: list[Entry]) -> None:
        """Apply entries that follow the cursor, one by one where a batch has failed before."""
        careful = self._at < self._careful
        batch = entries[:1] if careful else entries
        # Whoever dies takes along what was under way: what may end the process is tried while no other suspect is.
        async with self._works.suspects if careful and self._at == self._loaded else nullcontext():
            if not await self._count_attempt(batch[-1].position):
                self.position = None
                return
            given_up = careful and self._attempts > MOST_ATTEMPTS
            done = given_up or await self._try(batch)
        if given_up:
            # Other copies of the service count their attempts, too: one that is alive comes to an end now.
            # Of those that hung here, one may have been counted in advance.
            if self._hung < MOST_ATTEMPTS - 1:
                await self._clock.sleep(SETTLE)
            done = await self._attempt(batch, given_up=True, guarded=False)
        if not done:
            self.position = None
            return
        self.position = batch[-1].position
        self._attempts, self._hung = 1, 0
        # What `_move` has written counts for the next attempt, too, unless each is to be made with care.
        self._counted = None if self._at < self._careful else self.position

    async def _try(self, batch: list[Entry]) -> bool:
        try:
            return await self._attempt(batch, given_up=False, guarded=False)
        except Unguarded:
            return await self._attempt(batch, given_up=False, guarded=True)

    async def _attempt(self, batch: list[Entry], *, given_up: bool, guarded: bool) -> bool:
        """Do what a batch asks and stand behind it; False where the cursor is not where it was."""
        async with self._works() as work:
            parked = await self._move(batch[-1].position, work.connection)
            if parked is None:
                return False
            if given_up:
                await self._park_unfinished(batch[0], work)
            else:
                await self._apply_noting_hangs(batch, work, parked=bool(parked), guarded=guarded)
        return True

    async def _apply_noting_hangs(self, batch: list[Entry], work: Work[Any], *, parked: bool, guarded: bool) -> None:
        try:
            await self._applier.apply(batch, work, parked=parked, guarded=guarded)
        except HandlerHangs:
            self.position = None  # it has used up an attempt: read how many there were
            self._counted = None
            self._alone = True
            self._hung += 1
            raise

    async def _count_attempt(self, last: Position) -> bool:
        """Commit that an attempt begins, before it begins: a message that kills the process must not loop for ever."""
        if self._counted == self.position:
            return True
        careful = max(last, self._careful)
        async with self._works.database.transaction() as connection:
            counted = await cursors.count_attempt(connection, self.stream, self._at, careful)
        self._attempts += 1
        self._counted = self.position
        return counted

    async def _cursor_is_at(self, position: Position, connection: AsyncConnection) -> bool:
        return await cursors.is_at(connection, self.stream, position)

    async def _move(self, to: Position, connection: AsyncConnection) -> bool | None:
        """Move the cursor on, which locks it, and tell whether anything of the stream is parked.

        None where it is not where it was. The attempt at what follows is counted at the same time: an own commit
        before every batch would cost as much as the batch.
        """
        careful = self._careful if to < self._careful else Position(to.epoch, to.seq + PAGE)
        return await cursors.move(connection, self.stream, self._at, to, careful)

    async def _move_cursor(self, connection: AsyncConnection, to: Position) -> None:
        await cursors.put(connection, self.stream, to, attempts=1 if to < self._careful else 0)

    async def _park_unfinished(self, entry: Entry, work: Work[Any]) -> None:
        key = self._applier.key_of(entry)
        log.warning("message_never_ends", stream=self.stream, position=str(entry.position))
        reason = f"{MOST_ATTEMPTS} attempts did not come to an end: the handler hangs or ends the process"
        await parking.park(
            work.connection,
            self.stream,
            entry,
            key=key,
            type_word=None,
            refusal=Refusal("never_ends", reason),
            now=work.now,
        )
