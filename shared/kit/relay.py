"""The relay: numbers what was committed and brings it into Redis - again, with the same ids, when Redis lost it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.streams import parse_stream, public_beside
from shared.contract.words import Audience
from shared.kit import outbox
from shared.kit.clock import Clock, full_jitter, passed
from shared.kit.database import Database
from shared.kit.ending import is_ending
from shared.kit.epochs import Epochs, NotOurs
from shared.kit.errors import Transient
from shared.kit.knowing import Knowing
from shared.kit.lease import Lease
from shared.kit.numbering import PAGE, Numbered, number_waiting
from shared.kit.paging import PageSize
from shared.kit.streams import START, Entry, Heartbeat, Position, Streams

log = structlog.get_logger()

Erase = Callable[[str, list[Position]], Awaitable[None]]
Mine = Callable[[AsyncConnection], Awaitable[set[str]]]
BEAT_EVERY = timedelta(seconds=30)
AT_ONCE = 8
LOOK, LONGEST_LOOK = 0.05, 1.0


class Relay:
    """Brings one service's committed messages into the streams; the one writer of these streams."""

    def __init__(
        self,
        database: Database,
        streams: Streams,
        clock: Clock,
        random: Random,
        lease: Lease,
        epochs: Epochs | None = None,
        erase: Erase | None = None,
        mine: Mine | None = None,
    ) -> None:
        self._database = database
        self._streams = streams
        self._clock = clock
        self._random = random
        self._lease = lease
        self._epochs = epochs or Epochs(database, streams, clock, lease)
        self._knowing = Knowing(self._epochs, clock)
        self._published: dict[str, Position] = {}
        self._beaten: dict[str, tuple[Heartbeat, float]] = {}
        self._failures = 0
        self._publishing: asyncio.Task[None] | None = None
        self._mine = mine
        self._erase = erase
        self._erase_after = clock.monotonic()
        self.stopped: dict[str, str] = {}

    async def step(self) -> bool:
        """Number and publish one page; tell whether there may be more."""
        more, unclear = await self._page()
        cleared = [stream for stream in sorted(unclear) if await self._is_clear(stream)]
        return await self.step() if cleared else more

    async def step_of_clear(self) -> bool:
        """Do the same for streams that are clear already: others may take as long as the hub takes to answer."""
        return (await self._page())[0]

    async def _page(self) -> tuple[bool, set[str]]:
        numbered, unclear = await self._number()
        await self._settled()
        if numbered:
            self._publishing = asyncio.create_task(self._publish_all(numbered))
            self._publishing.add_done_callback(_looked_at)
        if sum(map(len, numbered.values())) < PAGE:
            await self._settled()
        return bool(numbered), unclear

    async def _settled(self) -> None:
        """Wait for the page that is under way: the next one is numbered meanwhile, but published after it."""
        publishing, self._publishing = self._publishing, None
        if publishing is not None:
            await publishing

    async def _publish_all(self, numbered: Numbered) -> None:
        few = asyncio.Semaphore(AT_ONCE)

        async def publish(stream: str, entries: list[tuple[str, Entry]]) -> None:
            async with few:
                await self._publish(stream, entries)

        done = await asyncio.gather(*(publish(*each) for each in numbered.items()), return_exceptions=True)
        for fault in done:
            if fault is not None:
                raise fault

    async def _number(self) -> tuple[Numbered, set[str]]:
        if not self._lease.token:
            return {}, set()
        async with self._database.single_statements() as connection:
            return await number_waiting(connection, self._epochs.is_clear, self._lease.held)

    async def check(self, between: Callable[[], Awaitable[object]] | None = None) -> None:
        """Compare every stream's end with our own log and refill what Redis lost; leave the heartbeats.

        `between` is called behind each stream: what is told during a check need not wait for its end.
        """
        await self._settled()
        await self._remove_blanked()
        names = await self._clear_names()
        async with self._database.reading() as connection:
            ours = await outbox.ends_of_log(connection)
        for stream, head in zip(names, await self._streams.heads(names), strict=True):
            await self._compare(stream, head, ours[stream])
            await self._beat(stream)
            if between is not None:
                await between()
                await self._settled()

    async def find_out(self) -> None:
        """Return once the log is known to hold all that was told."""
        look = LOOK
        while True:
            # To write the streams, they are compared as well: what was found out by that need not be asked twice.
            await self._clock.sleep(look)
            if is_ending():
                raise asyncio.CancelledError
            if await self.knows_all():
                return
            look = min(2 * look, LONGEST_LOOK)

    async def knows_all(self) -> bool:
        """Tell whether the log holds all that was told; False while it may be a backup's that was not mended yet."""
        names, mine = await self._names()
        # What is stopped waits for an operator; nobody else has to.
        return await self._knowing.all_of(sorted(mine.union(names).difference(self.stopped)))

    async def _names(self) -> tuple[list[str], set[str]]:
        async with self._database.reading() as connection:
            names = list(await outbox.ends_of_log(connection))
            return names, await self._mine(connection) if self._mine else set()

    async def _clear_names(self) -> list[str]:
        names, mine = await self._names()
        # A backup may be older than the first message of a stream: then only its name leads to what was lost.
        for stream in sorted(mine.difference(names)):
            await self._is_clear(stream)
        return [stream for stream in names if await self._is_clear(stream)]

    async def _compare(self, stream: str, head: Position, ours: Position) -> None:
        if head == ours == self._published.get(stream):
            return
        # A page may have been published since both were read: look again at this one.
        async with self._database.reading() as connection:
            ours = await outbox.end_of_log(connection, stream)
        [head] = await self._streams.heads([stream])
        if head != ours or self._published.get(stream) != head:
            await self._reconcile(stream, head, ours)

    async def _is_clear(self, stream: str) -> bool:
        if self._epochs.is_clear(stream) and not self._epochs.waits_for_the_hub(stream):
            return True
        # People are told of things: what nobody was told of them but people is seen once the things' own word is back.
        public = public_beside(stream)
        waits = public is not None and not self._epochs.is_clear(public) and not await self._is_clear(public)
        if waits and public not in self.stopped:
            return False
        try:
            return await self._epochs.clear(stream)
        except NotOurs as error:
            return self._stop(stream, str(error))

    async def _remove_blanked(self) -> None:
        """Take out of Redis, and off the hub, what was blanked in the log: who needs its place finds a blank there."""
        async with self._database.reading() as connection:
            blanked = await outbox.blanked_entries(connection)
        if not blanked or self._clock.monotonic() < self._erase_after:
            return
        # A page that was numbered before may be under way with the old bytes: they must be there before they go.
        await self._settled()
        for stream, positions in blanked.items():
            await self._streams.remove(stream, positions)
            if await self._erased_on_hub(stream, positions):
                async with self._database.transaction() as connection:
                    await outbox.removed(connection, stream, positions)

    async def _erased_on_hub(self, stream: str, positions: list[Position]) -> bool:
        if self._erase is None or parse_stream(stream).audience is not Audience.SEALED:
            return True
        try:
            await self._erase(stream, positions)
        except Transient as error:
            # Nothing else waits for this: it is tried again in a while.
            log.info("not_erased_yet", stream=stream, reason=str(error))
            self._erase_after = self._clock.monotonic() + BEAT_EVERY.total_seconds()
            return False
        return True

    def rest(self) -> None:
        """Forget what was believed of the streams while another copy of the service writes them."""
        self._epochs.forget()
        self._published.clear()
        self._beaten.clear()
        self.stopped.clear()

    async def trim(self, own: timedelta, pub: timedelta, box: timedelta = timedelta(days=30)) -> None:
        """Drop what is older than the retention; of a public stream the newest message of each key stays."""
        now = self._clock.now()
        async with self._database.reading() as connection:
            names = list(await outbox.ends_of_log(connection))
        kept = {Audience.NETWORK: pub, Audience.INSTITUTION: own, Audience.SEALED: box}
        for stream in names:
            audience = parse_stream(stream).audience
            public = audience is Audience.NETWORK
            async with self._database.transaction() as connection:
                below = await outbox.trim_log(connection, stream, now - kept[audience], keep_newest=public)
            if below is not None:
                await self._streams.trim(stream, below)

    def backoff(self) -> float:
        """Give the seconds to wait after a failure."""
        self._failures += 1
        return full_jitter(self._random, self._failures, cap=2.0)

    async def _publish(self, stream: str, keyed: list[tuple[str, Entry]]) -> None:
        entries = [entry for _, entry in keyed]
        after = self._published.get(stream, START)
        if stream in self.stopped:
            return
        if entries[0].position.follows(after):
            head = await self._append(stream, after, entries, dict(keyed) if _has_state(stream) else {})
            if head is not None:
                self._published[stream] = head
                self._failures = 0
                return
        [head] = await self._streams.heads([stream])
        await self._reconcile(stream, head, entries[-1].position)

    async def _append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        try:
            return await self._streams.append(stream, after, entries, state)
        except Transient:
            # The reply is lost, the entries may be there: what we believed of the stream's end holds no more.
            self._published.pop(stream, None)
            raise

    async def _reconcile(self, stream: str, head: Position, ours: Position) -> None:
        """Bring a stream from where Redis has it to where our log is, with the ids that it always had."""
        if not await self._is_ours(stream, head, ours):
            return
        there, newest = await self._states(stream)
        if _is_unknown(there, newest):
            log.warning("state_unknown", stream=stream)
            await self._streams.forget(stream)
            head, there = START, {}
        # The state goes first: a late joiner that sees the end of the stream must find every key below that end.
        # It goes with the entries once more, for Redis may lose it again before they come.
        await self._refill_state(stream, there, newest)
        keys = {entry.position: key for key, entry in newest.items()}
        refilled = 0
        while head < ours:
            async with self._database.reading() as connection:
                page = await outbox.log_after(connection, stream, head)
            if not page:
                break
            state = {keys[entry.position]: entry for entry in page if entry.position in keys}
            end = await self._append(stream, head, page, state)
            if end is None:
                raise Transient(f"{stream} moved while it was refilled")
            head = end
            refilled += len(page)
        self._published[stream] = head
        self._failures = 0
        if refilled:
            log.info("stream_refilled", stream=stream, entries=refilled, head=str(head))

    async def _is_ours(self, stream: str, head: Position, ours: Position) -> bool:
        if head > ours:
            # Another copy may have numbered and published since `ours` was read: ask the log again, behind the head.
            async with self._database.reading() as connection:
                ours = await outbox.end_of_log(connection, stream)
        if head > ours:
            return self._stop(stream, f"the stream is at {head}, our log ends at {ours}: two writers?")
        if head == START:
            return True
        async with self._database.reading() as connection:
            known = await outbox.hash_at(connection, stream, head)
        stored = await self._streams.read(stream, Position(head.epoch, head.seq - 1), 1)
        # What stands there may be trimmed: then it is the next one that is read, which was published meanwhile.
        if known is not None and stored and stored[0].position == head and stored[0].hash != known:
            return self._stop(stream, f"the stream holds another message at {head} than our log: two writers?")
        self.stopped.pop(stream, None)
        return True

    def _stop(self, stream: str, reason: str) -> bool:
        # Writing on would make two histories of one stream: a person must decide which one is true.
        if self.stopped.get(stream) != reason:
            log.error("stream_stopped", stream=stream, reason=reason)
        self.stopped[stream] = reason
        return False

    async def _states(self, stream: str) -> tuple[dict[str, Entry], dict[str, Entry]]:
        """Give the newest entries of all keys, as Redis has them and as it must, without payloads."""
        if not _has_state(stream):
            return {}, {}
        # Redis is asked first: what is there was in the log before, whoever leads meanwhile.
        there = await self._streams.state_index(stream)
        async with self._database.reading() as connection:
            return there, await outbox.newest_by_key(connection, stream)

    async def _refill_state(self, stream: str, there: dict[str, Entry], newest: dict[str, Entry]) -> None:
        """Bring back what is missing of a stream's state."""
        missing = [(key, entry) for key, entry in newest.items() if there.get(key) != entry]
        pages = PageSize(PAGE)
        while missing:
            part, missing = dict(missing[: pages.count]), missing[pages.count :]
            async with self._database.reading() as connection:
                whole = await outbox.with_payloads(connection, stream, part)
            await self._streams.keep_state(stream, whole)
            pages.saw(list(whole.values()))

    async def _beat(self, stream: str) -> None:
        if stream in self.stopped:
            return
        head, keys, total = self._published.get(stream, START), 0, ""
        if _has_state(stream):
            if not await self._wants_beat(stream):
                return
            async with self._database.reading() as connection:
                head = await outbox.end_of_log(connection, stream)
                newest = await outbox.newest_by_key(connection, stream)
            keys, total = len(newest), outbox.digest(newest)
            if await self._streams.state_size(stream) < keys:
                await self._refill_state(stream, *await self._states(stream))
        heartbeat = Heartbeat(head, keys, total, self._clock.now().isoformat())
        await self._streams.beat(stream, heartbeat)
        self._beaten[stream] = (heartbeat, self._clock.monotonic())

    async def _wants_beat(self, stream: str) -> bool:
        # The digest reads every key: a stream that never rests gets one each half minute, not each second.
        if stream not in self._beaten:
            return True
        beaten, at = self._beaten[stream]
        if await self._streams.heartbeat(stream) is None or await self._streams.state_size(stream) < beaten.keys:
            return True
        return beaten.head != self._published.get(stream) and passed(self._clock, at) >= BEAT_EVERY


def _looked_at(task: asyncio.Task[None]) -> None:
    # Whoever steps next gets the fault; nobody does once the service stops.
    if not task.cancelled():
        task.exception()


def _is_unknown(there: dict[str, Entry], newest: dict[str, Entry]) -> bool:
    """Tell whether Redis has as the newest of a thing what our log does not know.

    A refill leaves that whose entries never came, if a backup was restored meanwhile: the number is given to something
    else, and no newer entry ever takes the place of what nobody told.
    """
    return any(key not in newest or entry.position > newest[key].position for key, entry in there.items())


def _has_state(stream: str) -> bool:
    return parse_stream(stream).audience is Audience.NETWORK
