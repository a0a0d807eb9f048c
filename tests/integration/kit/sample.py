"""A small sample service: it hears institutions (public) and keys (own), and keeps what it heard."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract import members
from shared.contract.envelope import Message
from shared.contract.words import InstitutionState
from shared.kit import tables
from shared.kit.clock import Clock
from shared.kit.database import Database
from shared.kit.hears import Hears
from shared.kit.lease import Lease
from shared.kit.memory_streams import MemoryStreams
from shared.kit.node import Service
from shared.kit.reader import Backfill, StreamReader
from shared.kit.relay import Relay
from shared.kit.streams import Entry, Position, Streams
from shared.kit.work import Work, Works

PUB = "album:1:pub:{office}:members"
OWN = "album:1:own:{office}:members"

metadata = sa.MetaData()
heard = sa.Table(
    "heard",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)


class SteadyClock(Clock):
    """A clock that moves only when it is told to, and sleeps in no time."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
        self.wrong = timedelta()
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Give the time of day that is believed: how wrong it is counts for nothing else."""
        return self.time + self.wrong

    def monotonic(self) -> float:
        """Give the seconds of the time that was set."""
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Note the wait, move on by it, and let others work."""
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0.001)


class SampleStore:
    """What the sample keeps."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def keep(self, message: Message) -> None:
        """Append what was heard; twice heard is twice kept, so that doubles are seen."""
        await self.connection.execute(sa.insert(heard).values(key=message.key, version=message.version))


async def no_log(stream: str, after: Position, count: int) -> list[Entry]:
    """Stand for a writer whose log has nothing."""
    return []


@dataclass
class Sample:
    """One service on one database, with relay and readers over given streams."""

    database: Database
    works: Works[SampleStore]
    clock: SteadyClock
    streams: Streams = field(default_factory=MemoryStreams)
    random: Random = field(default_factory=lambda: Random(7))

    def relay(self, holder: str = "one", streams: Streams | None = None) -> Relay:
        """Give a relay; hold its lease before the first step."""
        self.lease = Lease("relay", holder, self.database, self.clock)
        return Relay(self.database, streams or self.streams, self.clock, self.random, self.lease)

    def reader(self, stream: str, hears: Hears | None = None, backfill: Backfill = no_log) -> StreamReader:
        """Give a reader of a stream, by default one that keeps all it hears."""
        return StreamReader(stream, hears or keeps_all(), self.works, self.streams, backfill, self.clock, self.random)

    async def tell(self, *messages: Message) -> None:
        """Commit messages in one unit of work."""
        async with self.works() as work:
            work.tell(*messages)

    async def heard(self) -> list[tuple[str, int]]:
        """Give what was kept, in order."""
        async with self.database.reading() as connection:
            rows = await connection.execute(sa.select(heard.c.key, heard.c.version).order_by(heard.c.id))
            return [(row.key, row.version) for row in rows]

    async def parked(self) -> list[tuple[str, str, str]]:
        """Give key, code and state of all that was parked, in order."""
        async with self.database.reading() as connection:
            table = tables.parked
            rows = await connection.execute(sa.select(table.c.key, table.c.code, table.c.state).order_by(table.c.seq))
            return [(row.key, row.code, row.state) for row in rows]


def institution(slug: str = "awo", version: int = 1, name: str = "AWO") -> members.InstitutionChanged:
    """Give a public message about an institution."""
    picture = members.InstitutionPicture(slug=slug, name=name, state=InstitutionState.ACTIVE)
    return members.InstitutionChanged(institution="office", version=version, picture=picture)


def api_key(number: int, version: int = 1) -> members.KeyIssued:
    """Give a message of an own stream."""
    return members.KeyIssued(
        institution="office", version=version, key_id=f"key_{number:08d}", sha256="0" * 64, scopes=("read",)
    )


def keeps_all(do: Callable[[Any, Work[Any]], Awaitable[None]] | None = None) -> Hears:
    """Give a table that sends every message to one handler, by default one that keeps it."""
    hears = Hears()

    async def keep(message: Message, work: Work[SampleStore]) -> None:
        await work.store.keep(message)

    hears.each(members.InstitutionChanged, members.KeyIssued)(do or keep)
    return hears


SERVICE = Service(
    name="sample",
    store=SampleStore,
    tables=metadata,
    copies=(heard,),
    migrations=Path(__file__).parent / "no_migrations",
    hears=keeps_all(),
    api=APIRouter(),
)
