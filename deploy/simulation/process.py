"""One running copy of a service in the simulated world; all of it is lost when it dies, but not its disk."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import sqlalchemy as sa

from deploy.simulation.broker import SimBroker
from deploy.simulation.linking import OPTIONS, SimWitness
from deploy.simulation.loop import now
from deploy.simulation.moments import BEGIN
from deploy.simulation.network import Network, Wire
from deploy.simulation.recorder import recorder
from deploy.simulation.redis import SimRedis
from deploy.simulation.store import Disk, MemoryDatabase
from deploy.simulation.trace import Trace
from deploy.simulation.watching import WatchedLease, WatchedReader
from shared.kit import directory, outbox
from shared.kit.applying import is_transient
from shared.kit.clock import Clock, Ids, full_jitter
from shared.kit.epochs import Epochs
from shared.kit.lease import TERM, Lease
from shared.kit.node import Node, Service
from shared.kit.reader import StreamReader
from shared.kit.recovering import recovery, retelling
from shared.kit.relay import Relay
from shared.kit.settings import Settings
from shared.kit.streams import Entry, Position, Streams
from shared.kit.subscriptions import Subscriptions
from shared.kit.work import Works
from shared.network.link.link import Link, Options
from shared.network.link.running import Running

TIMERS_EVERY = 8.0


@dataclass(frozen=True)
class Parts:
    """What a world is built of; a control puts something worse in a place.

    Where messages are not `numbered` by their writer, only what readers make of them is judged; with `twice` every
    service begins with two copies.
    """

    relay: type[Relay] = Relay
    reader: type[WatchedReader] = WatchedReader
    lease: type[WatchedLease] = WatchedLease
    redis: type[SimRedis] = SimRedis
    link: Options = OPTIONS
    numbered: bool = True
    twice: bool = False


@dataclass
class Site:
    """A node's machine: whose services run there, what they have written, and the Redis that they use."""

    name: str
    institutions: tuple[str, ...]
    redis: SimRedis
    disks: dict[str, Disk]
    settings: Settings
    members: Callable[[], "Process | None"] | None = None

    def log_server(self, stream: str) -> "LogServer":
        """Give what answers for the log behind a stream."""
        return LogServer(self, stream)


class LogServer:
    """`GET /log` of the services of a node."""

    down = False

    def __init__(self, site: Site, stream: str) -> None:
        self.name = f"{site.name}/log"
        self._disk = site.disks.get(stream.rsplit(":", 1)[1])

    async def behind(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give what a stream must hold behind a position."""
        if self._disk is None:
            return []
        async with self._disk.lock:
            with self._disk.connection.begin():
                return await outbox.log_after(cast("Any", _Plain(self._disk.connection)), stream, after, count)


class _Plain:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    async def execute(self, statement: Any) -> sa.CursorResult[Any]:
        return self._connection.execute(statement)


class SimClock(Clock):
    """A machine's clock, which may be wrong."""

    def __init__(self, process: "Process", skew: timedelta) -> None:
        self._process = process
        self.skew = skew

    def now(self) -> datetime:
        """Give the time that this machine believes in."""
        return BEGIN + timedelta(seconds=now()) + self.skew

    def monotonic(self) -> float:
        """Give the seconds that have passed, whatever this machine believes."""
        return now()

    async def sleep(self, seconds: float) -> None:
        """Wait; how long a machine waits is right even where its clock is not."""
        await asyncio.sleep(seconds)
        await self._process.awake()


class Process:
    """A copy of a service: its relay, its readers, its timers, and the requests that it answers."""

    def __init__(
        self,
        name: str,
        site: Site,
        service: Service,
        network: Network,
        random: Random,
        trace: Trace,
        parts: Parts,
        mended: Callable[[], bool],
        died: Callable[["Process"], None],
        turn: float,
        skew: timedelta,
    ) -> None:
        self.name, self.site, self.service, self.trace, self.random = name, site, service, trace, random
        self.place = name.split(".", maxsplit=1)[0]
        self.redis = site.redis
        self.repeats = network.rates.repeated
        self.alive, self.by_message = True, False
        self.statements_left: int | None = None
        self.commits_left: int | None = None
        self.clock = SimClock(self, skew)
        self._turn, self._died, self.network = turn, died, network
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._awake = asyncio.Event()
        self._awake.set()
        self.streams = cast("Streams", Wire(network, self, site.redis))
        self.disk = site.disks[service.name]
        self.database = MemoryDatabase(self.disk, self)
        self.works: Works[Any] = Works(self.database, service.store, self.clock, Ids(random, self.clock), site.settings)
        holder = f"{site.name}:{self.place}"
        self.lease: Lease = parts.lease("relay", holder, self.database, self.clock).watched(trace)
        self.link: Link | None = None
        self.linking: Running | None = None
        witness = None if site.members is None else SimWitness(self)
        self.epochs = Epochs(
            self.database, self.streams, self.clock, self.lease, witness,
            recovery(self.works, service.recover, service.takes),
            retelling(self.works, service.retell),
        )  # fmt: skip
        self.relay = parts.relay(self.database, self.streams, self.clock, random, self.lease, self.epochs,
            mine=directory.streams_of(service.name, site.settings),
        )  # fmt: skip
        heard = recorder(service.name, self._killed, mended)
        self.hears = hears = service.hears.and_also(directory.hears).and_also(heard)
        self.subscriptions = Subscriptions(
            cast("Any", SimBroker(self)),
            self.streams,
            self.database,
            hears,
            site.settings,
            self.clock,
            lambda stream: self._reader(stream, hears, parts),
        )

    def _reader(self, stream: str, hears: Any, parts: Parts) -> StreamReader:
        reader = parts.reader(stream, hears, self.works, self.streams, self.backfill, self.clock, self.random)
        reader.trace = self.trace
        return reader

    async def backfill(self, stream: str, after: Position, count: int) -> list[Entry]:
        server = self.site.log_server(stream)
        found: list[Entry] = await self.network.call(self, server, "behind", stream, after, count)
        return found

    def members(self) -> "Process | None":
        """Give the running members of this node, which has the link."""
        return None if self.site.members is None else self.site.members()

    def streams_of_all(self, institutions: set[str]) -> set[str]:
        """Name the streams to be read where these institutions are known."""
        return self.hears.streams(institutions, self.site.settings.office, self.site.settings.hosts)

    @property
    def _node(self) -> Node[Any]:
        """Give what timers see of a node."""
        found = SimpleNamespace(
            service=self.service, settings=self.site.settings, database=self.database, works=self.works,
            streams=self.streams, subscriptions=self.subscriptions, kept={},
        )  # fmt: skip
        return cast("Node[Any]", found)

    # What the process does by itself.

    def run(self) -> None:
        """Begin."""
        self.trace.note(f"{self.name} begins")
        self.works.sure.clear()
        self.start(self._again(self._begin))
        for turn in (self._relay_turn, self._read_turn):
            self.start(self._again(turn))
        if self.service.timers:
            self.start(self._again(self._timers))

    def start(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something as long as the process lives."""
        task = asyncio.get_running_loop().create_task(self._watched(doing))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    async def _watched(self, doing: Coroutine[Any, Any, None]) -> None:
        try:
            await doing
        except Exception as error:
            if is_transient(error):
                self.trace.note(f"{self.name} gives up: {error}")
            else:
                self.trace.wrong(f"{self.name}: {type(error).__name__}: {error}")

    async def _begin(self) -> None:
        if not self.works.sure.is_set():
            await self.relay.find_out()
            self.works.sure.set()
        if self.service.begin is not None:
            await self.service.begin(self._node)
        await asyncio.Event().wait()

    async def _again(self, turn: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await turn()
                failures = 0
            except Exception as error:
                if not is_transient(error):
                    raise
                failures += 1
                self.trace.mark("turn_repeated")
                await self.clock.sleep(0.05 + full_jitter(self.random, failures, cap=2.0))

    async def _relay_turn(self) -> None:
        if not await self.lease.hold():
            self.relay.rest()
            await self.clock.sleep(self._turn)
            return
        held = now()
        await self.relay.check(lambda: self._publish_told(held))
        until = now() + self._turn
        while (left := until - now()) > 0:
            self.works.told.clear()
            if not await self.relay.step():
                await self._told(left)

    async def _publish_told(self, held: float) -> None:
        # Only as long as nobody else can have taken the lease: it is renewed behind the check.
        if self.works.told.is_set() and now() - held < TERM.total_seconds() / 2:
            self.works.told.clear()
            if await self.relay.step_of_clear():
                self.works.told.set()

    async def _told(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.works.told.wait()
        except TimeoutError:
            return

    async def _read_turn(self) -> None:
        await self.works.sure.wait()
        await self.subscriptions.start()
        while True:
            await self.subscriptions.sync()
            await self.clock.sleep(self._turn)

    async def _timers(self) -> None:
        await self.works.sure.wait()
        for timer in self.service.timers:
            await timer.do(self._node)
        await self.clock.sleep(TIMERS_EVERY)

    # How it dies and sleeps.

    def crash(self) -> None:
        """Die as by `kill -9`: what is not committed and not sent is gone."""
        if not self.alive:
            return
        self.alive = False
        self.trace.note(f"{self.name} dies")
        for task in list(self._tasks):
            task.cancel()
        self._awake.set()
        self._died(self)

    def stop(self) -> None:
        """Stand still as by SIGSTOP."""
        self._awake.clear()

    def go_on(self) -> None:
        """Go on as by SIGCONT."""
        self._awake.set()

    async def awake(self) -> None:
        """Wait while the process stands still; raises CancelledError where it is dead."""
        if not self._awake.is_set():
            await self._awake.wait()
        if not self.alive:
            raise asyncio.CancelledError

    def _killed(self) -> None:
        self.trace.fault("killed_by_message", self.name)
        self.by_message = True
        self.crash()
        raise asyncio.CancelledError

    def at_statement(self) -> None:
        """Die here, where the seed says so."""
        if not self.alive:
            raise asyncio.CancelledError
        if self.statements_left is not None:
            self.statements_left -= 1
            if self.statements_left <= 0:
                self._die("crash_in_transaction")

    async def before_transaction(self) -> None:
        """Let others go first now and then."""
        if self.random.random() < 0.25:
            await asyncio.sleep(self.random.uniform(0.0, 0.02))
        await self.awake()

    def after_commit(self) -> None:
        """Die between a commit and what follows it, where the seed says so."""
        if self.commits_left is not None:
            self.commits_left -= 1
            if self.commits_left <= 0:
                self._die("crash_after_commit")

    def _die(self, kind: str) -> None:
        self.trace.fault(kind, self.name)
        self.crash()
        raise asyncio.CancelledError
