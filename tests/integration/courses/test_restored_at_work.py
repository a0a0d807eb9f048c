"""A restored service that people go on working with: what was answered is kept, and nothing gets an old number."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.courses.app import service
from shared.contract.envelope import open_envelope
from shared.kit.database import Database
from shared.kit.http import application
from shared.kit.node import Node, build
from shared.kit.redis_streams import RedisStreams
from shared.kit.settings import Settings
from shared.kit.streams import START
from tests.integration.courses.courses_house import OWNER, prepare

PUB, OWN = (f"album:1:{audience}:{{{OWNER}}}:courses" for audience in ("pub", "own"))
SOON = 30.0


class Place:
    """A courses service on a file, over a Redis; it can be stopped, restored and started."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.file = folder / "courses.db"
        self._backup = folder / "backup.db"
        self.url = f"sqlite+aiosqlite:///{self.file}"
        self._settings = Settings(database=self.url, redis=redis_url, secret=SecretStr("a secret of sixteen or more"))

    def keep_backup(self) -> None:
        """Copy the database as it stands."""
        with closing(sqlite3.connect(self.file)) as here, closing(sqlite3.connect(self._backup)) as there:
            here.backup(there)

    def put_back(self) -> None:
        """Have the database be as old as the backup."""
        for old in self.file.parent.glob("courses.db*"):
            old.unlink()
        shutil.copy(self._backup, self.file)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Node[Any], httpx.AsyncClient]]:
        """Start it, and give it with its HTTP, which is asked at once."""
        node = build(service, self._settings)
        transport, headers = httpx.ASGITransport(application(node)), {"Authorization": f"Bearer {OWNER}"}
        url = f"http://courses/institutions/{OWNER}/"
        async with (
            node.running(),
            httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as api,
        ):
            yield node, api


async def _done(api: httpx.AsyncClient, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Ask until it is done: nothing but the answer tells when."""
    async with asyncio.timeout(SOON):
        while (answer := await api.request(method, path, json=body)).status_code == 503:  # noqa: ASYNC110 - only the answer tells
            await asyncio.sleep(0.01)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _new_run(api: httpx.AsyncClient) -> str:
    offer = await _done(api, "POST", "offers", {"title": "Berufssprachkurs B2", "kind": "deufoev_basis"})
    session = {"starts": "2027-03-01T08:00:00Z", "ends": "2027-03-01T11:45:00Z"}
    plan = {"offer_id": offer["offer_id"], "number": "27-1", "capacity": 18, "sessions": [session]}
    run_id = str((await _done(api, "POST", "runs", plan))["run_id"])
    await _done(api, "POST", f"runs/{run_id}/publish")
    return run_id


async def _backed_up(folder: Path, redis_url: str) -> tuple[Place, str]:
    """Give a place with a backup that knows one published run, and the run's id."""
    place = Place(folder, redis_url)
    await prepare(database := Database(place.url))
    await database.close()
    async with place.running() as (_, api):
        run_id = await _new_run(api)
    place.keep_backup()
    return place, run_id


async def _all_told(node: Node[Any], title: str, stream: str = PUB, what: str = "picture") -> list[dict[str, Any]]:
    """Give what was told, once it holds a run of this title."""
    async with asyncio.timeout(SOON):
        while True:
            entries = await RedisStreams(node.redis).read(stream, START, 1000)
            told = [open_envelope(entry.payload).data for entry in entries]
            if any(one.get(what, {}).get("title") == title for one in told):
                return told
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_change_right_after_a_restore_is_kept_and_gets_the_next_number(
    tmp_path: Path, redis_url: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup is four changes old; in the control commands are taken at once, and the change is lost again."""
    place, run_id = await _backed_up(tmp_path, redis_url)
    async with place.running() as (node, api):
        for number in range(4):
            await _done(api, "PATCH", f"runs/{run_id}", {"title": f"change {number}"})
        before = await _all_told(node, "change 3")
    place.put_back()
    taken = asyncio.Event()
    if not waits:
        monkeypatch.setattr(Node, "_begin", _at_once)
        monkeypatch.setattr(Node, "_relay_turn", _behind(taken))
    async with place.running() as (node, api):
        answered = await _done(api, "PATCH", f"runs/{run_id}", {"title": "after the restore"})
        taken.set()
        told = await _all_told(node, "after the restore")
        kept = await _done(api, "GET", f"runs/{run_id}")
    versions = [one["version"] for one in told]
    assert (answered["version"] > before[-1]["version"], versions == sorted(set(versions))) == (waits, waits)
    assert (kept["title"] == "after the restore") is waits


async def test_a_person_enrolled_behind_the_backup_has_a_seat_and_can_give_it_back(
    tmp_path: Path, redis_url: str
) -> None:
    """The file, its name and the place come back from the institution's own stream."""
    place, run_id = await _backed_up(tmp_path, redis_url)
    async with place.running() as (node, api):
        person = await _done(api, "POST", "participants", {"language": "ar", "name": "Noor"})
        body = {"participant_id": person["participant_id"]}
        enrolment = await _done(api, "POST", f"runs/{run_id}/enrolments", body)
        await _all_told(node, "Berufssprachkurs B2", OWN, "run")
    place.put_back()
    async with place.running() as (_, api):
        left = await _done(api, "POST", f"enrolments/{enrolment['enrolment_id']}/withdraw")
        file = await _done(api, "GET", f"participants/{person['participant_id']}")
        run = await _done(api, "GET", f"runs/{run_id}")
    assert (left["state"], file["name"], run["availability"]["free"]) == ("withdrawn", "Noor", 18)


def _behind(event: asyncio.Event) -> Callable[[Node[Any]], Awaitable[None]]:
    """Have a node take back what its backup lacks only once something has happened."""
    turn = Node._relay_turn

    async def later(node: Node[Any]) -> None:
        await event.wait()
        await turn(node)

    return later


async def _at_once(node: Node[Any]) -> None:
    node.works.sure.set()
    node.begun = True
    await asyncio.Event().wait()
