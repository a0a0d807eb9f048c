"""A whole network for a journey: four real processes, a real Redis, a mail catcher, on each database."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from deploy.demo.platform import SERVICES, Embedded
from deploy.demo.story import Story
from shared.embedded import which


@pytest.fixture(params=["sqlite", "postgresql"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Embedded]:
    """Give a running network on one kind of database; what it logged is shown when the journey fails."""
    database, names, server = "", [], None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        prefix = f"journey_{secrets.token_hex(4)}"
        names = [f"{prefix}_{service}" for service in SERVICES]
        urls = [server.create_database(name) for name in names]
        database = urls[0].replace(names[0], f"{prefix}_{{service}}")
    network = Embedded(tmp_path / "network", database)
    network.start()
    yield network
    network.stop()
    _show_logs(network)
    for name in names:
        assert isinstance(server, which.AnyPostgres)
        server.drop_database(name)


@pytest.fixture
async def story(platform: Embedded) -> AsyncIterator[Story]:
    """Give a network with the office and three institutions in it."""
    async with httpx.AsyncClient(timeout=30) as http:
        found = Story(platform, http, print)
        await found.ready()
        await found.found_network()
        yield found


def _show_logs(network: Embedded) -> None:
    for log in sorted(network.folder.glob("*.log")):
        lines = log.read_text("utf-8", "replace").splitlines()
        print(f"--- {log.name}", *lines[-25:], sep="\n")  # noqa: T201 - pytest shows it when a journey fails
