"""A members service on a fresh database, with a clock that tests turn, an institution and the office."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from services.members.app import service
from services.members.store import Store
from shared.contract.catalogue import find
from shared.contract.envelope import Message, open_envelope, open_message
from shared.kit import directory, migrate
from shared.kit.clock import Clock, Ids
from shared.kit.database import Database
from shared.kit.http import application
from shared.kit.node import Node
from shared.kit.settings import Settings
from shared.kit.tables import api_key, institution, outbox
from shared.kit.work import Works

START = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
OFFICE, OWNER, OTHER = "office", "kargah", "amfn"
SECRET = "a secret of more than sixteen characters"


@dataclass
class HandClock(Clock):
    """A clock that stands still until it is turned."""

    at: datetime = START

    def now(self) -> datetime:
        """Give the moment."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Turn the clock instead of waiting."""
        self.at += timedelta(seconds=seconds)


@dataclass
class House:
    """The service and what a test needs around it."""

    works: Works[Store]
    clock: HandClock
    app: FastAPI
    api: httpx.AsyncClient
    office: httpx.AsyncClient
    everybody: httpx.AsyncClient

    @property
    def node(self) -> Node[Store]:
        """Give what the start gets."""
        return cast("Node[Store]", self.app.state.node)

    async def told(self) -> list[Message]:
        """Give every message that was told, in order."""
        async with self.works.database.reading() as connection:
            rows = await connection.execute(sa.select(outbox.c.payload).order_by(outbox.c.id))
            return [open_message(open_envelope(row.payload), find) for row in rows]

    async def hear(self) -> None:
        """Bring what was told to the service's own ears, as its reader does."""
        hears = service.hears.and_also(directory.hears)
        for message in await self.told():
            route = hears.routes.get(message.type)
            if route is not None:
                async with self.works() as work:
                    await (route.do([message], work) if route.whole else route.do(message, work))

    async def apply(self, slug: str = "vhs-nord", **profile: Any) -> dict[str, Any]:
        """Have an institution apply, and give the answer."""
        answer = await self.office.post("/institutions", json={"slug": slug, "name": f"Haus {slug}", **profile})
        assert answer.status_code == 201, answer.text
        return cast("dict[str, Any]", answer.json())


async def prepare(database: Database) -> None:
    """Make the schema, the office, two active institutions, and a key of each: its own slug."""
    await migrate.upgrade(service, database)
    slugs = (OFFICE, OWNER, OTHER)
    async with database.transaction() as connection:
        known = [{"slug": slug, "name": f"Haus {slug}", "state": "active", "version": 1} for slug in slugs]
        await connection.execute(sa.insert(institution), known)
        for slug in slugs:
            scopes = ["read", "write", *(["office"] if slug == OFFICE else [])]
            key = {"key_id": f"key_{slug}00000000", "institution": slug, "sha256": sha256(slug.encode()).hexdigest()}
            await connection.execute(sa.insert(api_key), [key | {"scopes": scopes, "revoked": False, "version": 1}])


@asynccontextmanager
async def open_house(url: str) -> AsyncIterator[House]:
    """Open a service on a database."""
    database = Database(url)
    try:
        await prepare(database)
        clock = HandClock()
        settings = Settings(secret=SECRET)
        works: Works[Store] = Works(database, Store, clock, Ids(Random(7), clock), settings)
        node = SimpleNamespace(works=works, database=database, settings=settings, service=service)
        app = application(cast("Node[Any]", node))

        def client(key: str | None) -> httpx.AsyncClient:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://members", headers=headers)

        async with client(OWNER) as api, client(OFFICE) as office, client(None) as everybody:
            yield House(works, clock, app, api, office, everybody)
    finally:
        await database.close()
