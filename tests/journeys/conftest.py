"""A whole network for journeys: four real processes, a real Redis, a mail catcher, on each database in turn."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from deploy.demo.hands import Institution
from deploy.demo.platform import SERVICES, Embedded
from deploy.demo.story import Story


@dataclass
class Network:
    """A running network with the office and three institutions in it, and their keys."""

    platform: Embedded
    keys: dict[str, str]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Give a running network on one kind of database; what it logged is shown when a journey fails."""
    folder = tmp_path_factory.mktemp("network") / request.param
    if request.param == "sqlite":
        yield from _running(Embedded(folder))
        return
    server = request.getfixturevalue("postgres_server")
    prefix = f"journey_{secrets.token_hex(4)}"
    names = [f"{prefix}_{service}" for service in SERVICES]
    urls = [server.create_database(name) for name in names]
    url = urls[0].replace(names[0], f"{prefix}_{{service}}")
    yield from _running(Embedded(folder, url))
    for name in names:
        server.drop_database(name)


@pytest.fixture
def platform(network: Network) -> Embedded:
    """Give the place the network runs on, to take parts of it away."""
    return network.platform


@pytest.fixture
async def story(network: Network) -> AsyncIterator[Story]:
    """Give the hands that act in the network; whatever an earlier journey ended runs again."""
    async with httpx.AsyncClient(timeout=30) as http:
        known = {slug: Institution(slug, key, network.platform, http) for slug, key in network.keys.items()}
        found = Story(network.platform, http, print, known)
        await found.ready()
        yield found


def _running(platform: Embedded) -> Iterator[Network]:
    platform.start()
    try:
        yield Network(platform, asyncio.run(_founded(platform)))
    finally:
        platform.stop()
        for log in sorted(platform.folder.glob("*.log")):
            lines = log.read_text("utf-8", "replace").splitlines()
            print(f"--- {log.name}", *lines[-25:], sep="\n")  # noqa: T201 - pytest shows it when a journey fails


async def _founded(platform: Embedded) -> dict[str, str]:
    async with httpx.AsyncClient(timeout=30) as http:
        story = Story(platform, http, print)
        await story.ready()
        await story.found_network()
        return {slug: one.key for slug, one in story.known.items()}
