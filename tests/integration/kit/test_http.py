"""HTTP as every service speaks it: problem details, keys, health and the closed log."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Body, FastAPI, Path
from pydantic import SecretStr

from shared.contract.envelope import MessageRefused
from shared.kit import http, migrate, tables, work
from shared.kit.admission import BODY_LIMIT
from shared.kit.errors import Conflict, Transient
from shared.kit.hears import Hears
from shared.kit.http import OfficeKey, ReadKey, WriteKey, application
from shared.kit.node import Node, build, node_key
from shared.kit.numbering import number_waiting
from shared.kit.settings import Settings
from tests.integration.kit.sample import OWN, SERVICE, api_key, metadata

SECRET = "a secret of this test, long enough"
router = APIRouter()


@router.get("/institutions/{institution}/things")
async def things(institution: Annotated[str, Path()], key: ReadKey) -> dict[str, str]:
    """Read something."""
    return {"of": key.institution}


@router.post("/institutions/{institution}/things")
async def new_thing(institution: str, key: WriteKey, body: Annotated[dict[str, int], Body()]) -> dict[str, int]:
    """Write something."""
    return body


@router.post("/office/things")
async def office_thing(key: OfficeKey) -> dict[str, str]:
    """Do what only the office may."""
    return {"by": key.institution}


@router.get("/fails/{how}")
async def fails(how: str) -> None:
    """Fail in a given way."""
    raise {
        "conflict": Conflict("it is over", code="run_over"),
        "transient": Transient("Redis does not answer: ConnectionError"),
        "database": TimeoutError("no answer"),
        "fault": RuntimeError("amira@example.org"),
        "too_large": MessageRefused("too_large", "the message is too large"),
        "refused": MessageRefused("too_deep", "the message is too deep"),
    }[how]


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node[Any]]:
    """Give a service that is built but not running, with keys of an active, a suspended and an unknown institution."""
    service = replace(SERVICE, api=router, hears=Hears())
    settings = Settings(
        database=database_url, secret=SecretStr(SECRET), ports={"sample": 8199}, redis="redis://127.0.0.1:1"
    )
    node = build(service, settings)
    await migrate.upgrade(service, node.database)
    async with node.database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
        for slug, state in (("office", "active"), ("awo", "active"), ("amfn", "suspended")):
            await connection.execute(sa.insert(tables.institution).values(slug=slug, name=slug, state=state, version=1))
        for number, (name, slug, scopes, revoked) in enumerate(
            [
                ("awo", "awo", ["read", "write"], False),
                ("reads", "awo", ["read"], False),
                ("amfn", "amfn", ["read", "write"], False),
                ("new", "new", ["read", "write"], False),
                ("office", "office", ["read", "office"], False),
                ("poser", "awo", ["read", "office"], False),
                ("revoked", "awo", ["read", "write"], True),
            ]
        ):
            await connection.execute(
                sa.insert(tables.api_key).values(
                    key_id=f"key_{number:08d}", institution=slug, sha256=sha256(name.encode()).hexdigest(),
                    scopes=scopes, revoked=revoked, version=1,
                )
            )  # fmt: skip
    yield node
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()


@pytest.fixture
def app(node: Node[Any]) -> FastAPI:
    """Give the web application of the sample."""
    return application(node)


async def _ask(app: FastAPI, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sample") as client:
        return await client.request(method, path, headers=headers, **more)


async def test_a_command_waits_until_a_service_is_sure_that_it_lost_nothing(app: FastAPI, node: Node[Any]) -> None:
    """Looking is open; a command of the first moment after a start is done a moment later, and nobody sees it."""
    path = "/institutions/awo/things"
    node.works.sure.clear()
    command = asyncio.create_task(_ask(app, "POST", path, "awo", json={"a": 1}))
    assert (await _ask(app, "GET", path, "awo")).status_code == 200
    assert not command.done()
    node.works.sure.set()
    assert (await command).status_code == 200


async def test_a_command_that_would_wait_for_long_is_to_come_again(
    app: FastAPI, node: Node[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the hub is away it is refused, with words for whoever sent it."""
    monkeypatch.setattr(work, "MOMENT", 0.01)
    node.works.sure.clear()
    refused = await _ask(app, "POST", "/institutions/awo/things", "awo", json={"a": 1})
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "unavailable", "1")
    assert refused.json()["detail"].startswith("the service has just started and still compares what it knows")


async def test_a_service_that_is_not_sure_yet_is_not_ready(app: FastAPI, node: Node[Any]) -> None:
    """Whoever waits for it to be ready need not send a command twice."""
    said = "the service has just started and still compares what it knows with what it told"
    assert said not in (await _ask(app, "GET", "/health/ready")).json()["faults"]
    node.begun = False
    node.works.sure.clear()
    answer = await _ask(app, "GET", "/health/ready")
    assert (answer.status_code, said in answer.json()["faults"]) == (503, True)
    node.works.sure.set()
    assert "the service could not begin; the log says why" in (await _ask(app, "GET", "/health/ready")).json()["faults"]


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "code"),
    [
        ("GET", "/institutions/awo/things", None, 401, "key_missing_or_unknown"),
        ("GET", "/institutions/awo/things", "nobody's", 401, "key_missing_or_unknown"),
        ("GET", "/institutions/awo/things", "revoked", 401, "key_missing_or_unknown"),
        ("GET", "/institutions/amfn/things", "awo", 403, "other_institution"),
        ("POST", "/institutions/awo/things", "reads", 403, "scope_missing"),
        ("POST", "/institutions/amfn/things", "amfn", 403, "not_active"),
        ("POST", "/institutions/new/things", "new", 403, "not_active"),
        ("POST", "/office/things", "poser", 403, "forbidden"),
        ("POST", "/office/things", "awo", 403, "forbidden"),
        ("GET", "/nothing/here", None, 404, "not_found"),
        ("DELETE", "/health/live", None, 405, "method_not_allowed"),
        ("GET", "/fails/conflict", None, 409, "run_over"),
        ("GET", "/fails/too_large", None, 413, "too_large"),
        ("GET", "/fails/refused", None, 422, "too_deep"),
        ("GET", "/institutions/Not%20A%20Slug/key", "awo", 403, "other_institution"),
        ("GET", "/fails/fault", None, 500, "fault"),
        ("GET", "/fails/transient", None, 503, "unavailable"),
    ],
)
async def test_what_cannot_be_done_is_told_as_a_problem(
    app: FastAPI, method: str, path: str, key: str | None, status: int, code: str
) -> None:
    """RFC 9457: the content type, the status in the body too, a stable code and a sentence."""
    answer = await _ask(app, method, path, key)
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["title"]
    assert body["detail"]
    assert "amira" not in answer.text


async def test_a_missing_key_is_told_how_to_come_in(app: FastAPI) -> None:
    """RFC 9110: a 401 names the scheme, and a 405 what is allowed."""
    assert (await _ask(app, "GET", "/institutions/awo/things")).headers["www-authenticate"] == "Bearer"
    assert (await _ask(app, "DELETE", "/health/live")).headers["allow"] == "GET"


async def test_keys_open_what_is_theirs(app: FastAPI) -> None:
    """The control: the same routes answer to the right key."""
    assert (await _ask(app, "GET", "/institutions/awo/things", "reads")).json() == {"of": "awo"}
    assert (await _ask(app, "POST", "/institutions/awo/things", "awo", json={"a": 1})).json() == {"a": 1}
    assert (await _ask(app, "POST", "/office/things", "office")).json() == {"by": "office"}


async def test_what_does_not_fit_names_the_field(app: FastAPI) -> None:
    """The sentence says which field and why; broken JSON is refused, too."""
    answer = await _ask(app, "POST", "/institutions/awo/things", "awo", json={"a": "much"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["detail"].startswith("a: ")
    broken = await _ask(app, "POST", "/institutions/awo/things", "awo", content=b'{"a": ')
    assert (broken.status_code, broken.headers["content-type"]) == (422, "application/problem+json")


async def _pieces(size: int) -> AsyncIterator[bytes]:
    yield b'{"a": 1'
    for _ in range(size // 65536 + 1):
        yield b" " * 65536
    yield b"}"


async def test_a_body_in_pieces_is_refused_while_it_arrives(app: FastAPI) -> None:
    """No length is announced; what passes the limit is refused and not read to its end."""
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        async for piece in _pieces(40 * BODY_LIMIT):
            taken += len(piece)
            yield piece

    class Streaming(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert "content-length" not in request.headers
            return await super().handle_async_request(request)

    headers = {"Authorization": "Bearer awo", "Content-Type": "application/json"}
    async with httpx.AsyncClient(transport=Streaming(app), base_url="http://sample") as client:
        answer = await client.post("/institutions/awo/things", content=counted(), headers=headers)
        small = await client.post("/institutions/awo/things", content=_pieces(1000), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert taken < 2 * BODY_LIMIT
    assert small.json() == {"a": 1}


async def test_a_fault_is_answered_and_not_raised_again(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server below would log it as a crash of its own, with its values; an expected one is no fault at all."""
    logged: list[tuple[str, str]] = []

    class Log:
        def error(self, event: str, **values: Any) -> None:
            logged.append((event, values["path"]))

        def warning(self, event: str, **values: Any) -> None:
            logged.append((event, values["path"]))

    monkeypatch.setattr(http, "log", Log())
    for how in ("fault", "transient", "conflict"):
        await _ask(app, "GET", f"/fails/{how}")
    assert logged == [("request_fault", "/fails/{how}"), ("request_failed", "/fails/{how}")]


async def test_what_does_not_answer_is_named(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks learns whether it is Redis or the database, and the operator's log has the words as well."""
    reasons: list[str] = []

    class Log:
        def warning(self, _: str, **values: Any) -> None:
            reasons.append(values["reason"])

    monkeypatch.setattr(http, "log", Log())
    said = [(await _ask(app, "GET", f"/fails/{how}")).json()["detail"] for how in ("transient", "database")]
    assert said == [
        "Redis does not answer at the moment; please try again",
        "the database does not answer at the moment; please try again",
    ]
    assert reasons == ["Transient: Redis does not answer: ConnectionError", "TimeoutError: no answer"]


async def test_the_figures_show_for_how_long_redis_is_away(app: FastAPI, node: Node[Any]) -> None:
    """The lags cannot: nobody knows then where the streams end."""

    async def heard() -> float:
        text = (await _ask(app, "GET", "/metrics")).text
        [line] = [line for line in text.splitlines() if line.startswith("album_redis_heard_seconds ")]
        return float(line.split()[1])

    before = await heard()
    node.reached_redis_at -= 46
    assert await heard() >= before + 46


async def test_the_log_is_open_to_the_node_alone(app: FastAPI, node: Node[Any]) -> None:
    """Without the node's key the route looks as if it did not exist, whatever else is asked."""
    async with node.works() as work:
        work.tell(api_key(1))
    async with node.database.transaction() as connection:
        await number_waiting(connection, lambda _: True)
    nothing = await _ask(app, "GET", "/nothing/here")
    for key in (None, "awo", "office", SECRET):
        for query in ({"stream": OWN, "after": "0-0"}, {}, {"after": "x"}):
            closed = await _ask(app, "GET", "/log", key, params=query)
            assert (closed.status_code, closed.json()) == (nothing.status_code, nothing.json())
    opened = await _ask(app, "GET", "/log", node_key(node.settings), params={"stream": OWN, "after": "0-0"})
    [entry] = opened.json()["entries"]
    assert entry["id"] == "1-1"
    assert b"key_00000001" in base64.b64decode(entry["p"])


async def test_health_tells_of_a_stream_that_cannot_be_opened(app: FastAPI, node: Node[Any]) -> None:
    """A reader that never began has no lag: it is counted from when it wanted to begin."""
    assert (await _ask(app, "GET", "/health/ready")).json()["faults"] == []
    node.subscriptions.unopened[OWN] = node.works.clock.monotonic() - 3600
    answer = await _ask(app, "GET", "/health/ready")
    assert answer.status_code == 503
    assert OWN in answer.json()["faults"][0]


async def test_health_tells_of_a_database_that_does_not_answer(
    app: FastAPI, node: Node[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe says so, and does not fail itself."""
    monkeypatch.setattr(node.database, "engine", None)
    answer = await _ask(app, "GET", "/health/ready")
    assert answer.status_code == 503
    assert "the database does not answer" in answer.json()["faults"][0]
    assert (await _ask(app, "GET", "/health/live")).status_code == 200
