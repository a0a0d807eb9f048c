"""The link as members runs it: from settings, over TLS, with health, metrics and the witness for the relays."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.members.app import service
from services.members.settings import Settings
from shared.embedded.ports import HOST
from shared.kit import health, migrate
from shared.kit.errors import Transient
from shared.kit.http import application
from shared.kit.node import Node, build, node_key
from shared.kit.streams import Position
from shared.kit.witness import HubWitness
from shared.network.held import Held
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.hub.streams import HubAway
from shared.network.hub.tls import make_certificates
from shared.network.link import linking, running
from shared.network.link.linking import load_identities
from tests.integration.kit.sample import SteadyClock
from tests.integration.network.hub_server import HubServer
from tests.integration.network.link_world import AWO, BOX, PUB, VHS, NodeOfTest, World, sealed_event
from tests.unit.network.network_sample import event, identity, network, signed

OWN = PUB.replace("pub", "own")


@asynccontextmanager
async def members(folder: Path, url: str, **settings: Any) -> AsyncIterator[Node[Any]]:
    """Give members, built but not running, on an SQLite file."""
    node = build(
        service,
        Settings(
            database=f"sqlite+aiosqlite:///{folder}/members.db",
            secret=SecretStr("a secret of this test, long enough"),
            redis=url,
            hosted=AWO,
            **settings,
        ),
    )
    await migrate.upgrade(service, node.database)
    yield node
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()


class Away:
    """A hub that does not answer."""

    async def heads(self, streams: list[str]) -> list[Position]:
        """Fail."""
        raise HubAway("cut")


async def test_the_schema_of_members_has_the_tables_of_the_link(database_url: str, tmp_path: Path) -> None:
    """Migrations make exactly the tables in which the code believes."""
    node = build(service, Settings(database=database_url, redis="redis://127.0.0.1:1", hosted=AWO))
    await migrate.upgrade(service, node.database)
    assert await migrate.differences(service, node.database) == []
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()


async def test_a_relay_hears_what_the_hub_holds_of_its_streams(world: World, tmp_path: Path) -> None:
    """Head and log with the hashes inside; nothing of streams that are not there; no answer while the hub is away."""
    awo = world.nodes[AWO]
    for number in range(3):
        await awo.say(number)
    await awo.put(BOX, sealed_event(1), sealed_event(2))
    await awo.relay()
    await awo.send()
    async with members(tmp_path, "redis://127.0.0.1:1") as node:
        app = application(node)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as http:
            witness = HubWitness("http://node", node_key(node.settings), http)
            alone = await witness.head(PUB)
            assert alone is not None
            assert alone.position == Position(0, 0)
            node.kept["link"] = awo.link
            head = await witness.head(PUB)
            assert head is not None
            assert (head.position, head.hash) == (Position(1, 3), (await awo.here())[-1].hash)
            assert await witness.read(PUB, Position(1, 1), 500) == (await awo.here())[1:]
            box = await witness.head(BOX)
            assert box is not None
            assert (box.position, box.hash) == (Position(1, 2), None)
            here = await awo.here(BOX)
            assert [(e.position, e.payload, e.hash) for e in await witness.read(BOX, Position(0, 0), 9)] == [
                (e.position, b"", e.hash) for e in here
            ]
            own = await witness.head(OWN)
            assert own is not None
            assert own.position == Position(0, 0)
            awo.link.hub_of = {AWO: Away()}  # type: ignore[dict-item] # all it does is fail
            assert await witness.head(PUB) is None
            assert (await http.get("/hub/head", params={"stream": PUB})).status_code == 404


async def test_a_link_that_has_not_begun_yet_says_so(tmp_path: Path) -> None:
    """A relay must not take the first seconds of members for an empty hub."""
    async with (
        members(tmp_path, "redis://127.0.0.1:1", hub="rediss://127.0.0.1:1") as node,
        httpx.AsyncClient(transport=httpx.ASGITransport(application(node)), base_url="http://node") as http,
    ):
        witness = HubWitness("http://node", node_key(node.settings), http)
        assert await witness.head(PUB) is None
        with pytest.raises(Transient):
            await witness.remove(BOX, [Position(1, 1)])
        node.kept["has_keys"] = False
        assert await witness.head(PUB) is not None


async def test_an_entry_that_was_never_signed_here_proves_nothing(world: World, tmp_path: Path) -> None:
    """A hub that shows forged entries cannot make a node begin a new epoch."""
    awo = world.nodes[AWO]
    await awo.say(1)
    await awo.relay()
    await awo.send()
    true = world.hub.entries[PUB][0]
    forged = type(true)(Position(1, 2), true.payload, true.kid, true.hash(PUB), true.signature)
    world.hub.entries[PUB].append(forged)
    world.hub.ends[PUB] = Position(1, 2)
    async with members(tmp_path, "redis://127.0.0.1:1") as node:
        node.kept["link"] = awo.link
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application(node)), base_url="http://node") as http:
            assert await HubWitness("http://node", node_key(node.settings), http).head(PUB) is None


async def test_a_service_has_entries_of_a_box_erased(world: World, tmp_path: Path) -> None:
    """It asks until nothing is open; only boxes, and only with the node's key."""
    awo = world.nodes[AWO]
    await awo.put(BOX, sealed_event(1), sealed_event(2))
    await awo.send()
    async with members(tmp_path, "redis://127.0.0.1:1") as node:
        node.kept["link"] = awo.link
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application(node)), base_url="http://node") as http:
            key = {"Authorization": f"Bearer {node_key(node.settings)}"}
            body = {"stream": BOX, "positions": ["1-1"]}
            assert (await http.post("/hub/removals", json=body)).status_code == 404
            assert (await http.post("/hub/removals", json={**body, "stream": PUB}, headers=key)).status_code == 422
            asked = await http.post("/hub/removals", json=body, headers=key)
            assert (asked.status_code, asked.json()) == (202, {"open": 1})
            await awo.link.erase()
            open_ = await http.get("/hub/removals", params={"stream": BOX}, headers=key)
            assert open_.json() == {"open": 0}
    assert [entry.position.seq for entry in await world.on_hub(BOX)] == [2]


@dataclass
class Front:
    """An address that speaks TLS, with the authority that vouches for it."""

    url: str
    ca: Path


@pytest.fixture
async def front(hub_server: HubServer, tmp_path: Path) -> AsyncIterator[Front]:
    """Give TLS before the hub, as `tls-port` does: not every server program is built with it."""
    made = make_certificates([HOST], datetime.now(UTC))
    for name, content in (("ca.crt", made.ca), ("server.crt", made.certificate), ("server.key", made.key)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(HOST, hub_server.server.port)
        await asyncio.gather(_pass_on(reader, outer), _pass_on(inner, writer), return_exceptions=True)

    server = await asyncio.start_server(join, HOST, 0, ssl=context)
    yield Front(f"rediss://{HOST}:{server.sockets[0].getsockname()[1]}", tmp_path / "ca.crt")
    server.close()
    await hub_server.close()
    await asyncio.sleep(0.1)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - what is waited for lies on servers
            await asyncio.sleep(0.05)


async def test_members_runs_the_link_over_tls_as_soon_as_there_are_keys(
    front: Front, hub_server: HubServer, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and roots may come while it runs; then what is told stands on the hub, and the figures say so."""
    monkeypatch.setattr(linking, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(running, "CHECK_EVERY", 0.1)
    keys = tmp_path / "keys"
    roster = replace(network(AWO, VHS), version=2, expires=datetime.now(UTC) + timedelta(days=1))
    await hub_server.put_roster(2, *signed(roster))
    async with members(tmp_path, redis_url, hub=front.url, hub_ca=str(front.ca), identities=keys) as node:
        awo = NodeOfTest(AWO, node.streams, node.database, SteadyClock(), lambda _: node.kept.get("link"))  # type: ignore[arg-type,return-value] # its streams are all that is used
        await awo.put(PUB, event(f"/{AWO}/members", "thing-1"))
        turn = asyncio.create_task(linking.turn(node))
        identity(AWO).save(keys / f"{AWO}.json")
        await _until(lambda: _is("link" in node.kept))
        assert "no roster" in (await health.report(node)).stopped["album:1:net:roster"]
        await node.kept["link"].store.keep_held(Held(roster.roots))
        await _until(lambda: _is(PUB in node.kept["link"].ups and node.kept["link"].ups[PUB].sent == 1))
        assert node.stopped() == {}
        assert len(await hub_server.as_user(VHS).read(PUB, Position(0, 0), 9)) == 1
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application(node)), base_url="http://n") as http:
            figures = (await http.get("/metrics")).text
        assert f'album_link_sent_total{{stream="{PUB}"}} 1.0' in figures
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)


async def _is(what: bool) -> bool:
    return what


async def test_a_hub_whose_certificate_nobody_vouches_for_gets_no_password(front: Front) -> None:
    """The connection ends before the login."""
    client = connect_hub(front.url, AWO, identity(AWO).password, None)
    with pytest.raises(HubAway):
        await RedisHub(client).heads([PUB])
    await client.aclose()


async def test_keys_that_others_may_read_are_not_used(tmp_path: Path) -> None:
    """The operator hears of it; the node goes on without its link."""
    identity(AWO).save(tmp_path / f"{AWO}.json")
    assert list(load_identities(tmp_path)) == [AWO]
    (tmp_path / f"{AWO}.json").chmod(0o644)
    with pytest.raises(PermissionError):
        load_identities(tmp_path)
