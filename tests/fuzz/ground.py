"""A running service in this process: an SQLite file with real things in it, a real Redis, and a key that opens it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr

from shared.kit import migrate, tables
from shared.kit.command import services
from shared.kit.http import application
from shared.kit.node import Node, Service, build
from shared.kit.settings import Settings
from tests.fuzz.seeds import HOUSE, SEEDS, Seeding

KEY = "album_key_of_the_house"
OTHER, OTHER_KEY = "amfn", "album_key_of_another_house"


@dataclass(frozen=True)
class Ground:
    """A service to be tried; `known` holds real ids by the name of the parameter that takes them.

    `identities` is a file that says as whom to ask (https://github.com/WebFuzzing/Commons).
    """

    app: FastAPI
    known: dict[str, list[str]]
    identities: Path


def prepare(name: str, redis_url: str, folder: Path) -> Ground:
    """Give a service that starts with its first request."""
    service = services()[name]
    settings = _settings(service, redis_url, folder)
    known = asyncio.run(_seed(service, settings))
    node = build(service, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with node.running():
            yield

    return Ground(application(node, lifespan=lifespan), known, _identities(folder))


def _identities(folder: Path) -> Path:
    keys = {HOUSE: KEY, OTHER: OTHER_KEY}
    told = [
        {"name": slug, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
        for slug, key in keys.items()
    ]
    path = folder / "identities.json"
    path.write_text(json.dumps({"auth": told}), "utf-8")
    return path


def _settings(service: Service, redis_url: str, folder: Path) -> Settings:
    return service.settings(
        database=f"sqlite+aiosqlite:///{folder}/{service.name}.db",
        redis=redis_url,
        secret=SecretStr("a secret of more than sixteen characters"),
        office=HOUSE,  # one key opens every route of members, too
        rate=1e9,
        burst=1_000_000_000,
    )


async def _seed(service: Service, settings: Settings) -> dict[str, list[str]]:
    node = build(service, settings)
    try:
        await migrate.upgrade(service, node.database)
        await _open_doors(node)
        headers = {"Authorization": f"Bearer {KEY}"}
        transport = httpx.ASGITransport(application(node))
        async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as api:
            seeding = Seeding(node, api)
            await SEEDS[service.name](seeding)
        return {"institution": [HOUSE], **{name: sorted(ids) for name, ids in seeding.known.items()}}
    finally:
        await node.http.aclose()
        await node.redis.aclose()
        await node.database.close()


async def _open_doors(node: Node[Any]) -> None:
    """Have the service know two institutions with a key each; an empty database knows nobody."""
    async with node.database.transaction() as connection:
        for slug, key in ((HOUSE, KEY), (OTHER, OTHER_KEY)):
            row = {"slug": slug, "name": slug.upper(), "state": "active", "version": 1}
            await connection.execute(sa.insert(tables.institution).values(row))
            opens = {"key_id": f"key_{slug}00000000", "institution": slug, "scopes": ["read", "write", "office"]}
            hidden = {"sha256": sha256(key.encode()).hexdigest(), "revoked": False, "version": 1}
            await connection.execute(sa.insert(tables.api_key).values(opens | hidden))
