"""An events service on a fresh database, with a clock that tests turn and the requests of two institutions."""

from collections import Counter
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

from services.events.app import service
from services.events.domain.registration import Registration
from services.events.store import Store
from services.events.store.tables import registration
from shared.contract.catalogue import find
from shared.contract.envelope import Message, open_envelope, open_message
from shared.contract.events import RegistrationChanged
from shared.contract.words import SeatCause
from shared.kit import migrate
from shared.kit.clock import Clock, Ids
from shared.kit.database import Database
from shared.kit.http import application
from shared.kit.node import Node
from shared.kit.settings import Settings
from shared.kit.tables import api_key, institution, outbox
from shared.kit.work import Works
from shared.pages import Links, Purpose

START = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
OWNER, OTHER = "kargah", "amfn"
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
    everybody: httpx.AsyncClient
    _numbers: list[int] = field(default_factory=list)

    @property
    def node(self) -> Node[Store]:
        """Give what timers get."""
        return cast("Node[Store]", self.app.state.node)

    async def told(self, since: int = 0) -> list[Message]:
        """Give every message that was told behind the first `since` ones, in order."""
        async with self.works.database.reading() as connection:
            rows = await connection.execute(sa.select(outbox.c.payload).order_by(outbox.c.id))
            return [open_message(open_envelope(row.payload), find) for row in rows][since:]

    async def mark(self) -> int:
        """Give how many messages were told."""
        return len(await self.told())

    async def causes(self, since: int = 0) -> list[SeatCause]:
        """Give why people's places were told."""
        return [each.cause for each in await self.told(since) if isinstance(each, RegistrationChanged)]

    async def hear(self, since: int = 0) -> None:
        """Bring what was told to the service's own ears, as its reader does."""
        for message in await self.told(since):
            route = service.hears.routes.get(message.type)
            if route is not None:
                async with self.works() as work:
                    await route.do([message], work)

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

    async def patch(self, path: str, body: dict[str, Any], expect: int = 200) -> dict[str, Any]:
        """Change something of the owner's and give the answer."""
        answer = await self.api.patch(f"/institutions/{OWNER}/{path}", json=body)
        assert answer.status_code == expect, answer.text
        return cast("dict[str, Any]", answer.json())

    async def meeting(self, *, publish: bool = True, **plan: Any) -> str:
        """Plan and publish a meeting of 18 seats in March 2027; give its id."""
        body = {"title": "Gartentreff", "starts": "2027-03-01T17:00:00Z", "capacity": 18, **plan}
        meeting = await self.post("meetings", body, 201)
        if publish:
            await self.post(f"meetings/{meeting['meeting_id']}/publish")
        return cast("str", meeting["meeting_id"])

    async def ask(self, meeting_id: str, mail: str = "", expect: int = 202, **values: Any) -> httpx.Response:
        """Have somebody ask to attend, without a key, a moment after whoever asked before."""
        self.clock.turn(milliseconds=2)
        self._numbers.append(1)
        body = {"name": "Ada Beispiel", "mail": mail or f"p{len(self._numbers)}@example.org", "language": "tr"}
        answer = await self.everybody.post(f"/meetings/{meeting_id}/registrations", json=body | values)
        assert answer.status_code == expect, answer.text
        return answer

    async def newest(self) -> Registration:
        """Give the registration that was made last."""
        async with self.works.database.reading() as connection:
            query = sa.select(registration.c.id).order_by(registration.c.id.desc()).limit(1)
            id_ = (await connection.execute(query)).scalar_one()
            return await Store(connection).registration(id_)

    async def registration(self, id_: str) -> Registration:
        """Give a registration."""
        async with self.works.looking() as store:
            return await store.registration(id_)

    async def unconfirmed(self, meeting_id: str, mail: str = "") -> str:
        """Have somebody ask; give the registration's id."""
        await self.ask(meeting_id, mail)
        return (await self.newest()).id

    async def come(self, meeting_id: str, mail: str = "") -> str:
        """Have somebody ask and confirm; give the registration's id."""
        id_ = await self.unconfirmed(meeting_id, mail)
        await self.press("confirm", id_)
        return id_

    def link(self, purpose: Purpose, subject: str, language: str = "de", **time: float) -> str:
        """Give the path of a link, good for 30 days."""
        until = self.clock.now() + timedelta(**(time or {"days": 30}))
        return Links(SECRET, "http://events").url(purpose, subject, language, until).removeprefix("http://events")

    async def press(self, purpose: Purpose, subject: str) -> httpx.Response:
        """Press the button behind a link."""
        return await self.everybody.post(self.link(purpose, subject))

    async def states(self, meeting_id: str) -> Counter[str]:
        """Count a meeting's registrations by state."""
        page = await self.get(f"meetings/{meeting_id}/registrations?limit=200")
        return Counter(each["state"] for each in page["items"])


async def prepare(database: Database) -> None:
    """Make the schema, two active institutions and a key of each: its own slug."""
    await migrate.upgrade(service, database)
    slugs = (OWNER, OTHER)
    keys = [
        {"key_id": f"key_{slug}00000000", "institution": slug, "sha256": sha256(slug.encode()).hexdigest()}
        for slug in slugs
    ]
    async with database.transaction() as connection:
        known = [{"slug": slug, "name": f"Haus {slug}", "state": "active", "version": 1} for slug in slugs]
        await connection.execute(sa.insert(institution), known)
        common = {"scopes": ["read", "write"], "revoked": False, "version": 1}
        await connection.execute(sa.insert(api_key), [key | common for key in keys])


@asynccontextmanager
async def open_house(url: str, store: type[Store] = Store) -> AsyncIterator[House]:
    """Open a service on a database; `store` may be one that lacks something, for a control."""
    database = Database(url)
    try:
        await prepare(database)
        clock = HandClock()
        settings = Settings(secret=SECRET)
        works: Works[Store] = Works(database, store, clock, Ids(Random(7), clock), settings)
        node = SimpleNamespace(works=works, database=database, settings=settings, service=service)
        app = application(cast("Node[Any]", node))
        headers = {"Authorization": f"Bearer {OWNER}"}
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://events", headers=headers) as api,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://events") as everybody,
        ):
            yield House(works, clock, app, api, everybody)
    finally:
        await database.close()
