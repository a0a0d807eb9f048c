"""The link of a simulated node, and the way in which its relays ask what the hub holds."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from deploy.simulation.hub import HubWire, SimHub
from deploy.simulation.office import SERVICES, Office
from shared.kit.clock import Clock
from shared.kit.ending import is_ending
from shared.kit.errors import Transient
from shared.kit.lease import Lease
from shared.kit.streams import Entry, Position
from shared.kit.witness import Head, WitnessRefuses
from shared.network.hub.streams import HubAway, HubRefuses, HubStreams
from shared.network.link.link import Link, Options
from shared.network.link.running import Running
from shared.network.link.store import LinkStore
from shared.network.link.witness import HubLog

if TYPE_CHECKING:
    from deploy.simulation.process import Process

LONGEST_WAIT = 5.0
SHORT = 1.0


class SlowClock(Clock):
    """A machine's clock for the link, whose turns come half as often: most of them find nothing, and all cost time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        """Give the time that the machine believes in."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Give seconds that only grow."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait, twice as long where it is short."""
        await self._clock.sleep(2.0 * seconds if seconds <= SHORT else seconds)


def running_link(process: "Process", hub: SimHub, office: Office, options: Options) -> Running:
    """Put the link of a node together, as `shared.network.link.linking` does in life."""
    site = process.site
    identities = {slug: office.keys[slug] for slug in site.institutions}
    hubs = {slug: cast("HubStreams", HubWire(process.network, process, hub, slug)) for slug in identities}
    lease = Lease("link", process.lease.holder, process.database, process.clock)
    link = Link(
        identities,
        hubs,
        process.streams,
        LinkStore(process.database, lease),
        SlowClock(process.clock),
        process.random,
        hosted=site.institutions,
        backfill=process.backfill,
        options=options,
    )
    return Running(link, lease, partial(_wake, process))


async def run_link(process: "Process", hub: SimHub, office: Office, options: Options) -> None:
    """Run the link as long as the process lives; anew when keys change."""
    while True:
        keys = {slug: office.keys[slug] for slug in process.site.institutions}
        running = running_link(process, hub, office, options)
        if await running.link.store.held() is None:
            await running.link.store.keep_held(office.pinned)
        process.linking, process.link = running, running.link
        task = process.start(running.run())
        while all(office.keys[slug] == known for slug, known in keys.items()):
            await process.clock.sleep(LONGEST_WAIT)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _wake(process: "Process", after: dict[str, Position], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds * LONGEST_WAIT):
            await process.redis.any_behind(after)
    except TimeoutError:
        return


class HubDesk:
    """What members answers to the relays of its node about the hub."""

    down = False
    away = HubAway

    def __init__(self, process: "Process") -> None:
        self.name = f"{process.site.name}/hub"
        self._process = process

    async def head(self, stream: str) -> Head | None:
        """Give the end of a stream on the hub; None where it is not reached."""
        log = self._log(stream)
        if log is None:
            return Head(Position(0, 0), None)
        try:
            return Head(*await log.head(stream))
        except HubRefuses as error:
            raise WitnessRefuses(str(error)) from error
        except HubAway:
            return None

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give what the hub holds behind a position."""
        log = self._log(stream)
        if log is None:
            return []
        return [Entry(*found) for found in await log.behind(stream, after, count)]

    def _log(self, stream: str) -> HubLog | None:
        link = self._process.link
        if link is None:
            raise Transient("members has just begun")
        log = HubLog(link)
        return log if log.is_there(stream) else None


class SimWitness:
    """A relay's way to the hub, through members."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def head(self, stream: str) -> Head | None:
        """Give the end of a stream on the hub; None while it cannot be heard."""
        try:
            found: Head | None = await self._asked("head", stream)
        except Transient:
            return None
        return found

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position."""
        found: list[Entry] = await self._asked("read", stream, after, count)
        return found

    async def _asked(self, method: str, *arguments: Any) -> Any:
        members = self._process.members()
        if members is None:
            raise Transient("members does not run")
        try:
            return await self._process.network.call(self._process, HubDesk(members), method, *arguments)
        except asyncio.CancelledError:
            # Members died while it was asked; the one who asks may live, unless its world ends.
            if is_ending():
                raise
            await self._process.awake()
            raise Transient("members died") from None


OPTIONS = Options(services=SERVICES, public=timedelta(days=90), boxes=timedelta(days=30))
