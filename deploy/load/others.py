"""Twelve others at their ordinary work: a steady trickle of requests with their own keys, each of them timed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

import httpx

from deploy.demo.hands import Institution

EVERY = 0.5


@dataclass
class Times:
    """How long requests took, in seconds, and what was answered."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)

    def note(self, what: str, seconds: float, status: str) -> None:
        """Note an answer to a request."""
        self.seconds.append(seconds)
        self.statuses[status] += 1
        self.slowest[what] = max(seconds, self.slowest.get(what, 0.0))

    def quantile(self, share: float) -> float:
        """Give the time within which a share of the requests was answered."""
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def report(self) -> dict[str, Any]:
        """Give the figures as JSON: milliseconds."""
        return {
            "requests": len(self.seconds),
            "p50_ms": round(self.quantile(0.5) * 1000, 1),
            "p99_ms": round(self.quantile(0.99) * 1000, 1),
            "most_ms": round(self.quantile(1.0) * 1000, 1),
            "statuses": dict(self.statuses),
            "slowest_ms": {what: round(seconds * 1000, 1) for what, seconds in sorted(self.slowest.items())},
        }


class Other:
    """One institution that does its work."""

    def __init__(self, house: Institution, http: httpx.AsyncClient, random: Random) -> None:
        self._house = house
        self._http = http
        self._random = random
        self._numbers = 0

    async def work(self, times: Times) -> None:
        """Send one request after the other until cancelled."""
        await asyncio.sleep(self._random.uniform(0, EVERY))
        due = monotonic()
        while True:
            self._numbers += 1
            method, service, path, body = self._next()
            begun = monotonic()
            try:
                status = str(await self._send(method, service, path, body))
            except httpx.TransportError as error:
                status = type(error).__name__
            what = path.split("?")[0].rsplit("/", 1)[-1]
            times.note(f"{method} {service} {what}", monotonic() - begun, status)
            due = max(due + EVERY, monotonic())
            await asyncio.sleep(due - monotonic())

    def _next(self) -> tuple[str, str, str, Any]:
        own = f"/institutions/{self._house.slug}"
        offer = {"title": f"Deutsch {self._numbers}", "kind": "other"}
        person = {"name": "Amira Haddad", "mail": f"p{self._numbers}@{self._house.slug}.example", "language": "de"}
        asked: list[tuple[str, str, str, Any]] = [
            ("POST", "courses", f"{own}/offers", offer),
            ("GET", "courses", f"{own}/offers?limit=20", None),
            ("POST", "courses", f"{own}/participants", {**person, "contact_consent": True}),
            ("GET", "courses", "/runs?limit=5", None),
            ("GET", "events", "/meetings?limit=20", None),
            ("GET", "members", "/institutions", None),
        ]
        return asked[self._numbers % len(asked)]

    async def _send(self, method: str, service: str, path: str, body: Any) -> int:
        headers = {"Authorization": f"Bearer {self._house.key}"}
        url = f"{self._house.urls[service]}{path}"
        return (await self._http.request(method, url, json=body, headers=headers)).status_code


@asynccontextmanager
async def at_work(houses: Sequence[Institution], http: httpx.AsyncClient) -> AsyncIterator[Times]:
    """Have institutions work until the block ends."""
    times = Times()
    tasks = [
        asyncio.create_task(Other(house, http, Random(number)).work(times))  # noqa: S311 - no secret
        for number, house in enumerate(houses)
    ]
    try:
        yield times
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
