"""Epochs: a restored backup is noticed before it publishes; what it lost comes back, then a new epoch begins."""

from collections.abc import AsyncIterator
from datetime import timedelta

import structlog

from shared.kit import outbox
from shared.kit.blanks import is_blank
from shared.kit.clock import Clock, passed
from shared.kit.database import Database
from shared.kit.errors import Transient
from shared.kit.lease import Lease
from shared.kit.paging import PageSize
from shared.kit.recovering import Finish, Recover, finish_nothing, recover_nothing
from shared.kit.streams import GENESIS, START, Entry, Position, Streams, chain
from shared.kit.witness import Head, StreamsWitness, Witness, WitnessRefuses

log = structlog.get_logger()

# A node whose line is cut goes on alone; this is how long it first hopes to hear whether it was restored.
PATIENCE = timedelta(seconds=20)
PAGE = 500


class NotOurs(Exception):  # noqa: N818 - a finding, told to the operator
    """A stream of ours holds what our chain of hashes does not lead to: somebody else writes it."""


class Epochs:
    """Clears each stream for writing, once in the life of its writer, and again when a silent witness speaks."""

    def __init__(
        self,
        database: Database,
        streams: Streams,
        clock: Clock,
        lease: Lease,
        hub: Witness | None = None,
        recover: Recover = recover_nothing,
        finish: Finish = finish_nothing,
    ) -> None:
        self._database = database
        self._streams = streams
        self._clock = clock
        self._lease = lease
        self._local = StreamsWitness(streams)
        self._hub = hub
        self.witnesses: tuple[Witness, ...] = (self._local,) if hub is None else (self._local, hub)
        self._recover = recover
        self._finish = finish
        self._begun = clock.monotonic()
        self._cleared: set[str] = set()
        self._alone: set[str] = set()
        self._taking: set[str] = set()
        self._strangers: set[str] = set()

    def forget(self) -> None:
        """Begin anew: another copy has written meanwhile."""
        self._begun = self._clock.monotonic()
        self._cleared.clear()
        self._alone.clear()

    def is_clear(self, stream: str) -> bool:
        """Tell whether the stream may be written."""
        return stream in self._cleared

    def waits_for_the_hub(self, stream: str) -> bool:
        """Tell whether the stream is written without having heard what the hub holds."""
        return stream in self._alone

    @property
    def is_taking(self) -> bool:
        """Tell whether this copy takes back at the moment what a stream lost; the others wait for their turn."""
        return not self._taking <= self._strangers

    async def clear(self, stream: str) -> bool:
        """Compare our log with all who may know better; tell whether the stream may be written; raises NotOurs."""
        if stream not in self._cleared:
            head = await self._local.head(stream)
            await self._compare(stream, self._local, head)
        if self._hub is not None:
            head = await self._head_on(self._hub, stream)
            if head is None:
                return self._may_go_alone(stream)
            await self._compare(stream, self._hub, head)
            self._alone.discard(stream)
        self._cleared.add(stream)
        return True

    async def _head_on(self, witness: Witness, stream: str) -> Head | None:
        try:
            return await witness.head(stream)
        except WitnessRefuses:
            return None  # it may be let in again: it is asked on, as one that is away

    def _may_go_alone(self, stream: str) -> bool:
        if stream not in self._cleared:
            if passed(self._clock, self._begun) < PATIENCE:
                return False
            log.warning("published_without_the_hub", stream=stream)
        self._cleared.add(stream)
        self._alone.add(stream)
        return True

    async def _compare(self, stream: str, witness: Witness, head: Head | None) -> None:
        if head is None or head.position == START:
            return
        ours = await self.end_of_log(stream)
        if await self.has_all(stream, head, ours):
            return
        self._taking.add(stream)
        try:
            common = await self._last_in_common(stream, witness, ours)
            async for _ in self._lost(stream, witness, common, head.position):
                pass  # Nothing is taken back unless all of it continues our log.
            seen = await self._head_on(witness, stream)
            if seen is None or seen.position < head.position:
                # Wiped since it was asked for its end: it has nothing in common with our log because it has nothing.
                raise Transient(f"{stream} changed while it was compared")
            await self._take_all_back(stream, witness, common, head, ours)
            self._strangers.discard(stream)
        except NotOurs:
            # It is compared again and again, and nothing of it ever comes back.
            self._strangers.add(stream)
            raise
        finally:
            self._taking.discard(stream)

    async def has_all(self, stream: str, head: Head, ours: Position) -> bool:
        """Tell whether our log, which was seen to end at `ours` after the head was asked, holds what a witness has."""
        # What is in the witness's answer was numbered before, and the log has it.
        return head.position <= ours and await self._agrees(stream, head)

    async def end_of_log(self, stream: str) -> Position:
        """Give where our log of a stream ends."""
        async with self._database.reading() as connection:
            return await outbox.end_of_log(connection, stream)

    async def _agrees(self, stream: str, head: Head) -> bool:
        async with self._database.reading() as connection:
            known = await outbox.hash_at(connection, stream, head.position)
            if known is None:
                # Trimmed, or never ours: then what we told went on past it.
                return not await outbox.goes_past(connection, stream, head.position)
        return head.hash is None or known == head.hash

    async def _last_in_common(self, stream: str, witness: Witness, ours: Position) -> Position:
        """Find where the two histories part; each hash binds all before it, so halving finds the place."""
        async with self._database.reading() as connection:
            low, high = 0, await outbox.length_of_log(connection, stream)
        last = START if high else ours
        while low < high:  # the first `low` agree, those from `high` on do not
            middle = (low + high) // 2
            # Not one connection for all of them: the witness may take as long as a line takes to break.
            async with self._database.reading() as connection:
                known = await outbox.hash_of(connection, stream, middle)
            if known is None:
                high = middle  # trimmed meanwhile
                continue
            position, hash_ = known
            there = await witness.read(stream, Position(position.epoch, position.seq - 1), 1)
            # What is trimmed there is older than all that could be lost.
            same = bool(there) and (there[0].position > position or there[0].hash == hash_)
            low, high, last = (middle + 1, high, position) if same else (low, middle, last)
        return last

    async def _lost(self, stream: str, witness: Witness, at: Position, end: Position) -> AsyncIterator[list[Entry]]:
        """Give what the witness holds behind a place, page by page; raises NotOurs where it does not continue."""
        pages = PageSize(PAGE)
        async with self._database.reading() as connection:
            previous = await outbox.hash_at(connection, stream, at) if at != START else GENESIS
        after = at
        while after < end and (page := await witness.read(stream, after, pages.count)):
            pages.saw(page)
            after = page[-1].position
            # A box is sealed for its addressee: not even its sender can take back what is in it.
            lost = [entry for entry in page if entry.payload]
            for entry in lost:
                known = previous is not None and entry.position.follows(at) and not is_blank(entry)
                if known and chain(previous or GENESIS, stream, entry.position, entry.payload) != entry.hash:
                    raise NotOurs(f"the entry {entry.position} does not continue our log: two writers?")
                at, previous = entry.position, entry.hash
            if lost:
                yield lost

    async def _take_all_back(self, stream: str, witness: Witness, at: Position, head: Head, ours: Position) -> None:
        """Take back page by page; each leaves what a newer backup would have held, so that a next start goes on."""
        # A stream that is written without the hub is clear: nothing may be numbered between two pages.
        self._cleared.discard(stream)
        async with self._database.reading() as connection:
            again = await outbox.length_of_log(connection, stream, behind=at)
        # Ours was read by some already: the stream is written anew from the log, once that has the true history. It
        # goes first, for a start that ended between the two would have nothing to tell again; unless it is read here.
        if again and witness is not self._local:
            await self._forget(stream)
        taken = 0
        async for page in self._lost(stream, witness, at, head.position):
            await self._take_back(stream, at, page, head, ours)
            taken += len(page)
            at = ours = page[-1].position
        if not taken:
            await self._take_back(stream, at, [], head, ours)
        if again and witness is self._local:
            await self._forget(stream)
        log.warning(
            "epoch_begun",
            stream=stream,
            epoch=await self.epoch_of(stream),
            taken_back=taken,
            told_again=again,
            reason="a backup was restored" if not again else "two histories of one stream",
        )

    async def epoch_of(self, stream: str) -> int:
        """Give the epoch of the next message of a stream."""
        async with self._database.reading() as connection:
            return await outbox.epoch_of(connection, stream)

    async def _forget(self, stream: str) -> None:
        async with self._database.transaction() as connection:
            if not await self._lease.confirm(connection):
                raise Transient(f"{stream} is written by somebody else now")
        await self._streams.forget(stream)

    async def _take_back(self, stream: str, at: Position, lost: list[Entry], head: Head, ours: Position) -> None:
        """Keep a page, and begin the epoch behind it with its hash; what of ours is behind it is to be told again."""
        async with self._database.transaction() as connection:
            if not await self._lease.confirm(connection) or await outbox.end_of_log(connection, stream) != ours:
                raise Transient(f"{stream} moved while it was compared")
            await outbox.unnumber_behind(connection, stream, at)
            await outbox.keep_lost(connection, stream, lost, self._clock.now())
            hash_ = lost[-1].hash if lost else head.hash or await outbox.hash_at(connection, stream, at)
            # One that was begun by a start which did not come to its end is begun still: no number is given twice.
            epoch = max(head.position.epoch + 1, ours.epoch + 1, await outbox.epoch_of(connection, stream))
            await outbox.begin_epoch(connection, stream, epoch, hash_)
            await self._recover(connection, lost)
            if not lost or lost[-1].position == head.position:
                await self._finish(connection, stream)
