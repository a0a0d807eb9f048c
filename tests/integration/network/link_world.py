"""A small network for tests of the link: a hub, an office that signs rosters, and nodes with streams and a database."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract import members
from shared.contract.words import InstitutionState
from shared.kit import migrate
from shared.kit.clock import Ids
from shared.kit.database import Database
from shared.kit.memory_streams import MemoryStreams
from shared.kit.node import Service
from shared.kit.settings import Settings
from shared.kit.streams import GENESIS, Entry, Position, Streams, chain
from shared.kit.work import Works
from shared.network import changes
from shared.network.entries import SignedEntry
from shared.network.held import Held
from shared.network.hub.in_memory import MemoryHub
from shared.network.hub.streams import HubStreams
from shared.network.identity import Identity
from shared.network.link.link import Link, Options, no_log
from shared.network.link.sign import Backfill
from shared.network.link.store import LinkStore
from shared.network.names import box_stream, pub_stream
from shared.network.part import NETWORK
from shared.network.roster import Roster
from tests.integration.kit.sample import Sample, SampleStore, SteadyClock, keeps_all, metadata
from tests.unit.network.network_sample import NOW, event, identity, network, signed

AWO, VHS = "awo", "vhs-hannover"
PUB = pub_stream(AWO, "members")
RUNS = pub_stream(AWO, "courses")
BOX = box_stream(VHS, AWO)

SERVICE = Service(
    name="sample",
    store=SampleStore,
    tables=metadata,
    copies=(),
    migrations=Path("tests/integration/kit/no_migrations").resolve(),
    hears=keeps_all(),
    api=APIRouter(),
    parts=(NETWORK,),
)


class Always:
    """A fence without another copy."""

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Say that this one leads."""
        return True


class MortalHub:
    """A hub that loses everything once, where a test says so."""

    def __init__(self, hub: HubStreams, wipe: Callable[[], None]) -> None:
        self.hub = hub
        self._wipe: Callable[[], None] | None = wipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hub, name)

    def die(self) -> None:
        """Lose everything, where that did not happen before."""
        if self._wipe is not None:
            self._wipe()
            self._wipe = None


@dataclass
class NodeOfTest:
    """A node: its streams, its database, its link, and a service that tells and hears."""

    slug: str
    local: Streams
    database: Database
    clock: SteadyClock
    make_link: Callable[["NodeOfTest"], Link]
    link: Link = field(init=False)
    sample: Sample = field(init=False)
    hashes: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        works = Works(self.database, SampleStore, self.clock, Ids(Random(3), self.clock), Settings())
        self.sample = Sample(self.database, works, self.clock, self.local)
        self.link = self.make_link(self)

    async def restart_link(self) -> None:
        """Begin with a new link, as after a kill."""
        self.link = self.make_link(self)
        await self.link.start()

    async def say(self, number: int, version: int = 1) -> None:
        """Commit a public message of this institution's members."""
        picture = members.InstitutionPicture(slug=f"thing-{number}", name="ü", state=InstitutionState.ACTIVE)
        await self.sample.tell(members.InstitutionChanged(institution=self.slug, version=version, picture=picture))

    async def relay(self) -> None:
        """Publish what was committed, and refill what was lost inside."""
        relay = self.sample.relay()
        await self.sample.lease.hold()
        while await relay.step():
            pass
        await relay.check()

    async def put(self, stream: str, *payloads: bytes, at: Position | None = None) -> None:
        """Append payloads to an own stream inside, as a relay does."""
        [head] = await self.local.heads([stream])
        for payload in payloads:
            after = head
            head = at or Position(max(1, head.epoch), head.seq + 1)
            self.hashes[stream] = chain(self.hashes.get(stream, GENESIS), stream, head, payload)
            entry = Entry(head, payload, self.hashes[stream])
            state = {json.loads(payload)["subject"]: entry} if ":pub:" in stream else {}
            assert await self.local.append(stream, after, [entry], state) == head

    async def send(self) -> None:
        """Bring all that is own to the hub."""
        while await self.link.send(self.slug):
            pass

    async def take(self) -> None:
        """Take all that the hub has for this node."""
        while await self.link.step_down():
            pass

    async def here(self, stream: str = PUB) -> list[Entry]:
        """Give a stream as it stands inside."""
        return await self.local.read(stream, Position(0, 0), 10_000)


@dataclass
class World:
    """A hub and nodes around it."""

    hub: Any
    as_user: Callable[[str], HubStreams]
    put_roster: Callable[[int, bytes, bytes], Any]
    folder: Path
    new_streams: Callable[[str], Streams]
    clock: SteadyClock = field(default_factory=SteadyClock)
    roster: Roster = field(default_factory=lambda: network(AWO, VHS))
    nodes: dict[str, NodeOfTest] = field(default_factory=dict)
    keys: dict[str, tuple[Identity, ...]] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    seen_by: Callable[[str, HubStreams], HubStreams] = field(default=lambda _, hub: hub)
    backfill: Backfill = field(default=no_log)

    async def publish(self, roster: Roster, life: Any = changes.LIFE) -> None:
        """Have the office sign and publish a roster."""
        self.roster = changes.issue(roster, self.clock.now(), life)
        done = self.put_roster(self.roster.version, *signed(self.roster))
        if done is not None:
            await done

    async def node(self, slug: str) -> NodeOfTest:
        """Give a node that has joined."""
        database = Database(f"sqlite+aiosqlite:///{self.folder}/{slug}.db")
        await migrate.upgrade(SERVICE, database)
        async with database.transaction() as connection:
            await connection.run_sync(metadata.create_all)
        self.keys.setdefault(slug, (identity(slug),))
        node = NodeOfTest(slug, self.new_streams(slug), database, self.clock, self._link)
        await node.link.store.keep_held(Held(self.roster.roots))
        await node.link.start()
        await node.link.take_rosters()
        self.nodes[slug] = node
        return node

    def _link(self, node: NodeOfTest) -> Link:
        hub = self.seen_by(node.slug, self.as_user(node.slug))
        store = LinkStore(node.database, Always())
        return Link(
            {node.slug: self.keys[node.slug]}, {node.slug: hub}, node.local, store, self.clock, Random(5),
            options=self.options, backfill=self.backfill,
        )  # fmt: skip

    async def on_hub(self, stream: str = PUB) -> list[SignedEntry]:
        """Give a stream as it lies on the hub."""
        return await self.as_user(AWO).read(stream, Position(0, 0), 10_000)

    async def meet(self) -> None:
        """Have everybody relay, send and take until all is quiet."""
        for _ in range(3):
            for node in self.nodes.values():
                await node.relay()
                await node.send()
                await node.link.check()
            for node in self.nodes.values():
                await node.link.check()
                await node.take()

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.clock.time += timedelta(**time)


@asynccontextmanager
async def memory_world(folder: Path) -> AsyncIterator[World]:
    """Give a world whose hub and nodes' streams lie in memory."""
    hub = MemoryHub()
    world = World(hub, hub.as_user, hub.put_roster, folder, lambda _: MemoryStreams())
    world.clock.time = NOW
    await world.publish(world.roster)
    try:
        yield world
    finally:
        for node in world.nodes.values():
            await node.database.close()


def sealed_event(number: int, text: str = "canary") -> bytes:
    """Make the bytes of a message for a box."""
    return event(f"/{AWO}/courses", f"ref_{number}", "courses.referral.sent.v1", text=text)


def tampered(entry: SignedEntry) -> SignedEntry:
    """Give an entry whose payload somebody changed."""
    return replace(entry, payload=entry.payload.replace(b"thing", b"think"))
