"""A real hub with the generated access rules, and a small network in memory, for the tests of this folder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from shared.embedded.redis import RedisServer
from tests.integration.network.hub_server import TESTER, HubServer, rules
from tests.integration.network.link_world import AWO, VHS, World, memory_world


@pytest.fixture(scope="session")
def hub_server_of_run(server_folder: Path) -> Iterator[HubServer]:
    """Give the one hub of this run, with users and access rules as the office writes them."""
    folder = server_folder / "hub"
    folder.mkdir()
    (folder / "users.acl").write_text(rules())
    with RedisServer(folder, settings=("--aclfile", str(folder / "users.acl"))) as server:
        yield HubServer(server)


@pytest.fixture
def hub_server(hub_server_of_run: HubServer) -> HubServer:
    """Give the hub, emptied."""
    with redis.Redis.from_url(hub_server_of_run.server.url, username=TESTER, password=TESTER) as client:
        client.flushall()
    return hub_server_of_run


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Give a hub with two nodes around it, all in memory but for the databases."""
    async with memory_world(tmp_path) as world:
        await world.node(AWO)
        await world.node(VHS)
        yield world
