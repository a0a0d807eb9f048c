"""Bad messages of every kind: how long the next good one waits, on the same stream and on others, and what is lost."""

import argparse
import asyncio
import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis

from deploy.load.bad_ground import Ground, standing
from deploy.load.bad_wares import KINDS, Kind, good, stream_of
from deploy.load.supervisor import Supervised
from shared.kit import tables
from shared.kit.database import Database
from shared.kit.redis_streams import connect

MOST_ATTEMPTS = 3
ALONG = 0.25
"""Seconds after which another good message comes on the other streams, as long as the bad one has no end."""
PATIENCE = 180.0
STARTING = 60.0
_LOOK = 0.005
_CONTACTS = sa.text("SELECT participant_id FROM contact")
_PARKED = sa.select(tables.parked.c.stream, tables.parked.c.seq, tables.parked.c.code)


@dataclass
class Sent:
    """A good message: where it was put, when, and when its effect was seen (seconds of the monotonic clock)."""

    stream: str
    seq: int
    at: float
    seen: float | None = None


@dataclass
class Round:
    """What one bad message did: the good one behind it, those on other streams, attempts, the code it waits under."""

    behind: Sent
    others: list[Sent]
    attempts: int = 0
    code: str | None = None
    innocent: list[str] = field(default_factory=list)

    def faults(self, kind: Kind) -> list[str]:
        """Give what must not be: a good message without effect or set aside, the bad one not, or tried too often."""
        missing = sum(one.seen is None for one in (self.behind, *self.others))
        found = [f"{missing} good messages have no effect"] if missing else []
        found += [f"a good message was set aside: {one}" for one in self.innocent]
        if self.code != kind.code:
            found.append(f"it waits under {self.code}, not {kind.code}")
        if self.attempts > MOST_ATTEMPTS:
            found.append(f"{self.attempts} attempts")
        return [f"{kind.name}: {one}" for one in found]


class Streams:
    """Three institutions of one kind's own: the one with the bad message, and others before and behind it by name."""

    def __init__(self, redis: Redis, kind: str) -> None:
        name = kind.replace("_", "-")
        self.bad, *self.others = (f"m-{name}", f"a-{name}", f"z-{name}")
        self._redis = redis
        self._heads: Counter[str] = Counter()
        self.sent: dict[str, Sent] = {}

    async def put(self, *entries: tuple[str, bytes | None]) -> list[Sent]:
        """Append entries in one go, good ones where no bytes are given."""
        put: list[Sent] = []
        async with self._redis.pipeline(transaction=False) as pipeline:
            for institution, payload in entries:
                self._heads[institution] += 1
                seq = self._heads[institution]
                person = f"participant_{institution.replace('-', '')}{seq:04}"
                stream = stream_of(institution)
                put.append(Sent(stream, seq, monotonic()))
                if payload is None:
                    self.sent[person] = put[-1]
                written = payload or good(institution, person)
                pipeline.xadd(stream, {"p": written, "h": bytes(32)}, id=f"1-{seq}")
            await pipeline.execute()
        return put


class Watch:
    """Looks at what is committed, again and again, and notes when the effect of each good message was first seen."""

    def __init__(self, database: Database, streams: Streams) -> None:
        self._database = database
        self._streams = streams
        self.parked: dict[tuple[str, int], str] = {}

    async def look(self) -> None:
        """Look once."""
        async with self._database.reading() as connection:
            people = set((await connection.execute(_CONTACTS)).scalars())
            self.parked = {(row.stream, row.seq): row.code for row in await connection.execute(_PARKED)}
        now = monotonic()
        for person in people & self._streams.sent.keys():
            sent = self._streams.sent[person]
            sent.seen = sent.seen or now

    def has_ended(self, sent: Sent) -> bool:
        """Tell whether a good message had its effect, or was set aside though it is good."""
        return sent.seen is not None or (sent.stream, sent.seq) in self.parked

    async def until(self, done: Callable[[], bool], patience: float) -> bool:
        """Look until it is so; False where patience is over."""
        end = monotonic() + patience
        while monotonic() < end:
            await self.look()
            if done():
                return True
            await asyncio.sleep(_LOOK)
        return False


async def measure_kind(ground: Ground, kind: Kind, rounds: int, patience: float = PATIENCE) -> dict[str, Any]:
    """Give what some bad messages of one kind did, one after the other, with the worst of each figure."""
    database, redis = Database(ground.database), connect(ground.redis)
    streams = Streams(redis, kind.name)
    watch = Watch(database, streams)
    process = ground.process(kind.name)
    try:
        await _take_part(database, [streams.bad, *streams.others])
        async with process.running():
            first = await streams.put(*((one, None) for one in (streams.bad, *streams.others)))
            if not await watch.until(lambda: all(one.seen for one in first), STARTING):
                raise SystemExit(f"notifications does not read: see {process.log}")
            begun = len(process.lives)
            found = [await _round(kind, streams, watch, ground, patience) for _ in range(rounds)]
            return _worst(kind, found, process, len(process.lives) - begun)
    finally:
        await redis.aclose()
        await database.close()


async def _round(kind: Kind, streams: Streams, watch: Watch, ground: Ground, patience: float) -> Round:
    bad = kind.write(streams.bad, f"participant_bad{secrets.token_hex(4)}")
    others = [(one, None) for one in streams.others]
    poison, behind, *sent = await streams.put((streams.bad, bad), (streams.bad, None), *others)
    place = (poison.stream, poison.seq)
    round_ = Round(behind, sent)
    end = monotonic() + patience
    while not await watch.until(lambda: place in watch.parked, ALONG) and monotonic() < end:
        round_.others += await streams.put(*others)
    await watch.until(lambda: all(map(watch.has_ended, (behind, *round_.others))), end - monotonic() + STARTING)
    round_.code = watch.parked.get(place)
    mine = ((one.stream, one.seq) for one in (behind, *round_.others))
    round_.innocent = [f"{stream} {seq}" for stream, seq in mine if (stream, seq) in watch.parked]
    round_.attempts = ground.attempts(kind.name, f"{poison.stream} 1-{poison.seq}")
    return round_


def _worst(kind: Kind, rounds: list[Round], process: Supervised, restarts: int) -> dict[str, Any]:
    others = [one for each in rounds for one in each.others]
    behind = [each.behind for each in rounds]
    return {
        "kind": kind.name,
        "rounds": len(rounds),
        "same_ms": _most(_waited(one) for one in behind),
        "others_ms": _most(_waited(one) for one in others),
        "others": len(others),
        "restarts": restarts,
        "same_from_up_ms": _most(_since_up(one, process) for one in behind) if restarts else None,
        "others_from_up_ms": _most(_since_up(one, process) for one in others) if restarts else None,
        "attempts": max(each.attempts for each in rounds),
        "parked": sorted({str(each.code) for each in rounds}),
        "faults": [fault for each in rounds for fault in each.faults(kind)],
    }


def _most(seconds: Iterator[float | None]) -> float | None:
    found = [one for one in seconds if one is not None]
    return round(max(found) * 1000, 1) if found else None


def _waited(one: Sent) -> float | None:
    return None if one.seen is None else one.seen - one.at


def _since_up(one: Sent, process: Supervised) -> float | None:
    """Give how long it waited for the process in whose life it had its effect, from when that listened."""
    if one.seen is None or (life := process.life_at(one.seen)) is None:
        return None
    return max(0.0, one.seen - max(one.at, life.up or one.seen))


async def _take_part(database: Database, slugs: Sequence[str]) -> None:
    """Let notifications know these institutions and no other."""
    rows = [{"slug": slug, "name": slug, "state": "active", "version": 1} for slug in slugs]
    async with database.transaction() as connection:
        await connection.execute(sa.delete(tables.institution))
        await connection.execute(sa.insert(tables.institution), rows)


def measure(database: str, plan: Mapping[Kind, int], say: Callable[[str], None]) -> dict[str, Any]:
    """Give what each kind of bad message did on a kind of database, in so many rounds."""
    told: list[dict[str, Any]] = []
    with standing(database) as ground:
        for kind, rounds in plan.items():
            told.append(asyncio.run(measure_kind(ground, kind, rounds)))
            say(_line(database, told[-1]))
    return {"database": database, "kinds": told, "faults": [fault for one in told for fault in one["faults"]]}


def _line(database: str, one: dict[str, Any]) -> str:
    words = ("same_ms", "others_ms", "same_from_up_ms", "others_from_up_ms", "attempts", "restarts")
    figures = ", ".join(f"{word} {one[word]}" for word in words if one[word] is not None)
    return f"{database:<10} {one['kind']:<26} {figures}, parked {one['parked']} {' '.join(one['faults'])}".rstrip()


def main() -> None:
    """Run it and write `var/bad_messages.json`; ends with 1 where something is lost, set aside or tried too often."""
    parser = argparse.ArgumentParser(prog="bad_messages", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slow-rounds", type=int, default=1, help="of kinds that take two minutes each")
    every = ",".join(kind.name for kind in KINDS)
    parser.add_argument("--kinds", default=every, help=f"some of {every}; with commas")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--var", type=Path, default=Path("var"))
    said = parser.parse_args()
    wanted = [kind for kind in KINDS if kind.name in said.kinds.split(",")]
    plan = {kind: said.slow_rounds if kind.slow else said.rounds for kind in wanted}
    databases = ["sqlite", "postgresql"] if said.database == "both" else [said.database]
    say = _silent if said.json else _say
    told = [measure(one, plan, say) for one in databases]
    said.var.mkdir(exist_ok=True)
    (said.var / "bad_messages.json").write_text(json.dumps(told, indent=1), "utf-8")
    if said.json:
        _say(json.dumps(told))
    sys.exit(1 if any(one["faults"] for one in told) else 0)


def _silent(_: str) -> None:
    """Leave the output to the JSON."""


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command that tells what it does


if __name__ == "__main__":
    main()
