"""The main job, step by step: from an institution's catalogue to a participant's mailbox."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from deploy.demo.hands import Institution, follow, issue_key, links_in, until
from deploy.demo.people import Person, people
from deploy.demo.platform import CaughtMail, Place, Platform

OFFICE = "office"
HOSTED = {"vhs-hannover": "VHS Hannover", "bildungsverein": "Bildungsverein", "kargah": "kargah"}
SEATS = 18
ASKING = 25
MAILS = 40
ACCEPT, DECLINE = 0, 1
OFFER_LINKS = 2
STARTING = 180.0  # twelve processes begin at once where there are three nodes


@dataclass
class Story:
    """What happens, and what is remembered of it for the summary and the last page."""

    platform: Platform
    http: httpx.AsyncClient
    say: Callable[[str], None]
    known: dict[str, Institution] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    enrolments: dict[str, dict[str, Any]] = field(default_factory=dict)
    persons: dict[str, Person] = field(default_factory=dict)

    async def ready(self) -> None:
        """Wait until the four services of each node answer."""
        for place in self.platform.places():
            for service, url in place.urls.items():
                await until(f"{service} is ready", partial(self._ready, url), patience=STARTING)

    async def found_network(self) -> None:
        """The office takes three institutions in; each gets a key of its own."""
        office = Institution(
            OFFICE, await issue_key(self.platform, OFFICE, "office", "read", "write"), self.platform, self.http
        )
        self.known[OFFICE] = office
        await until("the office's key opens members", lambda: self._opens(office, "members"))
        for slug, name in HOSTED.items():
            profile = {"slug": slug, "name": name, "languages": ["de", "ar", "tr"], "quarter": "Linden-Mitte"}
            await office.post("members", "/institutions", profile, office=True)
            await office.post("members", f"/institutions/{slug}/admit", office=True)
            await office.post("members", f"/institutions/{slug}/activate", office=True)
            self.known[slug] = Institution(slug, await self._key_for(slug, office), self.platform, self.http)
        for one in self.known.values():
            for service in ("courses", "events", "notifications"):
                await until(f"{service} knows {one.slug}", partial(self._opens, one, service))
        self.say(f"{len(HOSTED)} institutions and the office, each with its own key")

    async def _key_for(self, slug: str, office: Institution) -> str:
        """Get a key: from the office where it hosts the institution, else from the operator of its own node."""
        if self.platform.place_of(slug) is not self.platform.place_of(OFFICE):
            return await issue_key(self.platform, slug, "read", "write")
        scopes = {"scopes": ["read", "write"]}
        return str((await office.post("members", f"/institutions/{slug}/keys", scopes, office=True))["key"])

    async def import_catalogue(self, file: Path) -> None:
        """VHS Hannover looks at its catalogue first, then imports it; everybody else sees it."""
        vhs = self.known["vhs-hannover"]
        preview = await self._upload(vhs, file, preview=True)
        done = await self._upload(vhs, file, preview=False)
        findings = ", ".join(f"{kind} {count}" for kind, count in preview["findings"].items() if count)
        self.figures["courses_imported"] = done["new"]
        seen = await until("the runs are seen elsewhere", lambda: self._seen_elsewhere(done["new"]))
        self.figures["runs_seen_elsewhere"] = seen
        self.say(f"{file.name}: {done['courses']} courses, {done['sessions']} sessions ({findings or 'no findings'})")
        self.say(f"{seen} runs of vhs-hannover are seen by the others")

    async def fill_a_run(self) -> None:
        """25 people ask at once for 18 seats; 18 are enrolled, 7 wait, each gets one mail."""
        house = self.known["bildungsverein"]
        self.run_id = await self.published_run(house, "Deutsch für den Beruf B1 > B2", SEATS, minimum=15)
        crowd = people(ASKING, "people")
        ids = await asyncio.gather(*(self._participant(house, person) for person in crowd))
        self.persons = dict(zip(ids, crowd, strict=True))
        asked = await asyncio.gather(*(self._ask(house, self.run_id, one) for one in ids))
        self.enrolments = {one["participant_id"]: one for one in asked}
        states = Counter(one["state"] for one in asked)
        await until("25 mails", lambda: self._mails_are(ASKING))
        self.say(f"{ASKING} people asked at once for {SEATS} seats: {dict(states)}")

    async def free_two_seats(self) -> None:
        """Two cancel; one offer is declined, one passes its deadline, two are accepted: all by the links in mails."""
        enrolled = [one["participant_id"] for one in self.enrolments.values() if one["state"] == "enrolled"]
        for participant_id in enrolled[:2]:
            await self._press(participant_id, mail=1, link=0)
        first, second = await self._offered_people(set(), 2)
        await self._press(first, mail=2, link=DECLINE)
        [third] = await self._offered_people({first, second}, 1)
        await self._press(third, mail=2, link=ACCEPT)
        [fourth] = await self._offered_people({first, second, third}, 1)
        await self._press(fourth, mail=2, link=ACCEPT)
        declined = await self.known["bildungsverein"].get(
            "courses", f"/enrolments/{self.enrolments[first]['enrolment_id']}"
        )
        self.figures["offers_declined"] = int(declined["state"] == "withdrawn")
        self.say("two cancelled: one offer declined, one let pass, two accepted")

    async def cancel_a_run(self) -> None:
        """kargah cancels a run with three people in it; each of them is told."""
        house = self.known["kargah"]
        run_id = await self.published_run(house, "Job-BSK Pflege B1", 12, minimum=3)
        crowd = people(3, "kargah")
        ids = await asyncio.gather(*(self._participant(house, person) for person in crowd))
        await asyncio.gather(*(self._ask(house, run_id, one) for one in ids))
        for person in crowd:
            await until("the mail that a seat is given", partial(self._mail_to, person.mail, 1))
        await house.post("courses", f"/runs/{run_id}/cancel", {"reason": "Die Lehrerin ist krank."})
        self.say("one run cancelled, three people told")

    async def publish_meetings(self) -> None:
        """A Diversity meeting, a Blickwechsel forum and a micro project; one neighbour registers by double opt-in."""
        starts = datetime.now(UTC).replace(microsecond=0) + timedelta(days=40)
        plans = {
            OFFICE: ("blickwechsel", "Blickwechsel: Wem gehört die Stadt?", "Mitte"),
            "bildungsverein": ("diversity", "Diversity-Treffen: Ausbildung mit neuen Kräften", "List"),
            "kargah": ("micro_project", "Wir leben in Hannover: Chor in Linden", "Linden-Nord"),
        }
        for slug, (kind, title, quarter) in plans.items():
            body = {
                "kind": kind,
                "title": title,
                "starts": starts.isoformat(),
                "ends": (starts + timedelta(hours=2)).isoformat(),
                "place": {"name": "Freizeitheim", "town": "Hannover", "quarter": quarter},
                "capacity": 30,
            }
            meeting = await self.known[slug].post("events", "/meetings", body)
            await self.known[slug].post("events", f"/meetings/{meeting['meeting_id']}/publish")
        await until("the meetings are seen", self._meetings_seen)
        neighbour = {"name": "Petra Vogel", "mail": "petra@neighbours.example", "language": "de"}
        url = f"{self.known['kargah'].urls['events']}/meetings/{meeting['meeting_id']}/registrations"
        (await self.http.post(url, json=neighbour)).raise_for_status()
        mail = await until("the mail to confirm", lambda: self._mail_to("petra@neighbours.example", 1))
        await follow(self.http, links_in(mail)[0])
        await until("the registration's mail", lambda: self._mail_to("petra@neighbours.example", 2))
        self.say("three meetings published, one neighbour registered by double opt-in")

    async def settle(self) -> None:
        """Wait until nothing is on its way any more, and count."""
        await until("all mails have arrived", lambda: self._mails_are(MAILS))
        await until("all streams are read", self.no_lag)
        await asyncio.sleep(1.0)  # a doubled mail would come now
        enrolments = (await self.known["bildungsverein"].get("courses", f"/runs/{self.run_id}/enrolments"))["items"]
        states = Counter(one["state"] for one in enrolments)
        mails = self.platform.mails()
        told_apart = {(mail.recipient, str(mail.message["Subject"])) for mail in mails}
        parked = [row for place in self.platform.places() for row in await asyncio.to_thread(_parked, place)]
        self.figures |= {
            "seats_taken": states["enrolled"],
            "oversold": max(0, states["enrolled"] + states["offered"] - SEATS),
            "waiting": states["waiting"],
            "offers_made": sum(len(links_in(mail)) == OFFER_LINKS for mail in mails),
            "offers_expired": states["expired"],
            "mails_sent": len(mails),
            "mails_doubled": len(mails) - len(told_apart),
            "parked": sum(row["messages"] for row in parked),
        }

    async def _ready(self, url: str) -> bool | None:
        try:
            return (await self.http.get(f"{url}/health/ready")).status_code == 200 or None
        except httpx.TransportError:
            return None

    async def _opens(self, one: Institution, service: str) -> bool | None:
        return await one.may_write(service) or None

    async def _upload(self, one: Institution, file: Path, *, preview: bool) -> Any:
        content = {"file": (file.name, await asyncio.to_thread(file.read_bytes), "application/xml")}
        return await one.post("courses", "/imports", files=content, params={"preview": str(preview).lower()})

    async def _seen_elsewhere(self, wanted: int) -> int | None:
        """Count what the network's picture has of VHS Hannover: it is filled from the streams alone."""
        seen, after = 0, ""
        while True:
            params = {"institution": "vhs-hannover", "limit": "200", "after": after}
            page = (await self.http.get(f"{self.known['kargah'].urls['courses']}/runs", params=params)).json()
            seen += len(page["items"])
            if not (after := page["next"] or ""):
                return seen if seen >= wanted else None

    async def published_run(self, house: Institution, title: str, seats: int, *, minimum: int) -> str:
        starts = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=30)
        offer = await house.post("courses", "/offers", {"title": title, "kind": "deufoev_basis", "ue": 400})
        sessions = [
            {
                "starts": (starts + timedelta(days=day)).isoformat(),
                "ends": (starts + timedelta(days=day, hours=4)).isoformat(),
            }
            for day in range(5)
        ]
        body = {
            "offer_id": offer["offer_id"],
            "number": f"2027-{next(self.numbers):02}",
            "sessions": sessions,
            "place": {
                "name": "Haus der Bildung",
                "room": "2.07",
                "street": "Wilhelm-Bluhm-Straße 12",
                "town": "Hannover",
            },
            "capacity": seats,
            "minimum": minimum,
        }
        run = await house.post("courses", "/runs", body)
        run_id = str(run["run"]["run_id"] if "run" in run else run["run_id"])
        await house.post("courses", f"/runs/{run_id}/publish")
        return run_id

    async def _participant(self, house: Institution, person: Person) -> str:
        body = {"name": person.name, "mail": person.mail, "language": person.language, "contact_consent": True}
        return str((await house.post("courses", "/participants", body))["participant_id"])

    async def _ask(self, house: Institution, run_id: str, participant_id: str) -> dict[str, Any]:
        body = {"participant_id": participant_id}
        asked: dict[str, Any] = await house.post("courses", f"/runs/{run_id}/enrolments", body)
        return asked

    async def _offered_people(self, seen: set[str], count: int) -> list[str]:
        async def look() -> list[str] | None:
            path = f"/runs/{self.run_id}/enrolments"
            found = (await self.known["bildungsverein"].get("courses", path))["items"]
            offered = [one for one in found if one["state"] == "offered" and one["participant_id"] not in seen]
            return [one["participant_id"] for one in offered] if len(offered) >= count else None

        return await until("a freed seat is offered to the next", look)

    async def _press(self, participant_id: str, *, mail: int, link: int) -> None:
        """Have a person press a link of their n-th mail."""
        address = self.persons[participant_id].mail
        letter = await until(f"mail {mail}", lambda: self._mail_to(address, mail))
        await follow(self.http, links_in(letter)[link])

    async def _mail_to(self, address: str, number: int) -> CaughtMail | None:
        found = [mail for mail in await asyncio.to_thread(self.platform.mails) if mail.recipient == address]
        return found[number - 1] if len(found) >= number else None

    async def _mails_are(self, count: int) -> bool | None:
        return len(await asyncio.to_thread(self.platform.mails)) >= count or None

    async def _meetings_seen(self) -> bool | None:
        for place in self.platform.places():
            page = (await self.http.get(f"{place.urls['events']}/meetings")).json()
            if len(page["items"]) < 3:
                return None
        return True

    async def no_lag(self) -> bool | None:
        for url in (url for place in self.platform.places() for url in place.urls.values()):
            report = (await self.http.get(f"{url}/health/ready")).json()
            if not report["ready"] or any(report["streams"].values()):
                return None
        return True


def _parked(place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(place.album("parked", "list", "--json"))
    return found
