"""The link with its loops between real servers: a hub with the generated rules, and the Redis of two nodes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.embedded.redis import RedisServer
from shared.kit.lease import Lease
from shared.kit.redis_streams import RedisStreams, connect
from shared.network.link import running
from shared.network.link.link import NodeIsFull
from shared.network.link.linking import wake_inside
from shared.network.link.running import Running
from shared.network.link.store import LinkStore
from tests.integration.kit.sample import SteadyClock
from tests.integration.network.hub_server import HubServer
from tests.integration.network.link_world import AWO, BOX, PUB, VHS, NodeOfTest, World, sealed_event
from tests.unit.network.network_sample import event

OTHER = PUB.replace(AWO, VHS)


@pytest.fixture
async def world(hub_server: HubServer, redis_server: Any, tmp_path: Path) -> AsyncIterator[World]:
    """Give a hub on its server, and two nodes on two databases of another."""
    inside = {AWO: connect(_place(redis_server, 1)), VHS: connect(_place(redis_server, 2))}
    for client in inside.values():
        await client.flushdb()
    world = World(
        hub_server,
        hub_server.as_user,
        hub_server.put_roster,
        tmp_path,
        lambda slug: RedisStreams(inside[slug]),
        clock=RealClock(),
    )
    await world.publish(world.roster)
    await world.node(AWO)
    await world.node(VHS)
    yield world
    for node in world.nodes.values():
        await node.database.close()
    for client in inside.values():
        await client.aclose()
    await hub_server.close()


class RealClock(SteadyClock):
    """The machine's clock in the place of the steady one."""

    def now(self) -> datetime:
        """Give the time of day."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def _place(server: Any, number: int) -> str:
    return str(server.url).rsplit("/", 1)[0] + f"/{number}"


@asynccontextmanager
async def links_running(*nodes: NodeOfTest) -> AsyncIterator[list[Running]]:
    """Run the links of nodes, each with its lease."""
    found = []
    for node in nodes:
        lease = Lease("link", node.slug, node.database, node.clock)
        node.link.store = LinkStore(node.database, lease)
        redis: Any = node.local
        found.append(Running(node.link, lease, partial(wake_inside, redis._redis)))
    tasks = [asyncio.create_task(one.run()) for one in found]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - what is waited for lies on servers
            await asyncio.sleep(0.05)


async def _wipe(node: NodeOfTest) -> None:
    redis: Any = node.local
    await redis._redis.flushdb()


async def test_both_nodes_end_equal_though_each_server_was_wiped_in_mid_run(
    world: World, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real relays, links and readers; the hub and both nodes' Redis lose everything once."""
    monkeypatch.setattr(running, "CHECK_EVERY", 0.3)
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    wipes: dict[int, Callable[[], Awaitable[None]]] = {
        30: hub_server.wipe,
        60: lambda: _wipe(vhs),
        90: lambda: _wipe(awo),
    }
    async with links_running(awo, vhs):
        for number in range(120):
            await awo.say(number % 40, version=number + 1)
            await vhs.say(number % 40, version=number + 1)
            if number % 5 == 0:
                await awo.relay()
                await vhs.relay()
            if number in wipes:
                await wipes[number]()
        await awo.relay()
        await vhs.relay()

        async def equal() -> bool:
            for node in (awo, vhs):
                await node.relay()
            states = [await node.local.state(name) for name in (PUB, OTHER) for node in (awo, vhs)]
            return len(states[0]) == len(states[2]) == 40 and states[0] == states[1] and states[2] == states[3]

        await until(equal)
        for node, stream in ((awo, OTHER), (vhs, PUB)):
            reader = node.sample.reader(stream)
            await reader.catch_up()
            newest = dict(await node.sample.heard())
            assert newest == {f"thing-{number}": 80 + number + 1 for number in range(40)}


async def test_a_box_travels_sealed_between_servers(world: World, hub_server: HubServer) -> None:
    """The hub's whole memory does not hold the words that both ends hold."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    async with links_running(awo, vhs):
        await awo.put(BOX, sealed_event(1, "canary-äöü"))

        async def there() -> bool:
            return bool(await vhs.here(BOX))

        await until(there)
    assert [e.payload for e in await vhs.here(BOX)] == [e.payload for e in await awo.here(BOX)]
    [entry] = await world.on_hub(BOX)
    assert b"canary" not in entry.payload


async def test_a_hub_that_is_away_stops_nobody_inside_and_fills_no_log(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node goes on telling; when the hub is back all of it arrives."""
    monkeypatch.setattr(running, "LONGEST_PAUSE", 0.3)
    said: list[str] = []
    monkeypatch.setattr(running.log, "warning", lambda event, **_: said.append(event))
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    hub: HubServer = world.hub
    async with links_running(awo, vhs) as loops:
        hub.server.kill()
        for number in range(20):
            await awo.say(number)
        await awo.relay()

        async def failing() -> bool:
            return all(sum(one.failing.values()) > 12 for one in loops)

        await until(failing)
        total = sum(sum(one.failing.values()) for one in loops)
        assert said.count("link_failed") < total
        hub.server.start()

        async def arrived() -> bool:
            return len(await vhs.here()) == 20

        await until(arrived)


async def test_a_full_redis_inside_makes_the_link_wait_and_lose_nothing(
    hub_server: HubServer, tmp_path: Path, world: World, own_redis: RedisServer
) -> None:
    """Nothing is taken beyond what the node can hold; when there is room again, all of it comes."""
    client = connect(own_redis.url)
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    vhs.local = RedisStreams(client)
    await vhs.restart_link()
    used = int((await client.info("memory"))["used_memory"])
    await client.config_set("maxmemory", used + 300_000)
    text = "x" * 10_000
    await awo.put(PUB, *(event(f"/{AWO}/members", f"thing-{n}", text=text) for n in range(100)))
    await awo.send()
    with pytest.raises(NodeIsFull):
        await vhs.take()
    some = len(await vhs.here())
    assert some < 100
    with pytest.raises(NodeIsFull):
        await vhs.take()
    assert len(await vhs.here()) == some
    await client.config_set("maxmemory", 0)
    await vhs.take()
    assert await vhs.here() == await awo.here()
    await client.aclose()


async def test_a_second_copy_of_the_link_waits_and_takes_over(world: World) -> None:
    """One leads; when it ends the other goes on where it stood."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    lease = Lease("link", "second", awo.database, awo.clock)
    second = world._link(awo)
    second.store = LinkStore(awo.database, lease)
    async with links_running(awo, vhs) as loops:
        await awo.say(1)
        await awo.relay()

        async def arrived() -> bool:
            return len(await vhs.here()) == 1

        await until(arrived)
        other = Running(second, lease)
        task = asyncio.create_task(other.run())
        await asyncio.sleep(0.3)
        assert (loops[0].leading.is_set(), other.leading.is_set()) == (True, False)
        await awo.say(2)
        await awo.relay()
    async with links_running(vhs):

        async def both() -> bool:
            return len(await vhs.here()) == 2

        await until(both)
        await until(lambda: _is(other.leading.is_set))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _is(what: Callable[[], bool]) -> bool:
    return what()
