"""A running service: its database, its streams, its relay, its readers and its timers."""

import asyncio
import base64
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, Generic, TypeVar

import httpx
import sqlalchemy as sa
import structlog
from fastapi import APIRouter
from faststream.redis import RedisBroker
from faststream.redis.prometheus import RedisPrometheusMiddleware
from prometheus_client import CollectorRegistry
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.streams import parse_stream
from shared.kit import directory, idempotency, in_stream_bounds, in_streams, inbox
from shared.kit.applying import is_transient
from shared.kit.clock import Ids, SystemClock, full_jitter, monotonic
from shared.kit.database import Database
from shared.kit.ending import is_ending, pause
from shared.kit.epochs import Epochs
from shared.kit.errors import Transient
from shared.kit.hears import Hears
from shared.kit.in_streams import InStreams
from shared.kit.inbox import Takes
from shared.kit.lease import TERM, Lease
from shared.kit.reader import StreamReader
from shared.kit.recovering import Retell, recovery, retelling
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.relay import Relay
from shared.kit.settings import Settings
from shared.kit.streams import Entry, Position, Streams
from shared.kit.subscriptions import Subscriptions
from shared.kit.wake import waking
from shared.kit.witness import HubWitness
from shared.kit.work import Work, Works

log = structlog.get_logger()
S = TypeVar("S")
TURN = 1.0
MOST_STREAMS = 10_000


@dataclass(frozen=True)
class Timer:
    """Something that is due again and again: the third edge beside messages and requests."""

    name: str
    every: timedelta
    do: Callable[["Node[Any]"], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """What makes a service, put together in its `app.py`."""

    name: str
    store: Callable[[AsyncConnection], Any]
    tables: sa.MetaData
    copies: tuple[sa.Table, ...]
    migrations: Path
    hears: Hears
    api: APIRouter
    settings: type[Settings] = Settings
    timers: tuple[Timer, ...] = ()
    begin: Callable[["Node[Any]"], Awaitable[None]] | None = None
    commands_in: Callable[[], Any] | None = None
    takes: Takes | None = None
    recover: Callable[[Sequence[Any], Work[Any]], Awaitable[None]] | None = None
    retell: Retell | None = None
    parts: tuple["Part", ...] = ()

    @property
    def commands(self) -> Any:
        """Give what the service adds to the operator's command; loaded for that alone, the service needs none of it."""
        return None if self.commands_in is None else self.commands_in()


@dataclass(frozen=True)
class Part:
    """Something that a service runs beside its own work: its tables with their migrations, its routes, its loops."""

    tables: sa.MetaData
    migrations: Path
    routers: tuple[APIRouter, ...] = ()
    turns: tuple[Callable[["Node[Any]"], Coroutine[Any, Any, None]], ...] = ()


@dataclass
class Node(Generic[S]):
    """One running copy of a service."""

    service: Service
    settings: Settings
    database: Database
    works: Works[S]
    relay: Relay
    lease: Lease
    subscriptions: Subscriptions
    registry: CollectorRegistry
    http: httpx.AsyncClient
    redis: Any
    streams: Streams
    in_streams: InStreams | None = None
    reached_redis_at: float = field(default_factory=monotonic)
    stops: dict[str, Callable[[], dict[str, str]]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    begun: bool = True

    def stopped(self) -> dict[str, str]:
        """Give what waits for an operator, of all parts that have something to say about it."""
        return {name: why for stop in self.stops.values() for name, why in stop().items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the relay, the readers and the timers until the block ends."""
        # Not before the door opens: what comes in next may be a command.
        self.works.sure.clear()
        self.begun = False
        tasks = [asyncio.create_task(turn) for turn in self._turns()]
        for task in tasks:
            task.add_done_callback(_say_how_it_ended)
        try:
            async with waking(self.database, self.works.told):
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    def _turns(self) -> list[Coroutine[Any, Any, None]]:
        timers = [
            self._again(t.name, t.every.total_seconds(), self._when_sure(partial(t.do, self)))
            for t in self.service.timers
        ]
        housekeeping = [
            self._again("begin", 0.0, self._begin),
            self._again("relay", 0.0, self._relay_turn),
            self._again("trim", 3600.0, self._trim),
            self._again("read", TURN, self._when_sure(self._start_reading)),
            self.writing_back(),
        ]
        if self.in_streams is not None:
            housekeeping.append(self._again("in_streams", TURN, self._when_sure(self.in_streams.turn)))
            if self.service.name == in_streams.SPEAKS_FOR_THE_UNKNOWN:
                housekeeping.append(self._again("in_stream_bounds", in_stream_bounds.EVERY, self.in_streams.bound))
        return [*housekeeping, *timers, *(turn(self) for part in self.service.parts for turn in part.turns)]

    def writing_back(self) -> Coroutine[Any, Any, None]:
        """Keep SQLite's write-ahead log short: a writer that has to do it waits for the disk."""
        return self._again("write_back", TURN / 2, self.database.write_back)

    async def _again(self, name: str, every: float, do: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while not is_ending():
            try:
                await do()
                if failures:
                    log.info("turn_recovered", turn=name, failures=failures)
                failures = 0
                await pause(every)
            except Exception as error:
                failures += 1
                if is_transient(error):
                    # A server that is away for an hour fills no disk: the first, second, fourth, eighth … is said.
                    if failures & (failures - 1) == 0:
                        log.warning("turn_failed", turn=name, failures=failures, reason=str(error))
                else:
                    log.exception("turn_fault", turn=name)
                await pause(0.05 + full_jitter(SystemRandom(), failures, cap=2.0))

    async def _begin(self) -> None:
        """Let commands in once it is known that this is no backup, or what it had lost is taken back."""
        if not self.works.sure.is_set():
            await self.relay.find_out()
            self.works.sure.set()
        if self.service.begin is not None:
            await self.service.begin(self)
        self.begun = True
        await asyncio.Event().wait()

    def _when_sure(self, do: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Have something wait until it may tell: else it would use up the attempts of a message that has no fault."""

        async def later() -> None:
            await self.works.sure.wait()
            await do()

        return later

    async def _relay_turn(self) -> None:
        """Hold the lease, check the streams, then publish whatever is told until the next turn."""
        if not await self.lease.hold():
            self.relay.rest()
            await asyncio.sleep(TURN)
            return
        held = monotonic()
        await self.relay.check(lambda: self._publish_told(held))
        until = monotonic() + TURN
        while (left := until - monotonic()) > 0:
            self.works.told.clear()
            if not await self.relay.step():
                await _wait(self.works.told, left)

    async def _publish_told(self, held: float) -> None:
        # Only as long as nobody else can have taken the lease: it is renewed behind the check.
        if self.works.told.is_set() and monotonic() - held < TERM.total_seconds() / 2:
            self.works.told.clear()
            if await self.relay.step_of_clear():
                self.works.told.set()

    async def _trim(self) -> None:
        days = (self.settings.own_days, self.settings.pub_days, self.settings.box_days)
        await self.relay.trim(*(timedelta(days=each) for each in days))
        async with self.database.transaction() as connection:
            await idempotency.forget_old(connection, self.works.clock.now())
            await inbox.forget_old(connection, self.works.clock.now())
        await self.database.checkpoint()

    async def _start_reading(self) -> None:
        await self.subscriptions.start()
        while not is_ending():
            await self.subscriptions.sync()
            self.reached_redis_at = monotonic()
            await pause(TURN / 2)

    async def _close(self) -> None:
        await self.subscriptions.stop()
        try:
            await self.lease.release()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("lease_not_released", reason=type(error).__name__)
        await self.http.aclose()
        await self.redis.aclose()
        await self.database.close()


def _say_how_it_ended(task: asyncio.Task[None]) -> None:
    """Log a turn that ended by a fault: nobody awaits it before the node stops."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("turn_died", exc_info=error)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def build(service: Service, settings: Settings) -> Node[Any]:
    """Put a running service together from its description and its settings."""
    clock, random = SystemClock(), SystemRandom()
    database = Database(settings.database_of(service.name))
    works: Works[Any] = Works(database, service.store, clock, Ids(random, clock), settings)
    redis = connect(settings.redis)
    streams = RedisStreams(redis)
    registry = CollectorRegistry()
    hears = service.hears.and_also(directory.hears)
    http = httpx.AsyncClient(timeout=10.0)
    broker = RedisBroker(
        settings.redis,
        apply_types=False,
        retry=Retry(NoBackoff(), 0),
        max_connections=MOST_STREAMS,  # redis-py's own limit of 100 leaves the hundredth stream unread
        logger=logging.getLogger("album.broker"),
        log_level=logging.DEBUG,
        middlewares=[RedisPrometheusMiddleware(registry=registry, app_name=f"album-{service.name}")],
    )
    backfill = log_of_the_owner(settings, http)
    lease = Lease("relay", settings.holder_of(service.name), database, clock)
    subscriptions = Subscriptions(
        broker,
        streams,
        database,
        hears,
        settings,
        clock,
        lambda name: StreamReader(name, hears, works, streams, backfill, clock, random),
    )
    hub = HubWitness(settings.internal_url("members"), node_key(settings), http) if settings.hub else None
    recover, finish = recovery(works, service.recover, service.takes), retelling(works, service.retell)
    epochs = Epochs(database, streams, clock, lease, hub, recover, finish)
    relay = Relay(
        database,
        streams,
        clock,
        random,
        lease,
        epochs,
        hub.remove if hub else None,
        directory.streams_of(service.name, settings),
    )
    takes = service.takes
    in_streams = InStreams(service.name, takes, works, broker, redis, settings, random) if takes else None
    return Node(
        service, settings, database, works, relay, lease, subscriptions, registry, http, redis, streams, in_streams
    )


def log_of_the_owner(
    settings: Settings, http: httpx.AsyncClient
) -> Callable[[str, Position, int], Awaitable[list[Entry]]]:
    """Give what fetches missing entries from the log of the service that wrote the stream."""

    async def fetch(stream: str, after: Position, count: int) -> list[Entry]:
        url = f"{settings.internal_url(parse_stream(stream).service)}/log"
        try:
            answer = await http.get(
                url,
                params={"stream": stream, "after": str(after), "count": count},
                headers={"Authorization": f"Bearer {node_key(settings)}"},
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Transient(f"the log behind {stream} does not answer: {type(error).__name__}") from error
        return [
            Entry(Position.parse(one["id"]), base64.b64decode(one["p"]), bytes.fromhex(one["h"]))
            for one in answer.json()["entries"]
        ]

    return fetch


def node_key(settings: Settings) -> str:
    """Give the key by which services of one node know each other; made from the node's secret, never stored."""
    return hmac.new(settings.secret.get_secret_value().encode(), b"album/1/node", "sha256").hexdigest()
