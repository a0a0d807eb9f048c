"""What an institution does with its webhooks by HTTP, and what an operator does by command."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from typer.testing import CliRunner

from services.notifications import commands
from services.notifications.app import service
from shared.kit import migrate
from shared.kit import tables as kit
from shared.kit.database import Database
from tests.integration.notifications.conftest import HOUSE, staff_of
from tests.integration.notifications.webhook_house import Pushing, Receiver, Said, published

PAGE = f"/institutions/{HOUSE}/webhooks"
URL = "https://software.example/album"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a partner's server that takes everything."""
    async with Receiver().open() as opened:
        yield opened


@pytest.fixture
async def pushing(sqlite_url: str, redis_url: str, receiver: Receiver) -> AsyncIterator[Pushing]:
    """Give the service, with a Redis that knows where streams end."""
    database = Database(sqlite_url)
    await migrate.upgrade(service, database)
    async with database.transaction() as connection:
        row = {"slug": HOUSE, "name": "VHS Hannover", "state": "active", "version": 1}
        await connection.execute(sa.insert(kit.institution).values(row))
    pushing = Pushing(database, receiver.url)
    pushing.settings.redis = redis_url
    yield pushing
    await pushing.out.close()
    await database.close()


@pytest.fixture
async def partner(pushing: Pushing) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with the institution's own key."""
    async with staff_of(pushing.database, pushing.settings, pushing.clock) as client:
        yield client


async def _made(partner: httpx.AsyncClient, url: str, **more: object) -> str:
    answer = await partner.post(PAGE, json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["webhook_id"])


async def test_a_webhook_is_made_shown_changed_and_removed(partner: httpx.AsyncClient) -> None:
    """The secret is in the first answer only, which nobody may store; a change needs the state that was seen."""
    made = await partner.post(PAGE, json={"url": URL, "types": ["courses.run.published.v1"]})
    here = f"{PAGE}/{made.json()['webhook_id']}"
    shown = await partner.get(here)
    assert made.json()["secret"].startswith("whsec_")
    assert made.headers["cache-control"] == "no-store"
    assert "secret" not in shown.json()
    assert (shown.json()["state"], shown.json()["types"]) == ("active", ["courses.run.published.v1"])
    seen = {"If-Match": shown.headers["etag"]}
    changed = await partner.patch(here, json={"types": None, "state": "paused"}, headers=seen)
    assert (changed.json()["state"], changed.json()["types"], changed.json()["url"]) == ("paused", None, URL)
    late = await partner.patch(here, json={"state": "active"}, headers=seen)
    assert (late.status_code, late.json()["code"]) == (412, "version_mismatch")
    assert len((await partner.get(PAGE)).json()["items"]) == 1
    assert (await partner.delete(here)).status_code == 204
    assert (await partner.get(here)).status_code == 404


async def test_a_new_secret_is_shown_once_and_public_keys_always(partner: httpx.AsyncClient) -> None:
    """Of a key pair both public keys are shown during the change; the private half never."""
    here = f"{PAGE}/{await _made(partner, URL, signing='ed25519')}"
    rotated = await partner.post(f"{here}/rotate")
    shown = await partner.get(here)
    assert rotated.json()["secret"] is None
    assert rotated.headers["cache-control"] == "no-store"
    assert shown.json()["public_keys"] == rotated.json()["public_keys"]
    assert [key[:5] for key in shown.json()["public_keys"]] == ["whpk_", "whpk_"]
    assert "whsk_" not in shown.text + rotated.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "https://127.0.0.1/x"}, "url_not_allowed"),
        ({"url": "https://[::1]:8080/"}, "url_not_allowed"),
        ({"url": "http://software.example/"}, "url_not_allowed"),
        ({"url": "https://a:b@software.example/"}, "url_not_allowed"),
        ({"url": URL, "types": ["courses.enrolment.changed.v1"]}, "unknown_type"),
        ({"url": URL, "types": ["song"]}, "unknown_type"),
        ({"url": URL, "types": []}, "invalid"),
        ({"url": URL, "institutions": ["X!"]}, "invalid"),
        ({"url": URL, "secret": "mine"}, "invalid"),
    ],
)
async def test_what_cannot_be_is_refused(
    pushing: Pushing, partner: httpx.AsyncClient, body: dict[str, object], code: str
) -> None:
    """Private addresses, types that are unknown or not public, and fields that do not exist."""
    pushing.settings.webhook_private = False
    refused = await partner.post(PAGE, json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    here = f"{PAGE}/{await _made(partner, URL)}"
    assert (await partner.patch(here, json=body)).json()["code"] == code


async def test_nobody_sees_or_touches_the_webhooks_of_others(partner: httpx.AsyncClient) -> None:
    """Neither by the path of the owner nor by one's own; twenty webhooks are the most."""
    id = await _made(partner, URL)
    theirs = {"Authorization": "Bearer theirs"}
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/ping"),
                         ("GET", "/deliveries")):  # fmt: skip
        body = {"state": "paused"} if method == "PATCH" else None
        for page, status in ((PAGE, 403), ("/institutions/vnb/webhooks", 404)):
            answer = await partner.request(method, f"{page}/{id}{path}", json=body, headers=theirs)
            assert answer.status_code == status, (method, page, path)
    for _ in range(19):
        await _made(partner, URL)
    full = await partner.post(PAGE, json={"url": URL})
    assert (full.status_code, full.json()["code"]) == (409, "too_many_webhooks")


async def test_a_ping_arrives_and_every_attempt_is_shown(
    pushing: Pushing, partner: httpx.AsyncClient, receiver: Receiver
) -> None:
    """A first answer 500, a second one 204 after a retry by hand; the pages lead through all deliveries."""
    receiver.script = lambda arrived: Said(500, body="oh") if len(receiver.arrived) == 1 else Said(204, body="")
    here = f"{PAGE}/{await _made(partner, receiver.url)}"
    pinged = await partner.post(f"{here}/ping")
    await pushing.push()
    shown = f"{here}/deliveries/{pinged.json()['delivery_id']}"
    assert (await partner.get(shown)).json()["attempts_made"][0] | {"started_at": 0, "ended_at": 0} == {
        "number": 1, "started_at": 0, "ended_at": 0, "outcome": "server_error", "status": 500, "answer": "oh",
    }  # fmt: skip
    assert (await partner.post(f"{shown}/retry")).json()["state"] == "waiting"
    await pushing.push()
    assert (await partner.get(shown)).json()["state"] == "delivered"
    assert {one.headers["webhook-id"] for one in receiver.arrived} == {pinged.json()["message_id"]}
    assert json.loads(receiver.arrived[0].body)["type"] == "notifications.webhook.pinged.v1"
    await pushing.hear(published(1), published(2))
    pages = [(await partner.get(f"{here}/deliveries", params={"limit": 2})).json()]
    pages.append((await partner.get(f"{here}/deliveries", params={"after": pages[0]["next"]})).json())
    assert [len(page["items"]) for page in pages] == [2, 1]
    assert pages[1]["next"] is None
    await partner.patch(here, json={"state": "paused"})
    assert (await partner.post(f"{here}/ping")).json()["code"] == "webhook_not_active"
    assert (await partner.get(here)).json()["waiting"] == 2


async def test_the_first_webhook_begins_the_reading_at_the_ends_of_the_streams(
    pushing: Pushing, partner: httpx.AsyncClient, redis_url: str
) -> None:
    """What a stream holds already is behind the cursor from the first moment; a second webhook moves nothing."""
    stream = f"album:1:pub:{{{HOUSE}}}:courses"

    async with Redis.from_url(redis_url) as redis:
        await redis.xadd(stream, {"p": "x", "h": "y"}, id="1-41")
        await _made(partner, URL)
        await redis.xadd(stream, {"p": "x", "h": "y"}, id="1-42")
        await _made(partner, URL)
    async with pushing.database.reading() as connection:
        rows = await connection.execute(sa.select(kit.cursor.c.seq).where(kit.cursor.c.stream == stream))
        assert list(rows.scalars()) == [41]


def album(*words: str) -> str:
    """Run a command and give what it says."""
    result = CliRunner().invoke(commands.app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


async def _given_up(url: str) -> tuple[str, str]:
    database = Database(url)
    await migrate.upgrade(service, database)
    pushing = Pushing(database, "http://127.0.0.1:9/album?token=word")
    made = await pushing.make()
    await pushing.hear(published(1))
    pushing.clock.moment = pushing.clock.moment.replace(year=pushing.clock.moment.year + 1)
    await pushing.give_up_old()
    [push] = await pushing.pushes(made.webhook.id, "given_up")
    await pushing.out.close()
    await database.close()
    return made.webhook.id, push.id


def test_an_operator_lists_shows_and_retries(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list names state and counts, never what stands behind the path of a URL; retry takes either id."""
    monkeypatch.setenv("ALBUM_DATABASE", database_url)
    monkeypatch.setattr(commands.webhooks, "services", lambda: {"notifications": service})
    webhook_id, push_id = asyncio.run(_given_up(database_url))
    [listed] = json.loads(album("webhooks", "list", "--json"))
    assert (listed["id"], listed["state"], listed["given_up"]) == (webhook_id, "active", 1)
    assert "word" not in album("webhooks", "list") + album("webhooks", "show", webhook_id)
    assert push_id in album("webhooks", "show", webhook_id, "--json")
    assert "1 to be tried" in album("webhooks", "retry", webhook_id)
    assert "1 to be tried" in album("webhooks", "retry", push_id)
    assert json.loads(album("webhooks", "list", "--json"))[0]["waiting"] == 1
    assert "no webhook" in CliRunner().invoke(commands.app, ["webhooks", "show", "webhook_x"]).output
    unknown = CliRunner().invoke(commands.app, ["webhooks", "retry", "webhook_x"])
    assert "no webhook 'webhook_x'" in str(unknown.exception)
