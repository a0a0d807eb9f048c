"""Rounds on one real server: its append-only file is cut or deleted while a relay publishes; SQL brings all back."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from deploy.chaos.place import cut_tail, wipe
from shared.contract import members
from shared.contract.words import InstitutionState
from shared.embedded.redis import RedisServer
from shared.kit import outbox
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.errors import Transient
from shared.kit.lease import Lease
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.relay import Relay
from shared.kit.settings import Settings
from shared.kit.streams import START, Entry
from shared.kit.tables import metadata
from shared.kit.work import Works

PUB, OWN = "album:1:pub:{office}:members", "album:1:own:{office}:members"
ATTEMPTS = 50
ALL = 1_000_000


@dataclass
class Refill:
    """A relay on a database and a server that loses things."""

    server: RedisServer
    database: Database
    works: Works[None]
    relay: Relay
    lease: Lease
    streams: RedisStreams
    random: Random
    told: int = 0
    cut_bytes: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"tail_cut": 0, "deleted": 0})

    async def tell(self, count: int) -> None:
        """Commit messages, public and own, about few things and in many versions."""
        async with self.works() as work:
            for _ in range(count):
                self.told += 1
                work.tell(_institution(self.told) if self.random.random() < 0.7 else _key(self.told))

    async def publish(self) -> None:
        """Publish until nothing waits, through failures of the server's line."""
        for _ in range(ATTEMPTS):
            try:
                await self.lease.hold()
                await self.relay.check()
                while await self.relay.step():
                    pass
            except Transient:
                continue
            return
        raise RuntimeError(f"the relay did not come through in {ATTEMPTS} attempts")

    async def harm(self) -> None:
        """Kill the server, cut or delete its file, have something told meanwhile, and start it."""
        self.server.kill()
        kind = self.random.choice(("tail_cut", "deleted"))
        self.counts[kind] += 1
        gone = cut_tail(self.server.folder, self.random.randint(1, 30_000)) if kind == "tail_cut" else 0
        gone = gone or wipe(self.server.folder)
        self.cut_bytes += gone
        await self.tell(self.random.randint(0, 20))
        self.server.start()

    async def lost(self) -> int:
        """Count what the log has and the server has not, or has otherwise, and the other way round."""
        wrong = 0
        for stream in (PUB, OWN):
            async with self.database.reading() as connection:
                ours = await _log(connection, stream)
                newest = await outbox.newest_by_key(connection, stream)
            there = await self.streams.read(stream, START, ALL)
            wrong += len(set(ours) ^ set(there)) + int(ours != there and set(ours) == set(there))
            if stream == PUB:
                state = await self.streams.state(stream)
                logged = {entry.position: entry for entry in ours}
                wrong += sum(state.get(key) != logged[entry.position] for key, entry in newest.items())
        return wrong


async def _log(connection: Any, stream: str) -> list[Entry]:
    found: list[Entry] = []
    while page := await outbox.log_after(connection, stream, found[-1].position if found else START):
        found += page
    return found


@asynccontextmanager
async def refilling(folder: Path, seed: int) -> AsyncIterator[Refill]:
    """Open a database, a server and a relay in a folder."""
    database = Database(f"sqlite+aiosqlite:///{folder}/refill.db")
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    clock, random = SystemClock(), Random(seed)
    works: Works[None] = Works(database, lambda _: None, clock, Ids(random, clock), Settings())
    lease = Lease("relay", "one", database, clock)
    with RedisServer(folder / "redis") as server:
        client = connect(server.url)
        streams = RedisStreams(client)
        yield Refill(server, database, works, Relay(database, streams, clock, random, lease), lease, streams, random)
        await client.aclose()
    await database.close()


async def rounds(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Harm the server so many times; gives what was told and what was lost."""
    began, lost = time.monotonic(), 0
    async with refilling(folder, seed) as one:
        for _ in range(count):
            await one.tell(one.random.randint(1, 60))
            await one.publish()
            await one.harm()
            await one.tell(one.random.randint(0, 10))
            await one.publish()
            lost += await one.lost()
        return {
            "server": str(one.server.origin),
            "rounds": count,
            **one.counts,
            "messages": one.told,
            "bytes_gone": one.cut_bytes,
            "lost": lost,
            "seconds": round(time.monotonic() - began, 1),
        }


async def refill_time(folder: Path, messages: int, seed: int) -> dict[str, Any]:
    """Delete the file under so many messages; gives the seconds until the server has them all again."""
    async with refilling(folder, seed) as one:
        await one.tell(messages)
        await one.publish()
        one.server.wipe()
        began = time.monotonic()
        await one.publish()
        seconds = round(time.monotonic() - began, 2)
        return {"messages": messages, "refill_seconds": seconds, "lost": await one.lost()}


def _institution(number: int) -> members.InstitutionChanged:
    picture = members.InstitutionPicture(slug=f"i{number % 40:02}-x", name="AWO", state=InstitutionState.ACTIVE)
    return members.InstitutionChanged(institution="office", version=number, picture=picture)


def _key(number: int) -> members.KeyIssued:
    return members.KeyIssued(
        institution="office", version=number, key_id=f"key_{number % 40:08d}", sha256="0" * 64, scopes=("read",)
    )
