"""What must be true when all is healed: equal tables, nothing acknowledged lost, streams without gap or double."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis

from deploy.chaos.place import Hurt
from deploy.chaos.writer import Ledger
from shared.contract.envelope import open_envelope
from shared.kit.streams import Position
from shared.network.identity import Identity

PICTURES = {
    "run": ("courses", "/runs"),
    "meeting": ("events", "/meetings"),
    "institution": ("members", "/institutions"),
}
PUB = ("members", "courses", "events")
WHEN = "seen_at"

Picture = dict[str, dict[str, Any]]


@dataclass
class Verdict:
    """What was found; each list names what is wrong."""

    lost: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    hub_faults: list[str] = field(default_factory=list)
    parked: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Count what is wrong, by kind."""
        return {name: len(found) for name, found in vars(self).items()}

    @property
    def words(self) -> list[str]:
        """Say what is wrong."""
        return [f"{name}: {one}" for name, found in vars(self).items() for one in found]


def picture_of(node: Hurt) -> Picture:
    """Give every run, meeting and institution as a node sees it, without the moment when it heard of it."""
    found: Picture = {}
    with httpx.Client(timeout=20) as http:
        for kind, (service, path) in PICTURES.items():
            for one in _items(http, f"{node.urls[service]}{path}"):
                one.pop(WHEN, None)
                inner = one.get(kind, one)
                found[str(inner.get(f"{kind}_id") or inner["slug"])] = one
    return found


def _items(http: httpx.Client, url: str) -> Iterable[dict[str, Any]]:
    after = ""
    while True:
        answer = http.get(url, params={"limit": "200", **({"after": after} if after else {})})
        answer.raise_for_status()
        page = answer.json()
        yield from page["items"]
        if not (after := page["next"] or ""):
            return


def is_quiet(nodes: list[Hurt]) -> bool:
    """Tell whether every service is ready and has read all that its Redis holds."""
    for node in nodes:
        for url in node.urls.values():
            report = httpx.get(f"{url}/health/ready", timeout=20).json()
            if not report["ready"] or any(report["streams"].values()):
                return False
    return True


def compare(pictures: dict[str, Picture], ledger: Ledger, verdict: Verdict) -> None:
    """Compare all nodes with each other, and each with what institutions were told is done."""
    for slug, seen in pictures.items():
        for id_, (kind, version, title) in ledger.told.items():
            one = seen.get(id_)
            if one is None:
                verdict.lost.append(f"{slug} lacks the {kind} {id_}, version {version}")
            elif kind != "institution" and (wrong := _behind(one, kind, version, title, ledger.open[id_])):
                verdict.lost.append(f"{slug}: {id_} {wrong}")
    first, *others = pictures.items()
    for slug, seen in others:
        for id_ in sorted(first[1].keys() | seen.keys()):
            if first[1].get(id_) != seen.get(id_):
                verdict.unequal.append(f"{id_}: {first[0]} and {slug} see different things")


def _behind(one: dict[str, Any], kind: str, version: int, title: str, unanswered: int) -> str:
    is_at = one["version"]
    if is_at < version:
        return f"is at version {is_at}, acknowledged was {version}"
    if is_at == version and one.get(kind, one)["title"] != title:
        return f"has at version {version} another title than was acknowledged"
    if is_at > version + unanswered:
        return f"is at version {is_at}; {version} was acknowledged, and {unanswered} commands had no answer"
    return ""


def look_at_streams(nodes: dict[str, Hurt], office: Hurt, verdict: Verdict) -> dict[str, str]:
    """Compare every public stream on the hub with each node's Redis; gives where each ends."""
    assert office.hub is not None  # noqa: S101 - a node of a network
    identity = Identity.load(office.identities / f"{office.slug}.json")
    hub = redis.Redis(port=office.hub.port, username=identity.slug, password=identity.password, driver_info=None)
    inside = {slug: redis.Redis.from_url(node.redis_url) for slug, node in nodes.items()}
    ends = {}
    for owner in nodes:
        for service in PUB:
            stream = f"album:1:pub:{{{owner}}}:{service}"
            on_hub = _entries(hub, stream)
            _look_at("hub", stream, on_hub, verdict)
            for slug, client in inside.items():
                found = _entries(client, stream)
                _look_at(slug, stream, found, verdict)
                # Who lost its Redis may have taken the state first: then its copy of the stream begins later.
                if found != on_hub[len(on_hub) - len(found) :]:
                    verdict.gaps.append(f"{stream}: {slug} does not hold what the hub holds")
            if on_hub:
                ends[stream] = str(on_hub[-1][0])
    for client in (hub, *inside.values()):
        client.close()
    return ends


def _entries(client: Any, stream: str) -> list[tuple[Position, bytes]]:
    return [(Position.parse(id_), fields[b"p"]) for id_, fields in client.xrange(stream)]


def _look_at(where: str, stream: str, entries: list[tuple[Position, bytes]], verdict: Verdict) -> None:
    """Look for gaps, for messages that stand twice, and for versions that fall."""
    seen: dict[str, Position] = {}
    newest: dict[str, int] = {}
    before: Position | None = None
    for position, payload in entries:
        if before is not None and not position.follows(before):
            verdict.gaps.append(f"{where}: {stream}: {position} comes behind {before}")
        before = position
        envelope = open_envelope(payload)
        if envelope.id in seen:
            verdict.doubled.append(f"{where}: {stream}: {envelope.id} at {seen[envelope.id]} and {position}")
        seen[envelope.id] = position
        version = envelope.data.get("version", 0)
        if version < newest.get(envelope.subject, 0):
            verdict.doubled.append(f"{where}: {stream}: {envelope.subject} falls to {version} at {position}")
        newest[envelope.subject] = version


def look_at_borders(nodes: dict[str, Hurt], verdict: Verdict) -> None:
    """Check every signature and chain on the hub, and look for what is parked or waits in quarantine."""
    for slug, node in nodes.items():
        verified = json.loads(node.album("network", "verify", "--json"))
        verdict.hub_faults += [f"{slug}: {row['stream']}: {row['fault']}" for row in verified if row["fault"]]
        parked = json.loads(node.album("parked", "list", "--json"))
        verdict.parked += [f"{slug}: {row}" for row in parked]
        with sqlite3.connect(f"file:{node.folder}/members.db?mode=ro", uri=True) as members:
            rows = members.execute("SELECT stream, epoch, seq, code, reason FROM link_quarantine").fetchall()
        verdict.quarantined += [f"{slug}: {row}" for row in rows]
