"""FastStream subscribers, one for each stream that the service reads; they hand entries to the stream's reader."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from faststream.redis import RedisBatchStreamMessage, RedisBroker, StreamSub
from faststream.redis.message import FAKE_CONSUMER

from shared.contract.catalogue import CATALOGUE
from shared.contract.streams import parse_stream
from shared.contract.words import Audience
from shared.kit.applying import is_transient
from shared.kit.clock import Clock
from shared.kit.database import Database
from shared.kit.directory import known_institutions
from shared.kit.hears import Hears
from shared.kit.paging import PageSize
from shared.kit.reader import StreamReader
from shared.kit.redis_streams import entries_from
from shared.kit.settings import Settings
from shared.kit.streams import START, Position, Streams
from shared.kit.tables import cursor, parked

log = structlog.get_logger()

_CURSORS = sa.select(cursor.c.stream, cursor.c.epoch, cursor.c.seq)
_TO_RETRY = sa.select(parked.c.stream).distinct().where(parked.c.state == "retry")
_NOT_UNDERSTOOD = (parked.c.code == "unknown_type") & (parked.c.state == "parked")
_UNKNOWN = sa.select(parked.c.type).distinct().where(_NOT_UNDERSTOOD)

# XREAD blocks on the server and wakes at once; this only bounds how long a silent connection stays unnoticed.
BLOCK_MS = 2000
STUCK = 2.0
# Boxes of which one turn asks whether there is something in them.
BOXES = 200


@dataclass
class Lag:
    """How far a stream's reader is behind: in messages, and for how many seconds it has not moved."""

    messages: int
    at: Position
    since: float
    seconds: float


class _Paged(StreamSub[Literal[True]]):
    """FastStream asks for `max_records` before every read: here it follows the size of what came."""

    def __init__(self, name: str, last_id: str, pages: PageSize) -> None:
        self._pages = pages
        super().__init__(name, last_id=last_id, batch=True, polling_interval=BLOCK_MS)

    @property
    def max_records(self) -> int:
        """Give how many entries to read next."""
        return self._pages.count

    @max_records.setter
    def max_records(self, _: int | None) -> None:
        pass  # FastStream sets it once, at the beginning

    def __deepcopy__(self, _: dict[int, Any]) -> "_Paged":
        # FastStream copies it to put a prefix before its name: what the reader learns must reach the copy.
        return _Paged(self.name, self.last_id, self._pages)


class Subscriptions:
    """Keeps one subscriber for every stream to be read, and helps the readers that fell behind."""

    def __init__(
        self,
        broker: RedisBroker,
        streams: Streams,
        database: Database,
        hears: Hears,
        settings: Settings,
        clock: Clock,
        make: Callable[[str], StreamReader],
    ) -> None:
        self._broker = broker
        self._streams = streams
        self._database = database
        self._hears = hears
        self._settings = settings
        self._clock = clock
        self._make = make
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._helping: dict[str, asyncio.Task[None]] = {}
        self._next_box = 0
        self.readers: dict[str, StreamReader] = {}
        self.unopened: dict[str, float] = {}
        self.lags: dict[str, Lag] = {}

    async def start(self) -> None:
        """Connect, and take up again what an earlier release did not understand."""
        await self._broker.connect()
        async with self._database.reading() as connection:
            unknown = set((await connection.execute(_UNKNOWN)).scalars())
        await self._take_up(unknown)

    async def _take_up(self, types: set[str]) -> None:
        """Have tried again what a release did not understand that works beside this one, or did before it."""
        if not types & CATALOGUE.keys():
            return
        known = _NOT_UNDERSTOOD & parked.c.type.in_(sorted(types & CATALOGUE.keys()))
        async with self._database.transaction() as connection:
            # By itself it is tried this once: a handler that hangs or kills would be given it for ever.
            await connection.execute(sa.update(parked).where(known).values(state="retry", code="known_now"))

    async def sync(self) -> None:
        """Subscribe to the streams of institutions that joined, and look after every reader."""
        async with self._database.reading() as connection:
            institutions = await known_institutions(connection)
            speakers = await self._hears.wanted(connection)
        wanted = self._hears.streams(institutions, self._settings.office, self._settings.hosts, speakers)
        for name in await self._to_open(sorted(wanted - self.readers.keys() - self._opening.keys())):
            self._opening[name] = asyncio.create_task(self._open(name))
        await self._look_after()

    async def _to_open(self, names: list[str]) -> list[str]:
        """Name the streams to open now: a box only once there is something in it.

        A subscriber costs a connection, and of all pairs of institutions few ever write to each other.
        """
        boxes = [name for name in names if parse_stream(name).audience is Audience.SEALED]
        names = [name for name in names if name not in set(boxes)]
        boxes = [name for name in boxes if self._settings.answers_for(parse_stream(name).institution)]
        looked_at = (boxes + boxes)[self._next_box % max(1, len(boxes)) :][: min(BOXES, len(boxes))]
        self._next_box += BOXES
        heads = await self._streams.heads(looked_at)
        full = [name for name, head in zip(looked_at, heads, strict=True) if head > START]
        return [*names, *full]

    async def ends(self) -> dict[str, Position]:
        """Give where the streams end at this moment that are read only while somebody wants them."""
        async with self._database.reading() as connection:
            institutions = await known_institutions(connection)
        office, hosts = self._settings.office, self._settings.hosts
        names = sorted(self._hears.streams(institutions, office, hosts, self._hears.sometimes))
        return dict(zip(names, await self._streams.heads(names), strict=True))

    @property
    def helped(self) -> list[str]:
        """Name the streams whose readers catch up at this moment, or try again what was set aside."""
        return sorted(self._helping)

    def waiting_to_open(self) -> dict[str, float]:
        """Give the streams that could not be opened yet, and for how many seconds."""
        now = self._clock.monotonic()
        return {name: now - since for name, since in self.unopened.items()}

    async def stop(self) -> None:
        """Stop reading; what was not committed comes again."""
        tasks = (*self._opening.values(), *self._helping.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._broker.stop()
        try:
            async with self._database.transaction() as connection:
                for reader in self.readers.values():
                    await reader.leave(connection)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("readers_not_left", reason=type(error).__name__)

    async def _open(self, name: str) -> None:
        reader = self._make(name)
        self.unopened.setdefault(name, self._clock.monotonic())
        try:
            await reader.catch_up()
            subscriber = self._broker.subscriber(
                stream=_Paged(name, str(reader.position or START), reader.pages),
                parser=_as_it_came,
                decoder=_raw,
                title=name,
            )
            subscriber(_handler(reader))
            await subscriber.start()
            self.readers[name] = reader
            del self.unopened[name]
        except Exception as error:
            _report("stream_not_opened", name, error)
        finally:
            self._opening.pop(name, None)

    async def _look_after(self) -> None:
        names = list(self.readers)
        stood = {name: self.readers[name].position for name in names}
        heads = dict(zip(names, await self._streams.heads(names), strict=True))
        async with self._database.reading() as connection:
            rows = await connection.execute(_CURSORS)
            stored = {row.stream: Position(row.epoch, row.seq) for row in rows}
            retries = await connection.execute(_TO_RETRY)
            to_retry = set(retries.scalars())
            unknown = set((await connection.execute(_UNKNOWN)).scalars())
        # Not at the start alone: while releases change, the older copy may still take a message and set it aside.
        await self._take_up(unknown)
        for name, head in heads.items():
            reader = self.readers[name]
            self._measure(name, reader.position or START, head)
            if name in to_retry:
                self._help(name, reader.retry_parked)
            elif _was_moved(stood[name], stored.get(name), reader.position) or self.lags[name].seconds > STUCK:
                self._help(name, reader.catch_up)

    def _measure(self, name: str, at: Position, head: Position) -> None:
        behind = max(0, head.seq - at.seq) if head.epoch == at.epoch else int(head > at)
        before = self.lags.get(name)
        still = before is not None and before.at == at and before.messages > 0
        now = self._clock.monotonic()
        since = before.since if before and still else now
        self.lags[name] = Lag(behind, at, since, now - since if behind else 0.0)

    def _help(self, name: str, help_: Callable[[], Awaitable[None]]) -> None:
        if name not in self._helping:
            self._helping[name] = asyncio.create_task(self._helped(name, help_))

    async def _helped(self, name: str, help_: Callable[[], Awaitable[None]]) -> None:
        try:
            await help_()
        except Exception as error:
            _report("stream_behind", name, error)
        finally:
            self._helping.pop(name, None)


def _was_moved(stood: Position | None, stored: Position | None, stands: Position | None) -> bool:
    """Tell whether somebody else moved the cursor; a reader that moves meanwhile has only overtaken the question."""
    return stood == stands != stored


def _report(event: str, stream: str, error: Exception) -> None:
    if is_transient(error):
        log.warning(event, stream=stream, reason=str(error) or type(error).__name__)
    else:
        log.error(event, stream=stream, exc_info=error)


def _handler(reader: StreamReader) -> Callable[[Any], Awaitable[None]]:
    async def take(raw: Any) -> None:
        # Returns only when the batch is committed: FastStream's position in memory must not run ahead of SQL.
        await reader.take(entries_from(zip(raw["message_ids"], raw["data"], strict=True)))

    return take


async def _as_it_came(raw: Any) -> RedisBatchStreamMessage:
    return RedisBatchStreamMessage(raw_message=raw, body=raw, consumer=FAKE_CONSUMER, group=None)


async def _raw(message: Any) -> Any:
    return message.raw_message
