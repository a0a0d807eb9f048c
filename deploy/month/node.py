"""A node of the month: the real link, relay and readers on databases and a Redis of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from deploy.month import findings
from deploy.month.place import SERVICE, DaysClock, Place, identity_of, roots
from deploy.month.telling import PUBLIC, SEALED, asked, pictures
from deploy.simulation.recorder import metadata
from services.courses.app import service as courses
from services.members.app import service as members
from shared.kit import migrate, outbox
from shared.kit.applying import is_transient
from shared.kit.clock import Ids
from shared.kit.database import Database
from shared.kit.lease import Lease
from shared.kit.reader import StreamReader
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.relay import Relay
from shared.kit.settings import Settings
from shared.kit.streams import START, Entry, Position
from shared.kit.work import Works
from shared.network.held import Held
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.hub.streams import HubStreams
from shared.network.link import notes as link_notes
from shared.network.link.link import Link, Options
from shared.network.link.linking import wake_inside
from shared.network.link.running import Running
from shared.network.link.store import LinkStore

PAGE = 500
OPTIONS = Options(services=(SERVICE,))


class MonthNode:
    """One institution's node; `through` is what stands between its link and the hub."""

    def __init__(self, place: Place, through: Callable[[HubStreams], Any] = lambda hub: hub) -> None:
        self.place, self.clock = place, DaysClock()
        self.random = Random(place.slug)  # noqa: S311 - pauses and ids of a test network
        Path(place.folder).mkdir(parents=True, exist_ok=True)
        self.settings = Settings(office=place.slugs[0], hosted=place.slug)
        self.redis = connect(place.redis)
        self.streams = RedisStreams(self.redis)
        files = {name: f"{place.folder}/{name}.db" for name in ("courses", "members")}
        self.databases = {name: Database(f"sqlite+aiosqlite:///{path}") for name, path in files.items()}
        self.ids = Ids(self.random, self.clock)
        database = self.databases["courses"]
        self.works: Works[Any] = Works(database, courses.store, self.clock, self.ids, self.settings)
        self.lease = Lease("relay", place.slug, database, self.clock)
        self.relay = Relay(database, self.streams, self.clock, self.random, self.lease)
        self.hub = RedisHub(connect_hub(place.hub, place.slug, identity_of(place.slug).password))
        leading = Lease("link", place.slug, self.databases["members"], self.clock)
        self.link = self._link(through(self.hub), leading)
        self.running = Running(self.link, leading, partial(wake_inside, self.redis))
        self.readers = [self._reader(stream) for stream in (*place.pubs, *place.boxes)]
        self.messages = pictures(place.slug, place.things)
        self._tasks: list[asyncio.Task[None]] = []
        self._trimming: asyncio.Task[None] | None = None
        if place.by_age:
            link_notes.NEVER_TAKEN = OPTIONS.boxes

    def _link(self, hub: HubStreams, leading: Lease) -> Link:
        slug, store = self.place.slug, LinkStore(self.databases["members"], leading)
        return Link(
            {slug: (identity_of(slug),)}, {slug: hub}, self.streams, store, self.clock, self.random,
            backfill=self._log, options=OPTIONS,
        )  # fmt: skip

    def _reader(self, stream: str) -> StreamReader:
        hears = PUBLIC if ":pub:" in stream else SEALED
        return StreamReader(stream, hears, self.works, self.streams, self._log, self.clock, self.random)

    async def _log(self, stream: str, after: Position, count: int) -> list[Entry]:
        async with self.databases["courses"].reading() as connection:
            return await outbox.log_after(connection, stream, after, count)

    async def begin(self) -> None:
        """Make the databases, pin the office's root, and begin to work."""
        await migrate.upgrade(courses, self.databases["courses"])
        await migrate.upgrade(members, self.databases["members"])
        async with self.databases["courses"].transaction() as connection:
            await connection.run_sync(metadata.create_all)
        await self.link.store.keep_held(Held(roots()))
        self._tasks = [asyncio.create_task(one) for one in (self.running.run(), self._relays(), self._reads())]

    async def publish(self, count: int) -> None:
        """Tell so many public messages."""
        while count > 0:
            page = list(islice(self.messages, min(PAGE, count)))
            async with self.works() as work:
                work.tell(*page)
            count -= len(page)

    async def seal(self, to: str) -> None:
        """Tell one institution something."""
        async with self.works() as work:
            work.tell(asked(self.place.slug, to, self.ids, self.clock))

    async def day(self, days: int) -> None:
        """Be at the so-and-so-manieth day: what is too old goes, as each night."""
        self.clock.days = days
        settings = self.settings
        kept = (settings.own_days, settings.pub_days, settings.box_days)
        await self._tries(lambda: self.relay.trim(*(findings.days(each) for each in kept)))
        if self._trimming is None or self._trimming.done():
            # A line that is cut answers nothing for a quarter of a minute: the node does not wait for that.
            self._trimming = asyncio.create_task(self._tries(self.link.trim))

    async def trim(self) -> None:
        """Have what is too old go from the hub, and wait for that."""
        if self._trimming is not None:
            await self._trimming
        await self._tries(self.link.trim)

    async def _tries(self, do: Callable[[], Awaitable[None]]) -> None:
        try:
            await do()
        except Exception as error:
            if not is_transient(error):
                raise

    async def far(self) -> dict[str, int]:
        """Tell how far each stream is read, and under its own name how much this node told."""
        async with self.databases["courses"].reading() as connection:
            return await findings.read_to(connection)

    async def found(self) -> dict[str, Any]:
        """Tell what there is to judge."""
        async with self.databases["courses"].reading() as connection:
            told = await findings.of_courses(connection, self.place)
        states = await findings.of_states(self.streams, self.place.pubs)
        async with self.databases["members"].reading() as connection:
            refused = await findings.refused(connection)
        return {**told, "states": states, "refused": refused, "stopped": self.link.stopped, "cpu": findings.cpu()}

    async def _relays(self) -> None:
        while True:
            self.works.told.clear()
            try:
                await self.lease.hold()
                await self.relay.check()
                while await self.relay.step():
                    await self.lease.hold()
            except Exception as error:
                if not is_transient(error):
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(3.0):
                    await self.works.told.wait()

    async def _reads(self) -> None:
        read: dict[str, Position] = {}
        while True:
            there = await self.streams.heads([one.stream for one in self.readers])
            for reader, end in zip(self.readers, there, strict=True):
                if read.get(reader.stream, START) != end:
                    await self._tries(reader.catch_up)
                    read[reader.stream] = reader.position or START
            await wake_inside(self.redis, {one.stream: read.get(one.stream, START) for one in self.readers}, 5.0)

    async def end(self) -> None:
        """Stop working."""
        tasks = [*self._tasks, *filter(None, [self._trimming])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.hub.close()
        await self.redis.aclose()
        for database in self.databases.values():
            await database.close()
