"""A courses service on a fresh database, with a clock that tests turn and the requests of three institutions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from services.courses.app import service
from services.courses.store import Store
from shared.contract.catalogue import find
from shared.contract.envelope import Message, open_envelope, open_message
from shared.kit import migrate
from shared.kit.clock import Clock, Ids
from shared.kit.database import Database
from shared.kit.http import application
from shared.kit.node import Node
from shared.kit.settings import Settings
from shared.kit.tables import api_key, institution, outbox
from shared.kit.work import Works

START = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
OWNER, OTHER = "vhs-nord", "kargah"
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

    def turn(self, **time: float) -> None:
        """Let time pass."""
        self.at += timedelta(**time)


@dataclass
class House:
    """The service and what a test needs around it."""

    works: Works[Store]
    clock: HandClock
    app: FastAPI
    api: httpx.AsyncClient
    _numbers: list[int] = field(default_factory=list)

    @property
    def node(self) -> Node[Store]:
        """Give what timers get."""
        return cast("Node[Store]", self.app.state.node)

    async def told(self) -> list[Message]:
        """Give every message that was told, in order."""
        async with self.works.database.reading() as connection:
            rows = await connection.execute(sa.select(outbox.c.payload).order_by(outbox.c.id))
            return [open_message(open_envelope(row.payload), find) for row in rows]

    async def told_since(self, mark: int) -> list[Message]:
        """Give the messages behind the first `mark` ones."""
        return (await self.told())[mark:]

    async def mark(self) -> int:
        """Give how many messages were told."""
        return len(await self.told())

    async def post(self, path: str, body: dict[str, Any] | None = None, expect: int = 200) -> dict[str, Any]:
        """Send a command of the owner and give the answer."""
        answer = await self.api.post(f"/institutions/{OWNER}/{path}", json=body)
        assert answer.status_code == expect, answer.text
        return cast("dict[str, Any]", answer.json())

    async def get(self, path: str) -> dict[str, Any]:
        """Ask something of the owner's and give the answer."""
        answer = await self.api.get(f"/institutions/{OWNER}/{path}")
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    async def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change something of the owner's and give the answer."""
        answer = await self.api.patch(f"/institutions/{OWNER}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    async def run(self, *, publish: bool = True, **plan: Any) -> str:
        """Plan and publish a run of 18 seats in March 2027; give its id."""
        offer = await self.post("offers", {"title": "Berufssprachkurs B2", "kind": "deufoev_basis"}, 201)
        self._numbers.append(1)
        number = f"27-{len(self._numbers):04}"
        session = {"starts": "2027-03-01T08:00:00Z", "ends": "2027-03-01T11:45:00Z"}
        body = {"offer_id": offer["offer_id"], "number": number, "capacity": 18, "sessions": [session], **plan}
        run = await self.post("runs", body, 201)
        if publish:
            await self.post(f"runs/{run['run_id']}/publish")
        return cast("str", run["run_id"])

    async def person(self, *, obliged: bool | None = None, **values: Any) -> str:
        """Begin a participant file, with an entitlement where `obliged` is given; give its id."""
        body = {"language": "tr", "name": "Ada Beispiel", **values}
        found = await self.post("participants", body, 201)
        participant = cast("str", found["participant_id"])
        if obliged is not None:
            entitlement = {"issuing_office": "Jobcenter", "obliged": obliged, "valid_until": "2027-12-31"}
            await self.post(f"participants/{participant}/entitlements", entitlement, 201)
        return participant

    async def ask(self, run_id: str, participant_id: str | None = None, expect: int = 201) -> dict[str, Any]:
        """Have somebody ask for a seat, a moment after whoever asked before."""
        self.clock.turn(milliseconds=1)
        participant_id = participant_id or await self.person()
        return await self.post(f"runs/{run_id}/enrolments", {"participant_id": participant_id}, expect)

    async def enrolment(self, enrolment_id: str) -> dict[str, Any]:
        """Give an enrolment."""
        return await self.get(f"enrolments/{enrolment_id}")


async def prepare(database: Database) -> None:
    """Make the schema, two active institutions and a key of each: its own slug."""
    await migrate.upgrade(service, database)
    slugs = (OWNER, OTHER)
    async with database.transaction() as connection:
        await connection.execute(
            sa.insert(institution),
            [{"slug": slug, "name": f"Haus {slug}", "state": "active", "version": 1} for slug in slugs],
        )
        await connection.execute(
            sa.insert(api_key),
            [
                {
                    "key_id": f"key_{slug.replace('-', '')}000000",
                    "institution": slug,
                    "sha256": sha256(slug.encode()).hexdigest(),
                    "scopes": ["read", "write"],
                    "revoked": False,
                    "version": 1,
                }
                for slug in slugs
            ],
        )


@asynccontextmanager
async def open_house(url: str, store: type[Store] = Store) -> AsyncIterator[House]:
    """Open a service on a database; `store` may be one that lacks something, for a control."""
    database = Database(url)
    try:
        await prepare(database)
        clock = HandClock()
        settings = Settings(secret=SECRET)
        works: Works[Store] = Works(database, store, clock, Ids(Random(7), clock), settings)
        node = SimpleNamespace(works=works, database=database, settings=settings, service=service, kept={})
        app = application(cast("Node[Any]", node))
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {OWNER}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://courses", headers=headers) as api:
            yield House(works, clock, app, api)
    finally:
        await database.close()


def admit(url: str, slug: str) -> None:
    """Have the service know an institution, as it does once members has told of it."""

    async def keep() -> None:
        database = Database(url)
        async with database.transaction() as connection:
            await connection.execute(sa.insert(institution).values(slug=slug, name=slug, state="active", version=1))
        await database.close()

    asyncio.run(keep())
