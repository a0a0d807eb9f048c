"""A release is changed without a stop: two releases on one database, requests all the time, and nothing is lost."""

import asyncio
import itertools
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from deploy.chaos.sends.asking import at
from deploy.chaos.sends.place import SERVICES as BUILT
from deploy.demo.platform import SERVICES, Embedded
from shared.embedded.which import AnyPostgres
from shared.kit import migrate
from shared.kit import tables as kit
from shared.kit.database import Database
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.streams import START
from tests.journeys.release_house import NEW, Release, next_release, this_release

HOUSE = "vhs-nord"
PATIENCE = 120.0
PAUSE = 0.2
WRITERS = 2
_RUNS = sa.text("SELECT run_id, recommended FROM network_run")
_TOLD = sa.text("SELECT count(*) FROM outbox WHERE type = :type AND seq IS NOT NULL").bindparams(type=NEW)
_WAITING = sa.text("SELECT state FROM parked WHERE type = :type").bindparams(type=NEW)
_PARKED = sa.text("SELECT stream, seq, code, state FROM parked")
_CURSOR = sa.text("SELECT stream, seq, attempts, careful_seq FROM cursor")
_STREAM = f"album:1:pub:{{{HOUSE}}}:courses"


@dataclass
class Callers:
    """Software that asks all the time, at the copies in turn; only a copy that takes no connection is passed over."""

    http: httpx.AsyncClient
    copies: dict[str, list[str]]
    published: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    open: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    ending: bool = False
    turn: Iterator[int] = field(default_factory=itertools.count)

    async def call(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """Send a request to one of the copies; notes whatever is no success."""
        headers = {"Authorization": f"Bearer {HOUSE}", "Connection": "close"}
        for _ in range(20):
            url = self.copies[service][next(self.turn) % len(self.copies[service])]
            self.open[url] += 1
            try:
                answer = await self.http.request(method, url + path, json=body, headers=headers)
            except httpx.ConnectError:
                await asyncio.sleep(0.02)  # it is just starting, and nothing was said to it
                continue
            except httpx.HTTPError as error:
                self.failed.append(f"{method} {url}{path}: {error!r}, and the copies are {self.copies[service]}")
                raise
            finally:
                self.open[url] -= 1
            self.answered += 1
            if not answer.is_success:
                self.failed.append(f"{method} {service}{path}: {answer.status_code} {answer.text}")
            return answer.json()
        self.failed.append(f"{method} {service}{path}: nobody takes a connection")
        return {}

    async def leave(self, service: str, url: str) -> None:
        """Send nothing more to a copy, as a proxy does before one is stopped, and wait for what it still answers."""
        self.copies[service].remove(url)
        while self.open[url]:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.01)

    async def work(self, number: int) -> None:
        """Publish run after run, and look at what the other services show."""
        own = f"/institutions/{HOUSE}"
        offer = await self.call("courses", "POST", f"{own}/offers", {"title": "Deutsch", "kind": "deufoev_basis"})
        for each in itertools.takewhile(lambda _: not self.ending, itertools.count()):
            sessions = [{"starts": at(30), "ends": at(30, 11)}]
            body = {"offer_id": offer["offer_id"], "number": f"{number}-{each}", "capacity": 9, "sessions": sessions}
            run = await self.call("courses", "POST", f"{own}/runs", body)
            await self.call("courses", "POST", f"{own}/runs/{run['run_id']}/publish")
            self.published.append(run["run_id"])
            plan = {"title": "Gartentreff", "starts": at(30, 17), "capacity": 9}
            await self.call("events", "POST", f"{own}/meetings", plan)
            await self.call("members", "GET", "/institutions")
            await self.call("notifications", "GET", f"{own}/webhooks")
            await asyncio.sleep(PAUSE)  # the copies that start want to work, too

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Have several work as long as the block lasts; what they are at is finished."""
        tasks = [asyncio.create_task(self.work(number)) for number in range(WRITERS)]
        try:
            yield
        finally:
            self.ending = True
            await asyncio.gather(*tasks, return_exceptions=True)  # what failed is noted, with its words


@pytest.fixture
def platform(postgres_server: AnyPostgres, tmp_path: Path) -> Iterator[Embedded]:
    """Give servers and four migrated databases in which an institution has a key; no service runs."""
    prefix = f"releases_{secrets.token_hex(4)}"
    urls = {service: postgres_server.create_database(f"{prefix}_{service}") for service in SERVICES}
    place = Embedded(tmp_path / "place", urls["members"].replace(f"{prefix}_members", f"{prefix}_{{service}}"))
    place.start_servers()
    asyncio.run(_founded(urls))
    yield place
    place.stop()
    for log in sorted(place.folder.glob("*.log")):
        print(f"--- {log.name}", *log.read_text("utf-8", "replace").splitlines()[-20:], sep="\n")  # noqa: T201 - shown when it fails
    for service in SERVICES:
        postgres_server.drop_database(f"{prefix}_{service}")


async def _founded(urls: dict[str, str]) -> None:
    key = {"key_id": "key_vhsnord", "institution": HOUSE, "sha256": sha256(HOUSE.encode()).hexdigest()}
    for service, url in urls.items():
        database = Database(url)
        await migrate.upgrade(BUILT[service], database)
        async with database.transaction() as connection:
            known = {"slug": HOUSE, "name": "VHS Nord", "state": "active", "version": 1}
            await connection.execute(sa.insert(kit.institution), known)
            row = key | {"scopes": ["read", "write"], "revoked": False, "version": 1}
            await connection.execute(sa.insert(kit.api_key), row)
        await database.close()


async def _until(what: str, look: Callable[[], Awaitable[bool]], shown: Callable[[], str] = str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if await look():
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what} {shown()}") from None


async def _up(http: httpx.AsyncClient, release: Release, services: tuple[str, ...] = SERVICES) -> None:
    async def answers(service: str) -> bool:
        try:
            return (await http.get(f"{release.url(service)}/health/ready")).is_success
        except httpx.ConnectError:
            return False

    for service in services:
        await _until(f"{service} of {release.folder.name} answers", lambda service=service: answers(service))  # type: ignore[misc] # bound at once


@pytest.mark.timeout(900)  # eight processes on a machine that is shared; what is waited for says so by itself before
async def test_a_release_is_changed_while_everybody_works(platform: Embedded, tmp_path: Path) -> None:
    """No request fails, and what the old copies do not know waits until the new ones use it: once, all of it."""
    old, new = this_release(tmp_path / "old"), next_release(tmp_path / "new")
    url = platform.database.replace("{service}", "courses")
    database, redis = Database(url), connect(platform.redis.url)
    for service in SERVICES:
        old.start(platform, service)
    async with httpx.AsyncClient(timeout=30) as http:
        await _up(http, old)
        callers = Callers(http, {service: [old.url(service)] for service in SERVICES})
        async with callers.working():
            assert "recommended" in await asyncio.to_thread(new.migrate, platform, url)
            for service in SERVICES:
                new.start(platform, service)
            await _up(http, new)
            for service in SERVICES:
                callers.copies[service].append(new.url(service))
            await _until("an old copy meets what it does not know", lambda: _met(database))
            for service in SERVICES:
                await callers.leave(service, old.url(service))
                await asyncio.to_thread(old.stop, platform, service)
            count = len(callers.published)
            await _until("the new copies work on alone", lambda: _more(callers, count))
        assert callers.failed == []
        await _settled(database, callers)
    await _nothing_is_lost_or_doubled(database, RedisStreams(redis), callers)
    await redis.aclose()
    await database.close()


async def _met(database: Database) -> bool:
    async with database.reading() as connection:
        return bool((await connection.execute(_WAITING)).first())


async def _more(callers: Callers, count: int) -> bool:
    # Whose request failed works no more: waiting on would hide why.
    return bool(callers.failed) or len(callers.published) >= count + 5


async def _settled(database: Database, callers: Callers) -> None:
    """Wait until the new copies have used what waited, and have seen each run that was published."""

    shown = ""

    async def look() -> bool:
        nonlocal shown
        async with database.reading() as connection:
            states = Counter((await connection.execute(_WAITING)).scalars())
            seen = {row.run_id: row.recommended for row in await connection.execute(_RUNS)}
            told = (await connection.execute(_TOLD)).scalar_one()
            there = [tuple(row) for all_ in (_PARKED, _CURSOR) for row in await connection.execute(all_)]
        unseen = set(callers.published) - seen.keys()
        shown = f"(waiting {dict(states)}, unseen {len(unseen)}, recommended {sum(seen.values())} of {told}, {there})"
        return states.keys() == {"used"} and not unseen and sum(seen.values()) == told

    await _until("all is used", look, lambda: shown)


async def _nothing_is_lost_or_doubled(database: Database, streams: RedisStreams, callers: Callers) -> None:
    async with database.reading() as connection:
        seen = {row.run_id: row.recommended for row in await connection.execute(_RUNS)}
        log = (await connection.execute(sa.select(kit.outbox.c.seq).where(kit.outbox.c.stream == _STREAM))).scalars()
        told = sorted(log)
    assert set(seen.values()) == {0, 1}, "the old release recommends nothing, the new one each run once"
    assert told == [*range(1, len(told) + 1)]
    there = await streams.read(_STREAM, START, len(told) + 1)
    assert [entry.position.seq for entry in there] == told
    types = [json.loads(entry.payload)["type"] for entry in there]
    assert types.count("courses.run.published.v1") >= len(callers.published)
