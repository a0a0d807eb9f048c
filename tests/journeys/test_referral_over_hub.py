"""A person is referred from one node to another over a real hub: what each side learns, and what nobody else does."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis

from deploy.demo.hands import follow, links_in, until
from deploy.demo.platform import CaughtMail
from shared.contract.referrals import ReferralField
from shared.kit.node import node_key
from shared.kit.settings import Settings
from shared.network.receipts import receipt_is_genuine, said_by_receipt
from tests.journeys.canaries import (
    all_of,
    backup_of,
    canaries_of,
    emptied_log,
    file_of,
    found_in,
    raw_files,
    redis_from,
    redis_now,
    rows_of,
)
from tests.journeys.network_house import House, HouseNode, running_house

SENDER, RECEIVER = "kargah", "vhs-nord"
ACCEPTS, DECLINES, RECALLED = 1, 2, 3
ACCEPT, DECLINE = 0, 1
PURPOSE = "Platz im Berufssprachkurs"
FIELDS = tuple(str(each) for each in ReferralField)


@dataclass
class Side:
    """An institution on its own node, and its key."""

    slug: str
    node: HouseNode
    key: str
    http: httpx.AsyncClient

    @property
    def headers(self) -> dict[str, str]:
        """Give what opens its services."""
        return {"Authorization": f"Bearer {self.key}"}

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed."""
        url = f"{self.node.urls['courses']}/institutions/{self.slug}/{path}"
        answer = await self.http.request(method, url, json=body, headers=self.headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def becomes(self, referral_id: str, *states: str) -> dict[str, Any]:
        """Wait until this side sees a state of a referral."""

        async def look() -> dict[str, Any] | None:
            page = await self.ask("GET", "referrals")
            found: list[dict[str, Any]] = [one for one in page["items"] if one["referral_id"] == referral_id]
            return found[0] if found and found[0]["state"] in states else None

        return await until(f"{self.slug} sees {states}", look, patience=60)


@dataclass
class Lived:
    """What happened, for each test to look at."""

    house: House
    sender: Side
    receiver: Side
    referrals: dict[int, str] = field(default_factory=dict)
    people: dict[int, str] = field(default_factory=dict)
    held: dict[int, dict[str, Any]] = field(default_factory=dict)
    mails: dict[int, CaughtMail] = field(default_factory=dict)
    ended: dict[int, tuple[str, str]] = field(default_factory=dict)
    scans: dict[str, set[str]] = field(default_factory=dict)
    erased: dict[int, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)
    sealed_left: bool = True

    @property
    def nodes(self) -> list[HouseNode]:
        """Give all three nodes."""
        return [self.house.office, self.sender.node, self.receiver.node]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Live through it all: three people referred, one accepts, one declines, one is recalled; then erasure."""
    with running_house(tmp_path_factory.mktemp("referral")) as house:
        sender, receiver = house.node(SENDER), house.node(RECEIVER)
        for node, services in ((sender, ("members", "courses")), (receiver, ("members", "courses", "notifications"))):
            for service in services:
                node.start_service(service)
        house.make_active(SENDER)
        house.make_active(RECEIVER)
        yield asyncio.run(_live(house, sender, receiver))


async def _live(house: House, sender: HouseNode, receiver: HouseNode) -> Lived:
    async with httpx.AsyncClient(timeout=30) as http:
        sides = [await _side(node, http) for node in (sender, receiver)]
        story = Lived(house, sides[0], sides[1])
        await _refer(story)
        await _hold(story)
        await _end(story)
        await _scan_backups(story)
        await _erase(story)
        await _scan_everything(story)
        return story


async def _side(node: HouseNode, http: httpx.AsyncClient) -> Side:
    """Issue a key as soon as the node has heard of its institution, and wait until its courses takes it."""

    async def issued() -> str | None:
        words = ("keys", "issue", "--institution", node.slug, "--scope", "read", "--scope", "write", "--json")
        with suppress(RuntimeError):
            return str(json.loads(node.album(*words).strip().splitlines()[-1])["key"])
        return None

    side = Side(node.slug, node, await until(f"{node.slug} is known to its node", issued, patience=60), http)

    async def opens() -> bool | None:
        with suppress(httpx.TransportError):
            url, headers = f"{node.urls['courses']}/institutions/{side.slug}/key", side.headers
            answer = await http.get(url, headers=headers)
            return (answer.is_success and bool(answer.json()["may_write"])) or None
        return None

    await until(f"the key of {node.slug} opens courses", opens, patience=60)
    return side


async def _refer(story: Lived) -> None:
    """Have the receiver publish a run, and the sender refer three people to it with their consent."""
    run_id = await _published_run(story.receiver)
    url = f"{story.sender.node.urls['courses']}/runs/{run_id}"

    async def seen() -> bool | None:
        return (await story.sender.http.get(url)).is_success or None

    await until("the sender sees the run", seen, patience=60)
    today = datetime.now(UTC).date()
    consent = {
        "sender": SENDER,
        "receiver": RECEIVER,
        "fields": FIELDS,
        "purpose": PURPOSE,
        "given_on": str(today - timedelta(days=1)),
        "expires_on": str(today + timedelta(days=40)),
        "text": "Ich bin einverstanden, dass kargah diese Angaben an die VHS Nord gibt.",
        "version": "2026-11",
    }
    for number in (ACCEPTS, DECLINES, RECALLED):
        person = await story.sender.ask("POST", "participants", file_of(number))
        story.people[number] = person["participant_id"]
        body = {"participant_id": person["participant_id"], "to": RECEIVER, "run_id": run_id, "consent": consent}
        story.referrals[number] = (await story.sender.ask("POST", "referrals", body))["referral_id"]


async def _published_run(side: Side) -> str:
    offer = await side.ask("POST", "offers", {"title": "Berufssprachkurs B2", "kind": "deufoev_basis"})
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    session = {"starts": start.isoformat(), "ends": (start + timedelta(hours=3)).isoformat()}
    plan = {"offer_id": offer["offer_id"], "number": "27-1", "capacity": 3, "sessions": [session]}
    run_id = str((await side.ask("POST", "runs", plan))["run_id"])
    await side.ask("POST", f"runs/{run_id}/publish")
    return run_id


async def _hold(story: Lived) -> None:
    """Wait until three seats are held and three mails are there; then look for canaries where they may be."""
    for number, referral_id in story.referrals.items():
        story.held[number] = await story.receiver.becomes(referral_id, "seat_held")
        address = canaries_of(number)["mail"]

        async def arrived(address: str = address) -> CaughtMail | None:
            return next((mail for mail in story.receiver.node.mails() if mail.recipient == address), None)

        story.mails[number] = await until(f"the mail to {number}", arrived, patience=60)
    there = story.receiver.node
    story.scans["the receiver's database, seats held"] = found_in(rows_of(there.folder / "courses.db"))
    with Redis.from_url(there.redis.url) as redis:
        story.scans["the receiver's Redis, seats held"] = found_in(redis_now(redis))


async def _end(story: Lived) -> None:
    """One accepts and one declines, both by a link of their mail; one is recalled by the sender."""
    await follow(story.sender.http, links_in(story.mails[ACCEPTS])[ACCEPT])
    await follow(story.sender.http, links_in(story.mails[DECLINES])[DECLINE])
    await story.sender.ask("POST", f"referrals/{story.referrals[RECALLED]}/recall")
    ends = {ACCEPTS: "accepted", DECLINES: "declined", RECALLED: "recalled"}
    for number, state in ends.items():
        both = [await side.becomes(story.referrals[number], state) for side in (story.sender, story.receiver)]
        story.ended[number] = (both[0]["state"], both[1]["state"])

    async def forgotten() -> bool | None:
        """Whoever did not accept is forgotten by the receiver's courses and, after the last mail, by notifications."""
        rows = b"".join(rows_of(story.receiver.node.folder / f"{name}.db") for name in ("courses", "notifications"))
        return not found_in(rows, (DECLINES, RECALLED)) or None

    await until("who did not accept is forgotten", forgotten, patience=60)


async def _scan_backups(story: Lived) -> None:
    """Back up the sender's database now that all has ended: files of its own participants, and facts beside them."""
    node = story.sender.node
    copy = backup_of(node.folder / "courses.db", node.folder / "backup.sqlite")
    files = {"participant": "1", "outbox": "stream LIKE 'album:1:own:%'"}
    story.scans["the sender's backup"] = found_in(rows_of(copy))
    story.scans["the sender's backup, but its own files"] = found_in(rows_of(copy, but=files))
    story.sealed_left = b'"sealed"' in rows_of(copy)


async def _erase(story: Lived) -> None:
    """Erase all three at the sender's; the other node erases, too, and signs that."""
    for person in story.people.values():
        await story.sender.ask("DELETE", f"participants/{person}")

    async def verified(referral_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] = await story.sender.ask("GET", f"referrals/{referral_id}")
        return found if found["erasure"] == "done" else None

    for number, referral_id in story.referrals.items():
        story.erased[number] = await until("a receipt is verified", partial(verified, referral_id), patience=60)

    async def gone() -> bool | None:
        return not any(found_in(rows_of(path)) for path in _databases(story)) or None

    await until("nobody's database holds the three", gone, patience=60)


def _databases(story: Lived) -> list[Path]:
    return [path for node in (story.sender.node, story.receiver.node) for path in sorted(node.folder.glob("*.db"))]


async def _scan_everything(story: Lived) -> None:
    """Look at every place where something of them may have been left on the way."""
    for path in _databases(story):
        emptied_log(path)
    hub, third = story.house.folder / "hub", story.house.office
    places = {
        "the hub's files": raw_files(hub, "server/data/appendonlydir/*"),
        "the hub's keys": redis_from(hub / "server" / "data", story.house.folder / "opened"),
        "the third node's databases": raw_files(third.folder, "*.db", "*.db-wal"),
        "the third node's Redis files": raw_files(third.folder, "redis/appendonlydir/*"),
        "the sender's databases": raw_files(story.sender.node.folder, "*.db", "*.db-wal"),
        "the receiver's databases": raw_files(story.receiver.node.folder, "*.db", "*.db-wal"),
        "the logs": raw_files(story.house.folder, "*/*.log", "*/redis/*.log"),
        "the figures": await _figures(story),
    }
    for node in (third, story.sender.node, story.receiver.node):
        with Redis.from_url(node.redis.url) as redis:
            places[f"the Redis of {node.slug}"] = redis_now(redis)
    story.places = places
    story.scans |= {name: found_in(haystack) for name, haystack in places.items()}
    files = raw_files(story.receiver.node.folder, "redis/appendonlydir/*")
    story.scans["the receiver's Redis files"] = found_in(files)


async def _figures(story: Lived) -> bytes:
    pages = []
    for node in story.nodes:
        for service in node.processes:
            for page in ("metrics", "health/ready"):
                pages.append((await story.sender.http.get(f"{node.urls[service]}/{page}")).content)
    return b"\n".join(pages)


def test_the_person_reads_who_referred_them_and_accepts_by_the_link(lived: Lived) -> None:
    """The mail leaves the receiving institution's node; both sides see the acceptance, the sender only that."""
    text = lived.mails[ACCEPTS].message.get_body(("plain",))
    assert text is not None
    assert "KARGAH" in text.get_content()
    assert lived.mails[ACCEPTS].recipient == canaries_of(ACCEPTS)["mail"]
    assert lived.sender.node.mails() == []
    assert lived.ended[ACCEPTS] == ("accepted", "accepted")
    seen = lived.erased[ACCEPTS]
    assert (seen["purpose"], sorted(seen["fields"]), seen["enrolment_id"]) == (PURPOSE, sorted(FIELDS), None)
    assert lived.held[ACCEPTS]["expires_on"] == seen["expires_on"]


def test_declined_and_recalled_are_known_on_both_sides(lived: Lived) -> None:
    """Who says no by the link, and whom the sender takes back."""
    assert lived.ended[DECLINES] == ("declined", "declined")
    assert lived.ended[RECALLED] == ("recalled", "recalled")


def test_the_search_finds_what_the_receiver_holds(lived: Lived) -> None:
    """The control: while the seats are held, all canaries are in the receiver's database, and contacts in Redis."""
    assert lived.scans["the receiver's database, seats held"] == all_of((ACCEPTS, DECLINES, RECALLED))
    contacts = {f"{name} {number}" for name in ("name", "mail") for number in lived.people}
    assert lived.scans["the receiver's Redis, seats held"] == contacts
    assert lived.scans["the receiver's Redis files"] == contacts


def test_of_what_was_told_the_sender_keeps_only_the_fact(lived: Lived) -> None:
    """A backup has the files of its own participants, as before; nothing of them in what it told, nothing sealed."""
    assert lived.scans["the sender's backup"] == all_of((ACCEPTS, DECLINES, RECALLED))
    assert lived.scans["the sender's backup, but its own files"] == set()
    assert not lived.sealed_left


def test_erasure_reaches_the_other_node_which_signs_it(lived: Lived) -> None:
    """The sender verified each receipt with the key that its members told it; so can anybody who holds the roster."""
    assert lived.erased[ACCEPTS]["receipt"]["what"] == ["key", "link", "seat", "file", "messages"]
    for number, referral in lived.erased.items():
        receipt = referral["receipt"]
        assert (receipt["signed_by"], receipt["verified"]) == ("institution", True)
        public = _key_of_receiver(lived, receipt["kid"])
        at = datetime.fromisoformat(receipt["at"])
        said = said_by_receipt(lived.referrals[number], RECEIVER, SENDER, receipt["what"], at)
        assert receipt_is_genuine(public, said, bytes.fromhex(receipt["signature"]))
        other = said_by_receipt(lived.referrals[number], RECEIVER, SENDER, [*receipt["what"], "seat"], at)
        assert not receipt_is_genuine(public, other, bytes.fromhex(receipt["signature"]))


def _key_of_receiver(lived: Lived, kid: str) -> bytes:
    """Ask the members of the third node, with that node's own key, as one of its services would."""
    node = lived.house.office
    key = node_key(Settings(secret=SecretStr(node.environment["ALBUM_SECRET"])))
    url = f"{node.urls['members']}/hub/key"
    answer = httpx.get(url, params={"institution": RECEIVER, "kid": kid}, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == httpx.codes.OK
    return bytes.fromhex(answer.json()["ed25519"])


def test_nobody_else_ever_had_a_word_of_it(lived: Lived) -> None:
    """No canary on the hub, on a third node, in a log or a figure; after the erasure none on the two nodes either."""
    assert b"album:1:box:{vhs-nord}:kargah" in lived.places["the hub's keys"]
    assert b"XADD" in lived.places["the hub's files"]
    assert b"link_leads" in lived.places["the logs"]
    assert b"album_link_sent" in lived.places["the figures"]
    assert b"album_office_failures 0.0" in lived.places["the figures"]
    assert {name: lived.scans[name] for name in lived.places if lived.scans[name]} == {}
