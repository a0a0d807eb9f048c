"""`/changes`, `/changes/live` and ETags over a real socket: what a partner's software sees."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI, sse
from pydantic import SecretStr

from shared.contract.envelope import Message
from shared.embedded.redis import RedisServer
from shared.kit import migrate
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.hears import Hears
from shared.kit.http import application
from shared.kit.live import Live
from shared.kit.node import Node, build
from shared.kit.reading import reading_of, stop_listeners
from shared.kit.settings import Settings
from shared.kit.streams import START
from shared.kit.tables import institution as known
from shared.kit.work import Works
from tests.integration.kit.sample import PUB, SERVICE, SampleStore, institution

SECRET = "a secret of this test, long enough"
Event = dict[str, str]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has become so; nobody wakes a test."""
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.02)


@dataclass
class Served:
    """A service named members that answers on a socket; its relay moves only when it is told to."""

    node: Node[Any]
    app: FastAPI
    server: uvicorn.Server
    http: httpx.AsyncClient

    async def tell(self, *messages: Message) -> None:
        """Commit messages and publish them."""
        async with self.node.works() as work:
            work.tell(*messages)
        await self.publish()

    async def publish(self) -> None:
        """Bring what was committed into Redis."""
        assert await self.node.lease.hold()
        while await self.node.relay.step():
            pass

    async def changes(self, **query: Any) -> dict[str, Any]:
        """Ask for changes."""
        answer = await self.http.get("/changes", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return] # the test knows what it asks for


@pytest.fixture
async def served(sqlite_url: str, redis_url: str, unused_port: int) -> AsyncIterator[Served]:
    """Serve a members service for two listeners."""
    service = replace(SERVICE, name="members", hears=Hears())
    settings = Settings(
        database=sqlite_url, redis=redis_url, secret=SecretStr(SECRET), ports={"members": unused_port}, listeners=2
    )
    node = build(service, settings)
    await migrate.upgrade(service, node.database)
    async with node.database.transaction() as connection:
        await connection.execute(sa.insert(known).values(slug="office", name="Office", state="active", version=1))
    app = application(node)
    server = uvicorn.Server(uvicorn.Config(app, port=unused_port, log_config=None, timeout_graceful_shutdown=5))
    serving = asyncio.create_task(server.serve())
    await until(lambda: _so(server.started))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}", timeout=20) as http:
        yield Served(node, app, server, http)
        stop_listeners(app)
        server.should_exit = True
        await serving
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()


@pytest.fixture
def unused_port() -> int:
    """Give a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def events(answer: httpx.Response) -> AsyncIterator[Event]:
    """Read Server-Sent Events as a browser does, comments too."""
    event: Event = {}
    async for line in answer.aiter_lines():
        if not line:
            yield event
            event = {}
            continue
        name, _, value = line.partition(":")
        event[name or "comment"] = event.get(name, "") + value.removeprefix(" ")


async def changes_of(stream: AsyncIterator[Event], count: int) -> list[Event]:
    """Read so many events that hold a change."""
    found: list[Event] = []
    async for event in stream:
        if "data" in event:
            found.append(event)
            if len(found) == count:
                return found
    return found


async def test_changes_give_the_messages_as_they_travelled_and_where_to_go_on(served: Served) -> None:
    """The bytes of a message stand in the answer; `next` is there on an empty page, too."""
    empty = await served.changes()
    assert (empty["items"], empty["more"]) == ([], False)
    await served.tell(institution("awo", 1, name="Müßig 1.0"), institution("amfn", 1))
    answer = await served.http.get("/changes", params={"since": empty["next"], "limit": 1})
    page = answer.json()
    [entry] = await served.node.streams.read(PUB, START, 1)
    assert entry.payload in answer.content
    assert page["items"] == [{"institution": "office", "position": "1-1", "message": json.loads(entry.payload)}]
    assert page["more"] is True
    rest = await served.changes(since=page["next"])
    assert ([each["position"] for each in rest["items"]], rest["more"]) == (["1-2"], False)
    again = await served.changes(since=rest["next"])
    assert (again["items"], again["next"]) == ([], rest["next"])


async def test_from_now_on_only_what_comes_is_given(served: Served) -> None:
    """A page loads its list and goes on from a cursor that was taken before."""
    await served.tell(institution("awo", 1))
    now = await served.changes(since="now")
    assert now["items"] == []
    await served.tell(institution("awo", 2))
    assert [each["position"] for each in (await served.changes(since=now["next"]))["items"]] == ["1-2"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"since": "0"}, "cursor_unreadable"),
        ({"type": "members.instituton.changed.v1"}, "unknown_type"),
        ({"type": "members.key.issued.v1"}, "unknown_type"),
        ({"limit": "0"}, "invalid"),
        ({"institution": "Not A Slug"}, "invalid"),
    ],
)
@pytest.mark.parametrize("path", ["/changes", "/changes/live"])
async def test_what_cannot_be_read_is_told_before_anything_begins(
    served: Served, path: str, query: dict[str, str], code: str
) -> None:
    """A problem with a stable code, for the stream too; messages of an institution's own are no public types."""
    if path == "/changes/live" and "limit" in query:
        query, code = {"since": "x" * 20_000}, "invalid"
    answer = await served.http.get(path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_answer_that_is_known_already_comes_as_304(served: Served) -> None:
    """The same state has the same ETag; one more change and it is another."""
    await served.tell(institution("awo", 1))
    first = await served.http.get("/changes")
    assert first.headers["cache-control"] == "no-cache"
    for known_tags in (first.headers["etag"], f'"a,b", W/{first.headers["etag"]}', "*"):
        same = await served.http.get("/changes", headers={"If-None-Match": known_tags})
        assert (same.status_code, same.content) == (304, b"")
        assert (same.headers["etag"], same.headers["cache-control"]) == (first.headers["etag"], "no-cache")
        assert "content-length" not in same.headers
    await served.tell(institution("amfn", 1))
    other = await served.http.get("/changes", headers={"If-None-Match": first.headers["etag"]})
    assert (other.status_code, other.headers["etag"] == first.headers["etag"]) == (200, False)


async def test_what_must_not_be_kept_has_no_tag(served: Served) -> None:
    """Health is about this moment; metrics, problems and streams are no representations to come back to."""
    for path in ("/health/live", "/metrics", "/nothing", "/changes?since=0"):
        assert "etag" not in (await served.http.get(path)).headers


async def test_a_listener_hears_what_comes_and_goes_on_where_it_was(served: Served) -> None:
    """The id of an event is a cursor: of the next stream, and of /changes."""
    await served.tell(institution("awo", 1))
    async with served.http.stream("GET", "/changes/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["cache-control"], "etag" in answer.headers) == ("no-cache", False)
        stream = events(answer)
        assert (await anext(stream))["retry"] == "3000"
        [first] = await changes_of(stream, 1)
        await served.tell(institution("awo", 2), institution("amfn", 1))
        second, third = await changes_of(stream, 2)
    assert [json.loads(each["data"])["position"] for each in (first, second, third)] == ["1-1", "1-2", "1-3"]
    headers = {"Last-Event-ID": second["id"]}
    async with served.http.stream("GET", "/changes/live?since=now", headers=headers) as answer:
        [again] = await changes_of(events(answer), 1)
    assert again == third
    page = await served.changes(since=first["id"])
    assert page["items"] == [json.loads(each["data"]) for each in (second, third)]
    assert page["next"] == third["id"]


async def test_a_silent_stream_is_kept_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment comes each 15 seconds, so that no proxy takes the connection for dead."""
    assert sse._PING_INTERVAL == 15.0
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    async with served.http.stream("GET", "/changes/live") as answer:
        stream = events(answer)
        await anext(stream)
        assert await anext(stream) == {"comment": "ping"}


async def test_more_listeners_than_there_are_seats_are_sent_away(served: Served) -> None:
    """With the time to come back; and a seat is free again once a listener has gone."""
    async with served.http.stream("GET", "/changes/live"), served.http.stream("GET", "/changes/live"):
        refused = await served.http.get("/changes/live")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_listeners")
        assert int(refused.headers["retry-after"]) > 0
    live = _live(served)
    await until(lambda: _so(not live.listeners))
    async with served.http.stream("GET", "/changes/live") as answer:
        assert answer.status_code == 200
    assert live._looking is None or live.listeners


async def _so(true: bool) -> bool:
    return true


def _live(served: Served) -> Live:
    request = type("Request", (), {"app": served.app})
    return reading_of(request).live  # type: ignore[arg-type] # only the application is looked at


async def test_a_listener_that_does_not_read_holds_little(served: Served) -> None:
    """Thousands of large messages wait in Redis and not in this process; others are not held up."""
    pages = 0
    live = _live(served)
    plain = live.feed.page

    async def counted(*arguments: Any) -> Any:
        nonlocal pages
        pages += 1
        return await plain(*arguments)

    live.feed.page = counted  # type: ignore[assignment, method-assign] # counts what is read
    port = served.node.settings.port_of("members")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /changes/live HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()
    about = "x" * 3900
    for start in range(0, 4000, 500):
        await served.tell(*(_large(n, about) for n in range(start, start + 500)))
    before = -1
    while pages != before:
        before = pages
        await asyncio.sleep(0.5)
    assert pages * 50 < 3000
    assert len((await served.changes(limit=500))["items"]) == 500
    writer.close()


def _large(number: int, about: str) -> Message:
    plain = institution(f"i{number}-x")
    return plain.model_copy(update={"picture": plain.picture.model_copy(update={"about": about})})


async def test_a_service_that_stops_lets_its_listeners_go(
    tmp_path: Path, own_redis: RedisServer, unused_port: int
) -> None:
    """A real process: its listener hears on after Redis was killed, and SIGTERM ends the stream, then the process."""
    url = f"sqlite+aiosqlite:///{tmp_path}/members.db"
    env = {"ALBUM_DATABASE": url, "ALBUM_REDIS": own_redis.url, "ALBUM_SECRET": SECRET, "ALBUM_PORT": str(unused_port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.members", env=os.environ | env, stdout=asyncio.subprocess.DEVNULL
    )
    database, base = Database(url), f"http://127.0.0.1:{unused_port}"
    works: Works[SampleStore] = Works(database, SampleStore, SystemClock(), Ids(Random(1), SystemClock()), Settings())
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(timeout=None) as http:
            await until(lambda: _answers(http, f"{base}/health/live"))
            async with http.stream("GET", f"{base}/changes/live") as answer:
                stream = events(answer)
                found = await changes_of(stream, 1)
                own_redis.kill()
                async with works() as work:
                    work.tell(institution("awo", 1))
                own_redis.start()
                found += await changes_of(stream, 1)
                process.send_signal(signal.SIGTERM)
                rest = await changes_of(stream, 1)
            assert ["office" in found[0]["data"], "awo" in found[1]["data"], rest] == [True, True, []]
            assert await process.wait() in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await database.close()


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False
