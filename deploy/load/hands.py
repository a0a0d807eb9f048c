"""Institutions at work: each does one thing after the other, and insists until it is answered."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx

from deploy.demo.hands import Institution
from deploy.load.ledger import Ledger, Thing

PATIENCE = 120.0
AGAIN = {409, 429, 500, 502, 503}
"""Answers after which the same request is sent again; 409 only while the first is still worked on."""


@dataclass
class Worker:
    """Somebody of an institution, with runs and meetings of their own."""

    name: str
    house: Institution
    http: httpx.AsyncClient
    ledger: Ledger
    random: Random
    offer_id: str = ""
    runs: list[str] = field(default_factory=list)
    meetings: list[str] = field(default_factory=list)
    counted: int = 0

    async def act(self) -> None:
        """Do one thing of those that an institution does all day."""
        if len(self.runs) < 2:
            await self._new_run()
        elif not self.meetings:
            await self._new_meeting()
        else:
            kinds = (self._change_run, self._change_meeting, self._enrol, self._new_run, self._new_meeting)
            [kind] = self.random.choices(kinds, (78, 14, 4, 2, 2))
            await kind()

    async def ask(self, method: str, service: str, path: str, body: Any = None) -> Any:
        """Send a command until it is answered; a POST that is sent again has the same key."""
        url = f"{self.house.urls[service]}/institutions/{self.house.slug}{path}"
        headers = {"Authorization": f"Bearer {self.house.key}"}
        if method == "POST":
            headers["Idempotency-Key"] = self._next("key")
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await self.http.request(method, url, json=body, headers=headers)
                except httpx.TransportError as error:
                    self.ledger.retries[type(error).__name__] += 1
                else:
                    if answer.status_code < 300:
                        return answer.json()
                    if answer.status_code not in AGAIN:
                        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
                    self.ledger.retries[str(answer.status_code)] += 1
                await asyncio.sleep(self.random.uniform(0.1, 0.3))

    def _next(self, word: str) -> str:
        self.counted += 1
        return f"{word}-{self.name}-{self.counted}"

    async def _new_run(self) -> None:
        if not self.offer_id:
            offer = {"title": "Deutsch im Dauerlauf", "kind": "other"}
            self.offer_id = (await self.ask("POST", "courses", "/offers", offer))["offer_id"]
        number = self._next("run")
        day = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=30)
        sessions = [{"starts": day.isoformat(), "ends": (day + timedelta(hours=4)).isoformat()}]
        plan = {"offer_id": self.offer_id, "number": number, "capacity": 10_000, "sessions": sessions}
        run_id = (await self.ask("POST", "courses", "/runs", plan))["run_id"]
        await self.ask("POST", "courses", f"/runs/{run_id}/publish")
        self.ledger.runs[number] = Thing(run_id, self.house.slug, "")
        self.ledger.commands["run published"] += 1
        self.runs.append(number)

    async def _change_run(self) -> None:
        thing = self.ledger.runs[self.random.choice(self.runs)]
        said = self._next("state")
        await self.ask("PATCH", "courses", f"/runs/{thing.id}", {"description": said})
        thing.said = said
        self.ledger.commands["run changed"] += 1

    async def _enrol(self) -> None:
        thing = self.ledger.runs[self.random.choice(self.runs)]
        mail = f"{self._next('person')}@soak.example"
        person = {"name": "Amira Haddad", "mail": mail, "language": "de", "contact_consent": True}
        participant_id = (await self.ask("POST", "courses", "/participants", person))["participant_id"]
        asked = {"participant_id": participant_id}
        enrolment = await self.ask("POST", "courses", f"/runs/{thing.id}/enrolments", asked)
        self.ledger.people[mail] = enrolment["enrolment_id"]
        thing.people += 1
        self.ledger.commands["enrolled"] += 1

    async def _new_meeting(self) -> None:
        title = self._next("meeting")
        starts = datetime.now(UTC).replace(microsecond=0) + timedelta(days=40)
        plan = {"kind": "open", "title": title, "starts": starts.isoformat(), "capacity": 30}
        meeting_id = (await self.ask("POST", "events", "/meetings", plan))["meeting_id"]
        await self.ask("POST", "events", f"/meetings/{meeting_id}/publish")
        self.ledger.meetings[title] = Thing(meeting_id, self.house.slug, "")
        self.ledger.commands["meeting published"] += 1
        self.meetings.append(title)

    async def _change_meeting(self) -> None:
        thing = self.ledger.meetings[self.random.choice(self.meetings)]
        said = self._next("state")
        await self.ask("PATCH", "events", f"/meetings/{thing.id}", {"description": said})
        thing.said = said
        self.ledger.commands["meeting changed"] += 1
