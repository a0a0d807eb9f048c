"""Judges what a soak leaves: the ledger against SQL, SQL against the copies, the streams, the feeds and the mails."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis

from deploy.demo.platform import SERVICES, CaughtMail
from deploy.load.ledger import Ledger, Thing

PAGE = 1000


@dataclass
class Verdict:
    """What was lost and what was doubled, each with the first few examples, and figures beside."""

    lost: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing is lost and nothing doubled."""
        return not self.lost and not self.doubled

    def miss(self, what: str, which: str) -> None:
        """Note something that should be there and is not."""
        self.lost[what] += 1
        self._example(f"lost: {what}: {which}")

    def twice(self, what: str, which: str) -> None:
        """Note something that is there more than once."""
        self.doubled[what] += 1
        self._example(f"doubled: {what}: {which}")

    def same(self, what: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Note every key whose value is not as wanted."""
        for key, value in wanted.items():
            if found.get(key) != value:
                self.miss(what, f"{key}: {value!r} is wanted, {found.get(key)!r} is there")

    def once(self, what: str, wanted: Sequence[str], seen: Counter[str]) -> None:
        """Note what of the wanted was not seen, and whatever was seen twice."""
        for one in wanted:
            if one not in seen:
                self.miss(what, one)
        for one, times in seen.items():
            if times > 1:
                self.twice(what, f"{one} ({times} times)")

    def _example(self, text: str) -> None:
        if len(self.examples) < 20:
            self.examples.append(text)


class Tables:
    """The databases of a node, opened to be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, service: str, statement: str, *values: Any) -> list[Any]:
        """Give the rows of a statement."""
        with closing(sqlite3.connect(f"file:{self._folder}/{service}.db?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()


def judge(
    ledger: Ledger,
    tables: Tables,
    redis_url: str,
    feeds: Mapping[str, Counter[str]],
    told_before: Mapping[str, int],
) -> Verdict:
    """Judge everything but the mails; the node must have settled and nobody may write any more.

    `told_before` says how many public messages each service had told when the feeds began to be followed.
    """
    verdict = Verdict()
    _judge_source(verdict, ledger, tables)
    _judge_copies(verdict, tables)
    _judge_versions(verdict, tables)
    with redis.Redis.from_url(redis_url) as client:
        _judge_streams(verdict, tables, client)
    for service, seen in feeds.items():
        _judge_feed(verdict, service, tables, seen, told_before.get(service, 0))
    return verdict


def _judge_source(verdict: Verdict, ledger: Ledger, tables: Tables) -> None:
    """Compare what was acknowledged with what the owner's tables hold."""
    runs = tables.rows("courses", "SELECT number, id, description FROM run")
    meetings = tables.rows("events", "SELECT title, id, description FROM meeting")
    for what, known, rows in (("run", ledger.runs, runs), ("meeting", ledger.meetings, meetings)):
        verdict.once(f"{what} in the source", list(known), Counter(str(row[0]) for row in rows))
        verdict.same(f"{what} as acknowledged", _said(known), {row[0]: (row[1], row[2] or "") for row in rows})
    people = tables.rows(
        "courses", "SELECT p.mail, e.id FROM enrolment e JOIN participant p ON p.id = e.participant_id"
    )
    verdict.once("enrolment", list(ledger.people), Counter(str(row[0]) for row in people))
    verdict.same("enrolment as acknowledged", ledger.people, dict(people))


def _said(known: Mapping[str, Thing]) -> dict[str, tuple[str, str]]:
    return {name: (thing.id, thing.said) for name, thing in known.items()}


def _judge_copies(verdict: Verdict, tables: Tables) -> None:
    """Compare the newest message of every thing with the copies that the network keeps of it."""
    copies = {
        "courses": ("run", "run_id", "network_run"),
        "events": ("meeting", "meeting_id", "network_meeting"),
    }
    for service, (thing, column, table) in copies.items():
        source = f"SELECT id, version, description FROM {thing} WHERE state != 'draft'"  # noqa: S608 - names of our own tables
        told = {id_: (v, d) for id_, v, d in tables.rows(service, source)}
        rows = tables.rows(service, f"SELECT {column}, version, json_extract(picture, '$.description') FROM {table}")  # noqa: S608 - names of our own tables
        verdict.same(f"{thing} in the network's copy", told, {id_: (v, d) for id_, v, d in rows})
        verdict.figures[f"{thing}s"] = len(told)
    [members] = [dict(tables.rows("members", "SELECT slug, version FROM institution_known"))]
    for service in SERVICES:
        known = dict(tables.rows(service, "SELECT slug, version FROM institution_known"))
        verdict.same(f"institution at {service}", members, known)
    people = {
        row[0] for row in tables.rows("courses", "SELECT key FROM outbox WHERE type LIKE 'courses.participant.%'")
    }
    contacts = {row[0]: True for row in tables.rows("notifications", "SELECT participant_id FROM contact")}
    verdict.same("contact at notifications", dict.fromkeys(people, True), contacts)


def _told(tables: Tables, service: str) -> Iterator[tuple[str, str, str, int, int | None, bytes]]:
    statement = "SELECT stream, key, type, epoch, seq, payload FROM outbox ORDER BY stream, epoch, seq"
    yield from tables.rows(service, statement)


def _judge_versions(verdict: Verdict, tables: Tables) -> None:
    """Every thing's versions grow with each message by one: none is missing, none was told twice."""
    total = 0
    for service in SERVICES:
        last: dict[tuple[str, str, str], int] = {}
        for stream, key, type_word, epoch, seq, payload in _told(tables, service):
            total += 1
            if seq is None:
                verdict.miss("message with a position", f"{service}: {type_word} of {key}")
                continue
            if not stream.startswith("album:1:pub:"):
                continue
            version = int(json.loads(payload)["data"]["version"])
            thing = (stream, type_word.rsplit(".", 2)[0], key)
            if version <= last.get(thing, 0):
                verdict.twice("version of a thing", f"{key}: {version} at {stream} {epoch}-{seq}")
            last[thing] = version
    verdict.figures["messages"] = total


def _judge_streams(verdict: Verdict, tables: Tables, client: "redis.Redis") -> None:
    """Compare the log in SQL with what lies in Redis: the same ids with the same bytes, and nothing else."""
    entries = 0
    for service in SERVICES:
        logs: dict[str, dict[str, bytes]] = {}
        for stream, _, _, epoch, seq, payload in _told(tables, service):
            if seq is not None:
                logs.setdefault(stream, {})[f"{epoch}-{seq}"] = payload
        for stream, wanted in logs.items():
            found = _entries(client, stream)
            entries += len(found)
            verdict.same(f"entry of {stream}", wanted, found)
            for id_ in found.keys() - wanted.keys():
                verdict.twice(f"entry of {stream}", f"{id_} is not in the log")
    verdict.figures["entries_in_redis"] = entries


def _entries(client: "redis.Redis", stream: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    after = "-"
    while rows := cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(stream, min=after, count=PAGE)):
        found |= {id_.decode(): fields[b"p"] for id_, fields in rows}
        after = f"({rows[-1][0].decode()}"
    return found


def _judge_feed(verdict: Verdict, service: str, tables: Tables, seen: Counter[str], before: int) -> None:
    """Whoever followed the feed from the beginning has every public message once."""
    statement = "SELECT payload FROM outbox WHERE stream LIKE 'album:1:pub:%' ORDER BY id"
    wanted = [str(json.loads(row[0])["id"]) for row in tables.rows(service, statement)]
    verdict.once(f"message in the feed of {service}", wanted[before:], seen)
    verdict.figures[f"feed_{service}"] = sum(seen.values())


def judge_mails(verdict: Verdict, ledger: Ledger, tables: Tables, mails: Sequence[CaughtMail]) -> None:
    """Each enrolled person has one mail; what nobody knows after a kill in mid-sending is listed, never sent twice."""
    rows = tables.rows("notifications", "SELECT address, state, kind, id, business_key FROM delivery")
    verdict.figures["deliveries"] = dict(Counter(f"{row[2]} {row[1]}" for row in rows))
    uncertain = sum(row[1] == "uncertain" for row in rows)
    seen = Counter(mail.recipient for mail in mails)
    missing = [address for address in ledger.people if address not in seen]
    verdict.figures |= {"mails": sum(seen.values()), "mails_uncertain": uncertain, "mails_not_arrived": len(missing)}
    for address in missing[uncertain:]:
        verdict.miss("mail", address)
    for address, times in seen.items():
        if address in ledger.people and times > 1:
            verdict.twice("mail", f"{address} ({times} times)")
    planned = Counter(str(row[4]) for row in rows)
    verdict.once("delivery", [], planned)
    if len([row for row in rows if row[2] == "enrolled"]) < len(ledger.people):
        verdict.miss("delivery", "fewer deliveries than people")
