"""A real hub with the generated access rules, for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.embedded.redis import RedisServer
from tests.integration.network.hub_server import TESTER, HubServer, rules


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
