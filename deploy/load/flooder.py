"""A partner system without manners: all at once, by every way in, and again at once when it is told to wait."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

import httpx
from redis.asyncio import Redis

from deploy.load.wares import SIZE, batch, body

BATCH = 15
SINGLES, BATCHES, STRANGERS = 64, 6, 16
PIPELINE = 50
RUDE = (0.1, 0.4)
"""Seconds until it comes again, whatever `Retry-After` says."""


@dataclass
class Flood:
    """What is sent where, and what came of it: `answers` by way and status or code."""

    url: str
    redis: str
    institution: str
    key: str
    size: int
    until: float
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    unasked: Counter[str] = field(default_factory=Counter)
    retry_after: Counter[str] = field(default_factory=Counter)
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - a flood can be sent again

    def note(self, way: str, word: str) -> None:
        """Count an answer."""
        self.answers.setdefault(way, Counter())[word] += 1

    async def wait(self) -> bool:
        """Wait as rudely as ever; False where the time is over."""
        await asyncio.sleep(self.random.uniform(*RUDE))
        return monotonic() < self.until


async def singly(flood: Flood, http: httpx.AsyncClient, numbers: list[int]) -> None:
    """Send messages one by one over many connections."""
    left = list(reversed(numbers))

    async def hand() -> None:
        while left:
            number = left.pop()
            if not await _insist(flood, http, "single", "application/cloudevents+json", [number]):
                flood.unasked["single"] += 1

    await asyncio.gather(*(hand() for _ in range(SINGLES)))


async def in_batches(flood: Flood, http: httpx.AsyncClient, numbers: list[int]) -> None:
    """Send messages in batches as large as a body may be."""
    count = max(1, BATCH * SIZE // flood.size)
    left = [numbers[at : at + count] for at in range(0, len(numbers), count)]

    async def hand() -> None:
        while left:
            page = left.pop()
            if not await _insist(flood, http, "batch", "application/cloudevents-batch+json", page):
                flood.unasked["batch"] += len(page)

    await asyncio.gather(*(hand() for _ in range(BATCHES)))


async def _insist(flood: Flood, http: httpx.AsyncClient, way: str, media_type: str, numbers: list[int]) -> bool:
    headers = {"Authorization": f"Bearer {flood.key}", "Content-Type": media_type}
    whole = media_type.endswith("batch+json")
    content = (
        batch(flood.institution, numbers, flood.size) if whole else body(flood.institution, numbers[0], flood.size)
    )
    while monotonic() < flood.until:
        try:
            answer = await http.post(f"{flood.url}/messages", content=content, headers=headers)
        except httpx.TransportError as error:
            flood.note(way, type(error).__name__)
        else:
            if answer.status_code not in (429, 503):
                _note_answer(flood, way, answer)
                return True
            flood.note(way, str(answer.status_code))
            flood.retry_after["given" if answer.headers.get("retry-after", "").isdigit() else "missing"] += 1
        await flood.wait()
    return False


def _note_answer(flood: Flood, way: str, answer: httpx.Response) -> None:
    told: Any = answer.json()
    for one in told.get("answers", [told]):
        status = one.get("status")
        flood.note(way, status if isinstance(status, str) else "refused")


class OverTheStream:
    """Leaves messages in the institution's stream as fast as Redis takes them, and reads the answers."""

    def __init__(self, flood: Flood, redis: Redis, numbers: list[int]) -> None:
        self._flood = flood
        self._redis = redis
        self._stream = f"album:1:in:{{{flood.institution}}}"
        self._left = list(numbers)
        self._waiting: dict[bytes, int] = {}
        self._after = b"0"

    async def send(self) -> None:
        """Send until every message has its answer, or the time is over."""
        while (self._left or self._waiting) and monotonic() < self._flood.until:
            await self._leave(self._left[:PIPELINE])
            if not await self._read():
                await self._flood.wait()
        self._flood.unasked["stream"] += len(self._left) + len(self._waiting)

    async def _leave(self, page: list[int]) -> None:
        self._left = self._left[len(page) :]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for number in page:
                pipeline.xadd(self._stream, {"p": body(self._flood.institution, number, self._flood.size)})
            ids = await pipeline.execute(raise_on_error=False)
        for number, id_ in zip(page, ids, strict=True):
            if isinstance(id_, bytes):
                self._waiting[id_] = number
            else:
                self._flood.note("stream", "redis refused")
                self._left.append(number)

    async def _read(self) -> bool:
        found: Any = await self._redis.xread({f"{self._stream}:answers": self._after}, count=500)
        for _, entries in found or ():
            for at, fields in entries:
                self._after = at
                self._note(self._waiting.pop(fields[b"entry"], None), fields)
        return bool(found)

    def _note(self, number: int | None, fields: dict[bytes, bytes]) -> None:
        if number is None:
            return
        is_full = fields.get(b"code") == b"full"
        self._flood.note("stream", "full" if is_full else fields[b"status"].decode())
        if is_full:
            self._left.append(number)


async def as_a_stranger(flood: Flood, http: httpx.AsyncClient, done: asyncio.Event) -> None:
    """Send large bodies with no key or an unknown one, as long as the others are at it."""

    async def hand(number: int) -> None:
        headers = {"Content-Type": "application/cloudevents-batch+json", "Idempotency-Key": f"stranger-{number}"}
        if number % 2:
            headers["Authorization"] = f"Bearer album_unknown_{number}"
        while not done.is_set():
            with contextlib.suppress(httpx.TransportError):
                answer = await http.post(f"{flood.url}/messages", content=b"[" + b" " * 1_000_000, headers=headers)
                flood.note("stranger", str(answer.status_code))
            await flood.wait()

    await asyncio.gather(*(hand(number) for number in range(STRANGERS)))


async def flooding(flood: Flood, count: int) -> None:
    """Send everything by all three ways at once, a third each."""
    numbers = list(range(count))
    done = asyncio.Event()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as http, Redis.from_url(flood.redis) as redis:
        strangers = asyncio.create_task(as_a_stranger(flood, http, done))
        third = count // 3 // 2 * 2
        await asyncio.gather(
            singly(flood, http, numbers[:third]),
            in_batches(flood, http, numbers[third : 2 * third]),
            OverTheStream(flood, redis, numbers[2 * third :]).send(),
        )
        done.set()
        await strangers


def main() -> None:
    """Read the address and the key from the environment; print what came of it as JSON."""
    parser = argparse.ArgumentParser(prog="flooder", description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--seconds", type=float, required=True)
    wanted = parser.parse_args()
    url, redis, institution, key = (os.environ[f"FLOOD_{name}"] for name in ("URL", "REDIS", "INSTITUTION", "KEY"))
    flood = Flood(url, redis, institution, key, wanted.size, monotonic() + wanted.seconds)
    begun = monotonic()
    asyncio.run(flooding(flood, wanted.count))
    told = {
        "sent": wanted.count,
        "seconds": round(monotonic() - begun, 1),
        "answers": {way: dict(found) for way, found in flood.answers.items()},
        "gave_up": dict(+flood.unasked),
        "retry_after": dict(flood.retry_after),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
