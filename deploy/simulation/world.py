"""One world from one seed: it lives among faults, heals, and is judged."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from random import Random

from pydantic import SecretStr

from deploy.simulation.hub import SimHub
from deploy.simulation.judging import judge, unrest
from deploy.simulation.linking import run_link
from deploy.simulation.loop import now, run
from deploy.simulation.nemesis import Nemesis, Poison
from deploy.simulation.network import Network, Rates
from deploy.simulation.office import Office
from deploy.simulation.operating import ask_again
from deploy.simulation.people import Desk
from deploy.simulation.process import Parts, Process, Site
from deploy.simulation.recorder import metadata
from deploy.simulation.redis import SimRedis
from deploy.simulation.store import NOBODY, Disk, MemoryDatabase
from deploy.simulation.trace import Trace, log_into
from services.courses.app import service as courses
from services.members.app import service as members
from services.members.handlers import institutions
from shared.kit import migrate
from shared.kit.node import Service
from shared.kit.settings import Settings

OFFICE = "office"
PATIENCE = 240.0
SERVICES: dict[str, Service] = {"members": members, "courses": courses}
# Most worlds are small, because most faults need only two; some are as large as the network will be.
SIZES = {2: 76, 3: 18, 4: 4, 5: 1.2, 7: 0.5, 13: 0.3}


@cache
def template(service: str) -> bytes:
    """Give a new database of a service: migrated as in life, with the recorder's table."""
    return run(_migrated(SERVICES[service]))


@cache
def basis() -> Settings:
    """Give what the settings of all sites have in common; to read them is slow."""
    return Settings(office=OFFICE, secret=SecretStr("0123456789abcdef0123"))


async def _migrated(service: Service) -> bytes:
    disk = Disk()
    await migrate.upgrade(service, MemoryDatabase(disk, NOBODY))
    metadata.create_all(disk.connection)
    disk.connection.commit()
    image = disk.image()
    disk.close()
    return image


@dataclass
class Plan:
    """What the seed says of a world before it begins."""

    sites: int
    seconds: float
    actions: int
    turn: float
    offer_time: timedelta
    rates: Rates
    skewed: bool
    linked: bool

    @classmethod
    def drawn(cls, random: Random) -> "Plan":
        """Draw a world."""
        sites = random.choices(list(SIZES), list(SIZES.values()))[0]
        return cls(
            sites=sites,
            seconds=random.uniform(6, 14),
            actions=random.randint(6, 18),
            turn=random.uniform(2.0, 5.0),
            offer_time=timedelta(seconds=random.uniform(2, 12)),
            rates=Rates.drawn(random),
            skewed=random.random() < 0.5,
            linked=random.random() < 0.33,
        )


class World:
    """Sites with their processes, the servers between them, and the people."""

    def __init__(self, seed: int, trace: Trace, parts: Parts) -> None:
        self.seed, self.trace, self.parts = seed, trace, parts
        self.random = Random(f"{seed}/world")
        self.plan = Plan.drawn(self.random)
        self.network = Network(Random(f"{seed}/network"), trace, self.plan.rates)
        self.nemesis = Nemesis(self, Random(f"{seed}/nemesis"))
        self.processes: list[Process] = []
        self.poisoned: set[Poison] = set()
        self.forged: set[str] = set()
        self.restored: set[tuple[str, str]] = set()
        self.awaited: set[tuple[str, str]] = set()
        self.deaths: Counter[tuple[str, str]] = Counter()
        self.trimmed = self.killer = self.mended = self.healing = False
        self.linked = self.plan.linked
        self.hub = SimHub()
        self.redises: list[SimRedis] = [] if self.linked else [parts.redis("redis")]
        self.sites = [self._site(number) for number in range(self.plan.sites)]
        self.desks = [Desk(name, Random(f"{seed}/{name}"), trace) for name in self.institutions]
        self._incarnations: dict[str, int] = {}
        self.office = Office(OFFICE, [OFFICE, *self.institutions], self.hub, Random(f"{seed}/office"))

    @property
    def institutions(self) -> list[str]:
        """Name all institutions but the office."""
        return [name for site in self.sites for name in site.institutions if name != OFFICE]

    def _site(self, number: int) -> Site:
        mine = (f"inst-{number:02}",)
        hosted = (OFFICE, *mine) if number == 0 else mine
        names = ("members", "courses") if number == 0 or self.linked else ("courses",)
        settings = basis().model_copy(update={"hosted": ",".join(hosted), "offer_time": self.plan.offer_time})
        disks = {name: Disk(template(name)) for name in names}
        if self.linked:
            self.redises.append(self.parts.redis(f"redis{number:02}"))
        site = Site(f"site{number:02}", hosted, self.redises[-1], disks, settings)
        if self.linked:
            site.members = partial(self._members_of, site)
        return site

    def _members_of(self, site: Site) -> Process | None:
        found = [one for one in self.processes if one.site is site and one.service is members]
        return found[0] if found else None

    # What others ask of the world.

    @property
    def servers(self) -> list[SimRedis | SimHub]:
        """Give all servers that may fail."""
        return [*self.redises, self.hub] if self.linked else list(self.redises)

    def servers_of(self, process: Process) -> list[str]:
        """Name the servers that a process calls."""
        mine = [process.redis.name]
        return [*mine, self.hub.name, self.hub.name] if self.linked and process.service is members else mine

    def copies_of(self, process: Process) -> list[Process]:
        """Give the running copies of a service at a site."""
        return [one for one in self.processes if one.site is process.site and one.service is process.service]

    def process_for(self, institution: str) -> Process | None:
        """Draw a running copy of courses where an institution lives."""
        found = [p for p in self.processes if institution in p.site.institutions and p.service is courses]
        return self.random.choice(found) if found else None

    # How processes begin and end.

    def start_process(self, site: Site, service: str, copy: str) -> None:
        """Start a copy of a service on the machine that is named after the site and the copy."""
        machine = f"{site.name}{copy}-{service}"
        number = self._incarnations[machine] = self._incarnations.get(machine, 0) + 1
        skew = timedelta(seconds=self.random.uniform(-3600, 3600)) if self.plan.skewed else timedelta()
        name = f"{machine}.{number}"
        process = Process(
            name, site, SERVICES[service], self.network, Random(f"{self.seed}/{name}"), self.trace, self.parts,
            lambda: self.mended, self._died, self.plan.turn, skew,
        )  # fmt: skip
        self.processes.append(process)
        process.run()
        if (site.name, service) in self.awaited and service == courses.name:
            self.awaited.discard((site.name, service))
            for desk in [one for one in self.desks if one.institution in site.institutions]:
                process.start(desk.hurry(process))
        if self.linked and service == "members":
            process.start(run_link(process, self.hub, self.office, self.parts.link))

    def start_copy(self, process: Process) -> None:
        """Start a second copy of a service."""
        self.start_process(process.site, process.service.name, "b")

    def _died(self, process: Process) -> None:
        self.deaths[process.site.name, process.service.name] += not process.by_message
        self.processes.remove(process)
        service, site = process.service.name, process.site
        if not process.place.startswith(f"{site.name}b"):
            delay = self.random.uniform(0.1, 1.0 if self.healing else 6.0)
            asyncio.get_running_loop().call_later(delay, self.start_process, site, service, "")

    # How the world lives.

    async def live(self) -> None:
        """Begin, suffer, heal, and be judged."""
        for site in self.sites:
            late = self.random.uniform(0, self.plan.seconds) if self.random.random() < 0.2 else 0.0
            for service in site.disks:
                for copy in ("", "b") if self.parts.twice else ("",):
                    asyncio.get_running_loop().call_later(late, self.start_process, site, service, copy)
        people = [asyncio.create_task(self._people(desk)) for desk in self.desks]
        joining = asyncio.create_task(self._join())
        await self.nemesis.rage(self.plan.seconds)
        for task in (*people, joining):
            await task
        await self._heal()
        judge(self)
        if sum(redis.refused for redis in self.redises):
            self.trace.mark("append_refused")

    async def _people(self, desk: Desk) -> None:
        actions = max(3, self.plan.actions * 2 // len(self.desks))
        random = Random(f"{self.seed}/{desk.institution}/moments")
        for _ in range(actions):
            await asyncio.sleep(random.expovariate(actions / self.plan.seconds))
            process = self.process_for(desk.institution)
            if process is not None:
                process.start(desk.act(process))

    async def _join(self) -> None:
        """Have the office take in one institution after another; some come late."""
        for name in self.institutions:
            if self.random.random() < 0.2:
                await asyncio.sleep(self.random.uniform(0, 5))
            await self._take_in_at_last(name)

    async def _take_in_at_last(self, name: str) -> None:
        while not await self._taken_in(name):  # noqa: ASYNC110 - a person tries again
            await asyncio.sleep(0.5)

    async def _taken_in(self, name: str) -> bool:
        found = [one for one in self.processes if one.service is members and one.site is self.sites[0]]
        if not found:
            return False
        done = asyncio.Event()
        task = found[0].start(self._take_in(found[0], name, done))
        await asyncio.gather(task, return_exceptions=True)
        return done.is_set()

    async def _take_in(self, process: Process, name: str, done: asyncio.Event) -> None:
        async with process.works() as work:
            # It may be there: the process died between its commit and its answer.
            if name not in {one.picture.slug for one in await work.store.institutions()}:
                await institutions.add_active(name, {"name": name}, work)
        done.set()

    async def _heal(self) -> None:
        """Let all faults end, and wait until nobody has anything left to do."""
        self.trace.note("HEALING")
        self.healing = True
        self.network.calm()
        self.office.reinstate_all()
        if self.forged:
            # The office takes out what was forged: it empties the hub, and everybody fills it again.
            self.hub.lose_all()
        for server in self.servers:
            server.down = False
            server.disconnect()
        for process in self.processes:
            process.statements_left = process.commits_left = None
            process.repeats = 0.0
            process.go_on()
        await self._mend()
        until = now() + PATIENCE
        while (left := unrest(self)) is not None:
            if now() > until:
                self.trace.wrong(f"no rest after {PATIENCE:.0f} seconds without faults: {left}")
                return
            await asyncio.sleep(1.0)

    async def _mend(self) -> None:
        """Bring the release that bears what the last one could not, and have an operator ask for what waits."""
        await asyncio.sleep(1.0)
        await self._settle()
        if (self.sites[0].name, "members") in self.restored:
            # What a backup lost before anybody heard of it is gone; the office sees that and does it again.
            for name in self.institutions:
                await self._take_in_at_last(name)
        self.mended = True
        await ask_again(self)

    async def _settle(self) -> None:
        until = now() + PATIENCE / 2
        while unrest(self) is not None and now() < until:  # noqa: ASYNC110 - nobody tells of rest
            await asyncio.sleep(1.0)


@dataclass
class Outcome:
    """What became of a world."""

    seed: int
    hash: str
    violations: list[str]
    faults: dict[str, int]
    marks: dict[str, int]
    tail: list[str] = field(default_factory=list)


def prepare() -> None:
    """Make what all worlds begin with."""
    for name in SERVICES:
        template(name)  # it runs a loop of its own


def simulate(seed: int, parts: Parts | None = None) -> Outcome:
    """Let the world of a seed live and give what became of it."""
    prepare()
    trace = Trace(seed)
    with log_into(trace):
        run(_live(seed, trace, parts or Parts()))
    tail = list(trace.tail) if trace.violations else []
    return Outcome(seed, trace.hash, trace.violations, dict(trace.faults), dict(trace.marks), tail)


async def _live(seed: int, trace: Trace, parts: Parts) -> None:
    world = World(seed, trace, parts)
    try:
        await world.live()
    finally:
        await _end_all()
        for site in world.sites:
            for disk in site.disks.values():
                disk.close()


async def _end_all() -> None:
    """End what still runs; the order does not matter any more, for the trace is closed."""
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
