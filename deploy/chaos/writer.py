"""Steady work: institutions publish and change things by HTTP; what was acknowledged is written into a ledger."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx

PAUSE = 0.05
SERVICE = {"run": "courses", "meeting": "events", "institution": "members"}


@dataclass
class Ledger:
    """What institutions were told is done: the newest version of each thing, and the answers that never came."""

    told: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    open: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)

    def note(self, slug: str, kind: str, id_: str, version: int, title: str) -> None:
        """Note what an answer said; an answer that was overtaken changes nothing."""
        self.acknowledged[slug] += 1
        known = self.told.get(id_)
        if known is None or version > known[1]:
            self.told[id_] = (kind, version, title)
            # A command whose answer never came was done before this one, or never.
            self.open.pop(id_, None)

    @property
    def total(self) -> int:
        """Count the acknowledged commands."""
        return sum(self.acknowledged.values())


class Gone(Exception):  # noqa: N818 - an answer that says so
    """The thing is not there (any more)."""


@dataclass
class Writer:
    """An institution's software: publishes and changes, one command after the other, whatever goes wrong."""

    slug: str
    key: str
    urls: dict[str, str]
    ledger: Ledger
    random: Random
    http: httpx.AsyncClient
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    offer: str = ""
    mine: list[tuple[str, str]] = field(default_factory=list)
    number: int = 0
    stopping: bool = False

    async def work(self) -> None:
        """Go on until told to stop; a command that is under way is finished: nobody could tell whether it was done."""
        while not self.stopping:
            async with self.turn:
                await self.one()
            await asyncio.sleep(PAUSE)

    async def one(self) -> None:
        """Do one command and note its answer, or that there was none."""
        self.number += 1
        thing = self.random.choice(self.mine) if self.mine and self.random.random() < 0.6 else None
        try:
            await (self._change(*thing) if thing else self._publish())
        except httpx.HTTPError:
            self.ledger.unanswered += 1
            if thing:
                self.ledger.open[thing[1]] += 1
            await asyncio.sleep(0.3)
        except Gone:
            # A restored backup knows neither the offer nor a draft that nobody was told of.
            self.offer = ""

    async def burst(self, count: int) -> None:
        """Have this many commands acknowledged, as fast as they are answered."""
        goal = self.ledger.acknowledged[self.slug] + count
        while self.ledger.acknowledged[self.slug] < goal:
            await self.one()

    async def _publish(self) -> None:
        kind = "meeting" if self.random.random() < 0.25 else "run"
        title = f"{kind} {self.slug} {self.number}"
        made = await (self._new_meeting(title) if kind == "meeting" else self._new_run(title))
        id_ = str(made[f"{kind}_id"])
        try:
            done = await self._ask("POST", SERVICE[kind], f"/{kind}s/{id_}/publish")
        except httpx.HTTPError:
            self.ledger.open[id_] += 1
            raise
        self.mine.append((kind, id_))
        self.ledger.note(self.slug, kind, id_, done["version"], title)

    async def _change(self, kind: str, id_: str) -> None:
        title = f"{kind} {self.slug} changed {self.number}"
        done = await self._ask("PATCH", SERVICE[kind], f"/{kind}s/{id_}", {"title": title})
        self.ledger.note(self.slug, kind, id_, done["version"], title)

    async def _new_run(self, title: str) -> Any:
        if not self.offer:
            body = {"title": "Deutsch", "kind": "deufoev_basis", "ue": 400}
            self.offer = (await self._ask("POST", "courses", "/offers", body))["offer_id"]
        starts = _day(self.number)
        session = {"starts": starts.isoformat(), "ends": (starts + timedelta(hours=4)).isoformat()}
        plan = {"offer_id": self.offer, "number": str(self.number), "capacity": 12, "sessions": [session]}
        return await self._ask("POST", "courses", "/runs", {**plan, "title": title})

    async def _new_meeting(self, title: str) -> Any:
        starts = _day(self.number)
        plan = {"kind": "diversity", "title": title, "starts": starts.isoformat(), "capacity": 20}
        return await self._ask(
            "POST", "events", "/meetings", {**plan, "place": {"name": "Freizeitheim", "town": "Hannover"}}
        )

    async def _ask(self, method: str, service: str, path: str, body: Any = None) -> Any:
        url = f"{self.urls[service]}/institutions/{self.slug}{path}"
        answer = await self.http.request(method, url, json=body, headers={"Authorization": f"Bearer {self.key}"})
        if answer.status_code == 404:
            raise Gone(url)
        if answer.status_code < 500 and answer.is_error:
            self.ledger.refused.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        answer.raise_for_status()
        return answer.json()


def _day(number: int) -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=30 + number % 60)
