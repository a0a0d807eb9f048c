"""Real things in each service before anything is tried, so that what is tried reaches behind the first refusal."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from shared.contract.courses import EnrolmentChanged, ParticipantContactRecorded, RunPicture
from shared.contract.envelope import type_of
from shared.contract.words import Availability, EnrolmentState, RunKind, RunState, SeatCause, Session, WaitingBand
from shared.kit.node import Node

HOUSE = "kargah"
START = datetime(2028, 3, 1, 8, tzinfo=UTC)
END = datetime(2028, 3, 1, 11, 45, tzinfo=UTC)


@dataclass
class Seeding:
    """A service that is filled through its own API; `known` holds every id that it answered, by its name."""

    node: Node[Any]
    api: httpx.AsyncClient
    known: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request that must succeed, remember the ids of its answer, and give it."""
        answer = await self.api.request(method, path.replace("~", f"/institutions/{HOUSE}"), json=body)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        found: dict[str, Any] = answer.json()
        self._remember(found)
        return found

    async def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a command; `~` stands for the institution."""
        return await self.send("POST", path, body)

    def _remember(self, found: Any) -> None:
        for each in found if isinstance(found, list) else []:
            self._remember(each)
        for name, value in found.items() if isinstance(found, dict) else []:
            if name.endswith("_id") and isinstance(value, str):
                # A pushed delivery is no mail: its ids look different, and so is the parameter that takes them.
                self.known["push_id" if value.startswith("push_") else name].add(value)
            self._remember(value)


async def seed_members(to: Seeding) -> None:
    """An institution in each state, and projects."""
    for slug, moves in (("haus-a", ()), ("haus-b", ("admit",)), ("haus-c", ("admit", "activate"))):
        to.known["slug"].add((await to.post("/institutions", {"slug": slug, "name": f"Haus {slug}"}))["slug"])
        for move in moves:
            await to.post(f"/institutions/{slug}/{move}")
    plan = {"title": "Projekt", "field_of_action": "Dialog und Begegnung", "starts_on": "2028-03-01"}
    for moves in ((), ("start",), ("start", "end")):
        project = await to.post("~/projects", plan)
        for move in moves:
            await to.post(f"~/projects/{project['project_id']}/{move}")


async def seed_courses(to: Seeding) -> None:
    """Runs as drafts, open and full, and people who ask for a seat, have one, or are erased."""
    offer = await to.post("~/offers", {"title": "Berufssprachkurs B2", "kind": "deufoev_basis"})
    people = [await to.post("~/participants", {"language": "tr", "name": f"Person {n}"}) for n in range(4)]
    for person in people[:2]:
        entitlement = {"issuing_office": "Jobcenter", "obliged": True, "valid_until": "2029-12-31"}
        await to.post(f"~/participants/{person['participant_id']}/entitlements", entitlement)
    for number, moves in enumerate(((), ("publish",), ("publish", "confirm"))):
        sessions = [{"starts": START.isoformat(), "ends": END.isoformat()}]
        body = {"offer_id": offer["offer_id"], "number": f"28-{number}", "capacity": number, "sessions": sessions}
        run = await to.post("~/runs", body)
        for move in moves:
            await to.post(f"~/runs/{run['run_id']}/{move}")
            for person in people[: 3 if move == "publish" else 0]:
                await to.post(f"~/runs/{run['run_id']}/enrolments", {"participant_id": person["participant_id"]})


async def seed_events(to: Seeding) -> None:
    """Meetings as drafts and open, and people who asked to attend."""
    await to.post("~/series", {"title": "Blickwechsel", "kind": "blickwechsel"})
    for moves in ((), ("publish",), ("publish",)):
        body = {"title": "Treffen", "starts": START.isoformat(), "ends": END.isoformat(), "capacity": 2}
        meeting = await to.post("~/meetings", body)
        for move in moves:
            await to.post(f"~/meetings/{meeting['meeting_id']}/{move}")
            for n in range(3):
                asked = {"name": f"Person {n}", "mail": f"p{n}@example.org", "language": "tr"}
                await to.post(f"/meetings/{meeting['meeting_id']}/registrations", asked)
        await to.send("GET", f"~/meetings/{meeting['meeting_id']}/registrations")


async def seed_notifications(to: Seeding) -> None:
    """Mails about places in a run, as the messages of courses bring them, and a webhook that was tested."""
    from services.notifications.consume import hears  # noqa: PLC0415 - the other three need not load it

    run = RunPicture(
        run_id="run_00000001",
        offer_id="off_00000001",
        number="B2-1",
        title="Deutsch B2 Beruf",
        kind=RunKind.DEUFOEV_BASIS,
        state=RunState.PUBLISHED,
        sessions=(Session(starts=START, ends=END),),
        capacity=18,
        availability=Availability(free=0, waiting=WaitingBand.NONE, as_of=START),
    )
    for n in range(3):
        known = {"institution": HOUSE, "version": 1, "participant_id": f"par_{n:08}"}
        place = {"enrolment_id": f"enr_{n:08}", "state": EnrolmentState.ENROLLED, "cause": SeatCause.GIVEN}
        for message in (
            ParticipantContactRecorded.model_validate(
                {**known, "name": "P", "mail": f"p{n}@example.org", "language": "tr"}
            ),
            EnrolmentChanged.model_validate({**known, **place, "run_version": 1, "run": run}),
        ):
            async with to.node.works() as work:
                await hears.routes[type_of(type(message))].do(message, work)
    await to.send("GET", "~/deliveries")
    webhook = await to.post("~/webhooks", {"url": "https://partner.example/album"})
    await to.post(f"~/webhooks/{webhook['webhook_id']}/ping")


Seed = Callable[[Seeding], Awaitable[None]]
SEEDS: dict[str, Seed] = {
    "members": seed_members,
    "courses": seed_courses,
    "events": seed_events,
    "notifications": seed_notifications,
}
