"""A referral in running services on a real Redis: mails, links, pages, figures, and what Redis holds."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from services.courses.app import service as courses
from services.notifications.app import service as notifications
from services.notifications.settings import Settings as MailSettings
from shared.embedded.smtp import Catcher
from shared.kit import migrate, tables
from shared.kit.http import application
from shared.kit.node import Node, build
from shared.kit.redis_streams import connect
from shared.kit.settings import Settings
from tests.integration.courses.referral_network import CANARIES, PERSON, RECEIVER, SENDER, consent
from tests.integration.courses.test_referral_canaries import found_in

SOON = 20.0


@dataclass
class Alive:
    """Two running services of one node that hosts both institutions."""

    courses: Node[Any]
    notifications: Node[Any]
    api: httpx.AsyncClient
    catcher: Catcher
    redis_url: str

    async def ask(self, who: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request that must succeed and give its answer."""
        headers = {"Authorization": f"Bearer {who}"}
        answer = await self.api.request(method, f"/institutions/{who}/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return cast("dict[str, Any]", answer.json() if answer.content else {})

    async def refer(self) -> str:
        """Have somebody referred to a fresh run; give the id once a seat is held."""
        offer = await self.ask(RECEIVER, "POST", "offers", {"title": "Berufssprachkurs B2", "kind": "deufoev_basis"})
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        session = {"starts": start.isoformat(), "ends": (start + timedelta(hours=3)).isoformat()}
        plan = {"offer_id": offer["offer_id"], "number": "1", "capacity": 3, "sessions": [session]}
        run_id = (await self.ask(RECEIVER, "POST", "runs", plan))["run_id"]
        await self.ask(RECEIVER, "POST", f"runs/{run_id}/publish")
        await until(lambda: self._is_seen(run_id))
        person = await self.ask(SENDER, "POST", "participants", PERSON)
        today = datetime.now(UTC).date()
        days = {"given_on": str(today - timedelta(days=1)), "expires_on": str(today + timedelta(days=40))}
        whole = {"participant_id": person["participant_id"], "to": RECEIVER, "run_id": run_id}
        found = await self.ask(SENDER, "POST", "referrals", {**whole, "consent": consent(**days)})
        await until(lambda: self._is(RECEIVER, found["referral_id"], "seat_held"))
        return cast("str", found["referral_id"])

    async def _is_seen(self, run_id: str) -> bool:
        return (await self.api.get(f"/runs/{run_id}")).is_success

    async def _is(self, who: str, referral_id: str, state: str) -> bool:
        headers = {"Authorization": f"Bearer {who}"}
        found = await self.api.get(f"/institutions/{who}/referrals/{referral_id}", headers=headers)
        return found.is_success and found.json()["state"] == state

    async def becomes(self, referral_id: str, state: str) -> None:
        """Wait until both sides see a state."""
        for who in (SENDER, RECEIVER):
            await until(lambda who=who: self._is(who, referral_id, state))  # type: ignore[misc]  # bound for each round

    async def mail(self, count: int) -> str:
        """Wait for a mail and give its text."""
        await until(lambda: _true(len(self.catcher.mails) >= count))
        mail = self.catcher.mails[count - 1]
        assert mail.recipients == (CANARIES["mail"],)
        body = mail.message.get_body(("plain",))
        assert body is not None
        return re.sub("[\u2068\u2069\u200f]", "", str(body.get_content()))

    async def redis(self, pattern: str) -> bytes:
        """Give everything that Redis holds under a pattern."""
        client = connect(self.redis_url)
        try:
            return b"\n".join([await _dumped(client, key) async for key in client.scan_iter(pattern)])
        finally:
            await client.aclose()


async def _dumped(client: Any, key: bytes) -> bytes:
    kind = await client.type(key)
    ways = {b"stream": client.xrange, b"hash": client.hgetall, b"string": client.get}
    found = await ways[kind](key)
    # Raw bytes side by side: what `repr` escapes would not be found.
    parts = [part for entry in found for part in (entry[1].values() if isinstance(entry, tuple) else [])]
    values = list(found.values()) if isinstance(found, dict) else [found] if isinstance(found, bytes) else parts
    return key + b": " + b" ".join(values)


async def _true(value: bool) -> bool:
    return value


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(SOON):
        while not await holds():  # noqa: ASYNC110 - two services, Redis and SMTP have no event in common
            await asyncio.sleep(0.05)


async def _people(node: Node[Any]) -> None:
    await migrate.upgrade(node.service, node.database)
    async with node.database.transaction() as connection:
        for slug in (SENDER, RECEIVER):
            row = {"slug": slug, "name": f"Haus {slug}", "state": "active", "version": 1}
            await connection.execute(sa.insert(tables.institution).values(row))
            opens = {"key_id": f"key_{slug.replace('-', '')}000000", "institution": slug, "scopes": ["read", "write"]}
            hidden = {"sha256": sha256(slug.encode()).hexdigest(), "revoked": False, "version": 1}
            await connection.execute(sa.insert(tables.api_key).values(opens | hidden))


@pytest.fixture
async def alive(redis_url: str, smtp_catcher: Catcher, tmp_path: Path) -> AsyncIterator[Alive]:
    """Give courses and notifications, running."""
    common = {
        "database": f"sqlite+aiosqlite:///{tmp_path}/{{service}}.db",
        "redis": redis_url,
        "secret": SecretStr("a secret of more than sixteen characters"),
        "identities": tmp_path / "identities",
    }
    nodes = [
        build(courses, Settings.model_validate(common)),
        build(notifications, MailSettings.model_validate({**common, "smtp": smtp_catcher.address})),
    ]
    async with AsyncExitStack() as stack:
        for node in nodes:
            await _people(node)
        for node in nodes:
            await stack.enter_async_context(node.running())
        transport = httpx.ASGITransport(application(nodes[0]))
        api = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://courses"))
        yield Alive(nodes[0], nodes[1], api, smtp_catcher, redis_url)


async def test_a_person_reads_who_referred_them_and_accepts_by_a_link(
    alive: Alive, capfd: pytest.CaptureFixture[str]
) -> None:
    """One mail in Turkish and German: who, which run, what was told, how to have it deleted; the link gives a seat."""
    referral_id = await alive.refer()
    text = await alive.mail(1)
    assert "Haus kargah sizi bu kursa yönlendirdi. Siz bunu kabul ettiniz." in text
    assert "Haus kargah hat Sie in diesen Kurs vermittelt. Sie haben dort Ja gesagt." in text
    assert "Das haben wir über Sie bekommen: Ihr Name, Ihre Mail-Adresse, Ihre Telefonnummer" in text
    assert "Dann löschen wir, was wir über Sie bekommen haben." in text
    assert "Berufssprachkurs B2" in text
    accept = next(link for link in re.findall(r"http://\S+", text))
    page = await alive.api.get(httpx.URL(accept).path)
    assert "Haus kargah" in page.text
    assert (await alive.api.post(httpx.URL(accept).path)).status_code == 200
    await alive.becomes(referral_id, "accepted")
    assert found_in(await alive.redis("album:1:box:*")) == set()
    figures = (await alive.api.get("/metrics")).text
    said = capfd.readouterr()
    assert found_in(f"{figures}\n{said.out}\n{said.err}".encode()) == set()
    # What was sealed is taken out of Redis as soon as the receiver has answered.
    await until(lambda: _lacks(alive, b'"sealed"'))


async def _lacks(alive: Alive, word: bytes) -> bool:
    return word not in await alive.redis("album:1:box:*")


async def test_a_recall_is_told_to_the_person_before_everything_is_gone(alive: Alive) -> None:
    """The last mail says that it has ended and what is deleted; then no table, no Redis and no file has a canary."""
    referral_id = await alive.refer()
    await alive.mail(1)
    await alive.ask(SENDER, "POST", f"referrals/{referral_id}/recall")
    await alive.becomes(referral_id, "recalled")
    text = await alive.mail(2)
    assert "Haus kargah hat Sie in diesen Kurs vermittelt. Das ist beendet." in text
    assert "Wir löschen, was wir über Sie bekommen haben." in text
    assert "http" not in text
    await until(lambda: _forgotten(alive))
    await until(lambda: _tells_only_the_erasure(alive))
    assert found_in(await alive.redis("album:1:box:*")) == set()


async def _tells_only_the_erasure(alive: Alive) -> bool:
    own = await alive.redis(f"album:1:own:{{{RECEIVER}}}:*")
    return b"courses.participant.erased" in own and not found_in(own)


async def _forgotten(alive: Alive) -> bool:
    database = alive.notifications.database
    await database.checkpoint()
    path = Path(sa.make_url(database.url).database or "")
    raw = await asyncio.to_thread(path.read_bytes)
    # The sender lives on this node, too: its own contact is the one that may be there.
    return raw.count(CANARIES["mail"].encode()) == 1
