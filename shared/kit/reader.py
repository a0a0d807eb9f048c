"""The reader: every message of a stream has its effect once, because the cursor moves in the effect's transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.streams import parse_stream
from shared.contract.words import Audience
from shared.kit import parking
from shared.kit.applying import Applier, is_transient
from shared.kit.clock import Clock, full_jitter
from shared.kit.database import insert
from shared.kit.errors import Transient
from shared.kit.hears import Hears
from shared.kit.outbox import digest
from shared.kit.parking import Refusal
from shared.kit.streams import START, Entry, Position, Streams
from shared.kit.tables import cursor
from shared.kit.work import Work, Works

log = structlog.get_logger()

PAGE = 500
MOST_ATTEMPTS = 3
LONGEST_BATCH = 30.0
SETTLE = 2.0

Backfill = Callable[[str, Position, int], Awaitable[list[Entry]]]


class HandlerHangs(Transient):
    """A handler did not come to an end in time; that has used up an attempt."""


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
        self._works = works
        self._streams = streams
        self._backfill = backfill
        self._clock = clock
        self._random = random
        self._applier = Applier(stream, hears)
        self._public = parse_stream(stream).audience is Audience.NETWORK
        self._lock = asyncio.Lock()
        self._attempts = 0
        self._careful = START
        self._counted: Position | None = None

    async def take(self, entries: list[Entry]) -> None:
        """Apply entries that came in; returns only when they are committed, however long that takes."""
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
                await self._clock.sleep(full_jitter(self._random, failures, cap=5.0))
            else:
                self.failing = None
                return

    async def catch_up(self) -> None:
        """Read what the stream holds behind the cursor; raises Transient where something does not answer."""
        async with self._lock:
            await self._follow_cursor()
            while page := await self._streams.read(self.stream, self.position or START, PAGE):
                await self._advance(page)
            beat = await self._streams.heartbeat(self.stream)
            if beat is not None and self.position is not None and beat.head > self.position:
                await self._fill_gap(beat.head)

    async def retry_parked(self) -> None:
        """Try again what an operator asked for, in order, thing by thing."""
        async with self._lock:
            async with self._works.database.transaction() as connection:
                wanted = await parking.take_wish(connection, self.stream)
            for at, key in enumerate(wanted):
                try:
                    async with self._works() as work:
                        await parking.lock(work.connection, self.stream)
                        async with _in_time():
                            await self._retry(await parking.waiting_of(work.connection, self.stream, key), work)
                except HandlerHangs:
                    log.warning("retry_hangs", stream=self.stream)
                except Exception:
                    async with self._works.database.transaction() as connection:
                        await parking.give_back_wish(connection, self.stream, wanted[at:])
                    raise

    async def _follow_cursor(self) -> None:
        """Take over the cursor as it stands in the database: a rebuild or another copy may have moved it."""
        before = self.position
        await self._load()
        if before is not None and self.position != before:
            log.info("cursor_followed", stream=self.stream, was=str(before), now=str(self.position))

    async def _load(self) -> None:
        while (stored := await self._stored()) is None:
            if self._public:
                await self._load_snapshot(START)
            else:
                async with self._works.database.transaction() as connection:
                    await _make_cursor(connection, self.stream)
        self.position = stored

    async def _stored(self) -> Position | None:
        async with self._works.database.reading() as connection:
            row = (await connection.execute(sa.select(cursor).where(cursor.c.stream == self.stream))).first()
        if row is None:
            return None
        self._attempts, self._careful = row.attempts, Position(row.careful_epoch, row.careful_seq)
        return Position(row.epoch, row.seq)

    async def _load_snapshot(self, after: Position) -> None:
        """Note the end, load the newest message of every key behind a position, stand at the noted end.

        All in one transaction with the cursor's row locked: another copy, a rebuild or a crash in between would
        leave a cursor that promises more, or less, than the tables hold.
        """
        [head] = await self._streams.heads([self.stream])
        state = await self._streams.state(self.stream)
        beat = await self._streams.heartbeat(self.stream)
        moved = any(entry.position > head for entry in state.values())
        if beat and beat.head == head and not moved and (beat.keys, beat.digest) != (len(state), digest(state)):
            raise Transient(f"the state of {self.stream} is not what its writer's heartbeat says")
        if head < after or (beat is not None and head < beat.head):
            raise Transient(f"{self.stream} ends at {head}: its writer has not refilled it yet")
        # What came behind the noted end is not loaded: the tail brings it, and would bring it a second time.
        entries = sorted((e for e in state.values() if after < e.position <= head), key=lambda entry: entry.position)
        async with self._works() as work:
            await _make_cursor(work.connection, self.stream)
            if not await self._cursor_is_at(after, work.connection):
                self.position = None
                return
            for start in range(0, len(entries), PAGE):
                await self._applier.apply(entries[start : start + PAGE], work)
            await self._move_cursor(work.connection, head)
        self.position = head
        log.info("snapshot_loaded", stream=self.stream, keys=len(entries), head=str(head))

    async def _advance(self, entries: list[Entry]) -> None:
        while True:
            if self.position is None:
                await self._load()
            fresh = [entry for entry in entries if entry.position > self._at]
            if not fresh:
                return
            ready = _contiguous(self._at, fresh)
            if ready:
                await self._apply(ready)
            else:
                await self._fill_gap()

    @property
    def _at(self) -> Position:
        return self.position or START

    async def _fill_gap(self, end: Position | None = None) -> None:
        """Fetch what is missing: from the stream itself, from the owner's log, or as a snapshot; never skip."""
        for source in (self._streams.read, self._backfill):
            left = await source(self.stream, self._at, PAGE)
            ready = _contiguous(self._at, left)
            if ready:
                log.info("gap_filled", stream=self.stream, behind=str(self.position), entries=len(ready))
                await self._apply(ready)
                return
        if self._public:
            await self._load_snapshot(self._at)
        elif self._at == START and (begin := _before(left) or end):
            await self._begin_behind_retention(begin)
        else:
            raise Transient(f"{self.stream} has a gap behind {self.position}, and its writer's log does not fill it")

    async def _begin_behind_retention(self, begin: Position) -> None:
        """Begin an own stream before the first message that its writer still has: what is older was dropped."""
        async with self._works() as work:
            if await self._cursor_is_at(START, work.connection):
                await self._move_cursor(work.connection, begin)
        log.warning("begun_behind_retention", stream=self.stream, at=str(begin))
        self.position = None

    async def _apply(self, entries: list[Entry]) -> None:
        """Apply entries that follow the cursor, one by one where a batch has failed before."""
        careful = self._at < self._careful
        batch = entries[:1] if careful else entries
        if not await self._count_attempt(batch[-1].position):
            self.position = None
            return
        given_up = careful and self._attempts > MOST_ATTEMPTS
        if given_up:
            # Other copies of the service count their attempts, too: one that is alive comes to an end now.
            await self._clock.sleep(SETTLE)
        async with self._works() as work:
            if not await self._cursor_is_at(self._at, work.connection):
                self.position = None
                return
            if given_up:
                await self._park_unfinished(batch[0], work)
            else:
                await self._apply_in_time(batch, work)
            await self._move_cursor(work.connection, batch[-1].position)
        self.position = batch[-1].position
        self._attempts = 1 if self._at < self._careful else 0
        self._counted = None

    async def _apply_in_time(self, batch: list[Entry], work: Work[Any]) -> None:
        try:
            async with _in_time():
                await self._applier.apply(batch, work)
        except HandlerHangs:
            self.position = None  # it has used up an attempt: read how many there were
            self._counted = None
            raise

    async def _count_attempt(self, last: Position) -> bool:
        """Commit that an attempt begins, before it begins: a message that kills the process must not loop for ever."""
        if self._counted == self.position:
            return True
        careful = max(last, self._careful)
        async with self._works.database.transaction() as connection:
            if connection.dialect.name == "postgresql":
                # It must outlive this process, not the machine; the effects themselves are committed durably.
                await connection.execute(sa.text("SET LOCAL synchronous_commit TO off"))
            done = await connection.execute(
                sa.update(cursor)
                .where(_is_at(self.stream, self._at))
                .values(attempts=cursor.c.attempts + 1, careful_epoch=careful.epoch, careful_seq=careful.seq)
            )
        self._attempts += 1
        self._counted = self.position
        return done.rowcount == 1

    async def _cursor_is_at(self, position: Position, connection: AsyncConnection) -> bool:
        found = await connection.execute(
            sa.select(cursor.c.stream).where(_is_at(self.stream, position)).with_for_update()
        )
        return found.first() is not None

    async def _move_cursor(self, connection: AsyncConnection, to: Position) -> None:
        attempts = 1 if to < self._careful else 0
        await connection.execute(
            sa.update(cursor)
            .where(cursor.c.stream == self.stream)
            .values(epoch=to.epoch, seq=to.seq, attempts=attempts)
        )

    async def _park_unfinished(self, entry: Entry, work: Work[Any]) -> None:
        key = self._applier.key_of(entry)
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

    async def _retry(self, waiting: list[tuple[int, Entry]], work: Work[Any]) -> None:
        for at, (id_, entry) in enumerate(waiting):
            refusal = await self._applier.apply_one(entry, work)
            if refusal is not None:
                await parking.change(
                    work.connection, [id_], state="parked", code=refusal.code, reason=refusal.reason[:1000]
                )
                behind = [other for other, _ in waiting[at + 1 :]]
                await parking.change(work.connection, behind, state="behind")
                return
            await parking.change(work.connection, [id_], state="used", ended_at=work.now, ended_by="reader")


def _contiguous(position: Position, entries: list[Entry]) -> list[Entry]:
    """Give the longest beginning of the entries that follows a position without a gap."""
    for at, entry in enumerate(entries):
        if not entry.position.follows(position):
            return entries[:at]
        position = entry.position
    return entries


def _before(entries: list[Entry]) -> Position | None:
    return Position(entries[0].position.epoch, entries[0].position.seq - 1) if entries else None


def _is_at(stream: str, position: Position) -> sa.ColumnElement[bool]:
    return (cursor.c.stream == stream) & (cursor.c.epoch == position.epoch) & (cursor.c.seq == position.seq)


async def _make_cursor(connection: AsyncConnection, stream: str) -> None:
    row = {"stream": stream, "epoch": START.epoch, "seq": START.seq, "attempts": 0}
    await connection.execute(insert(connection, cursor).values(row).on_conflict_do_nothing())


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Bound what the handlers may take; waiting for a connection or a lock is not their doing and does not count."""
    deadline = asyncio.timeout(LONGEST_BATCH)
    try:
        async with deadline:
            yield
    except TimeoutError as error:
        if deadline.expired():
            raise HandlerHangs(f"a handler took longer than {LONGEST_BATCH:.0f} seconds") from error
        raise
