"""The floors: the same messages into the same table with as little around them as possible."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg
import redis
from pydantic import BaseModel

from shared.contract.courses import RunPublished
from shared.kit.clock import monotonic

PAGE = 1000
COLUMNS = (
    "run_id", "institution", "version", "kind", "state", "from_level", "to_level", "quarter", "starts_on", "free",
    "picture", "seen_at",
)  # fmt: skip
_TYPES = ("text", "text", "bigint", "text", "text", "text", "text", "text", "date", "int", "jsonb", "timestamptz")
_CHANGES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
_CONFLICT = f"ON CONFLICT (run_id, institution) DO UPDATE SET {_CHANGES} WHERE excluded.version > network_run.version"
_NAMES = ", ".join(COLUMNS)
UNNEST = (
    f"INSERT INTO network_run ({_NAMES}) SELECT * FROM unnest("  # noqa: S608 - made of constants
    + ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_TYPES, 1))
    + f") {_CONFLICT}"
)
_VALUES = f"INSERT INTO network_run ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))}) {_CONFLICT}"  # noqa: S608 - made of constants


class Event(BaseModel):
    """The envelope and the message, as a bare loop would read them."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: RunPublished


def row_of(payload: bytes, now: datetime) -> tuple[Any, ...]:
    """Read a message and give the row that it becomes."""
    message = Event.model_validate_json(payload).data
    seen = message.picture
    return (
        seen.run_id, message.institution, message.version, seen.kind.value, seen.state.value, seen.from_level,
        seen.to_level, seen.place.quarter, seen.starts_on, seen.availability.free, seen.model_dump_json(), now,
    )  # fmt: skip


class Table(Protocol):
    """The table that is filled, and the cursor beside it."""

    async def upsert(self, rows: Sequence[tuple[Any, ...]], seq: int) -> None:
        """Commit rows and the cursor in one transaction."""
        ...

    async def copy(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Bring rows into the empty table in the fastest way there is."""
        ...

    async def tell(self, seq: int) -> None:
        """Commit what a relay must keep of one message."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class BareSqlite:
    """One connection of Python's own driver, with the settings of the service."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(url.partition("///")[2], isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("INSERT INTO cursor (stream, epoch, seq, attempts) VALUES ('bench', 0, 0, 0)")

    async def upsert(self, rows: Sequence[tuple[Any, ...]], seq: int) -> None:
        """Commit rows and the cursor in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_VALUES, (_plain(row) for row in rows))
        self._connection.execute("UPDATE cursor SET epoch = 1, seq = ? WHERE stream = 'bench'", (seq,))
        self._connection.execute("COMMIT")

    async def copy(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert prepared rows in one transaction: what SQLite has for COPY."""
        plain = [_plain(row) for row in rows]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_VALUES.partition(" ON CONFLICT")[0], plain)
        self._connection.execute("COMMIT")

    async def tell(self, seq: int) -> None:
        """Commit what a relay must keep of one message."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE cursor SET epoch = 1, seq = ? WHERE stream = 'bench'", (seq,))
        self._connection.execute("COMMIT")

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    moment: datetime = row[-1]
    return (
        *row[:8],
        row[8] and row[8].isoformat(),
        *row[9:-1],
        moment.astimezone(UTC).replace(tzinfo=None).isoformat(" "),
    )


class BarePostgres:
    """One connection of asyncpg."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def upsert(self, rows: Sequence[tuple[Any, ...]], seq: int) -> None:
        """Commit rows and the cursor in one transaction."""
        async with self._connection.transaction():
            await self._connection.execute(UNNEST, *(list(column) for column in zip(*rows, strict=True)))
            await self._connection.execute("UPDATE cursor SET epoch = 1, seq = $1 WHERE stream = 'bench'", seq)

    async def copy(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """COPY prepared rows."""
        await self._connection.copy_records_to_table("network_run", records=rows, columns=COLUMNS)

    async def tell(self, seq: int) -> None:
        """Commit what a relay must keep of one message."""
        async with self._connection.transaction():
            await self._connection.execute("UPDATE cursor SET epoch = 1, seq = $1 WHERE stream = 'bench'", seq)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


async def bare_table(url: str) -> Table:
    """Open the table of a fresh database without anything of ours."""
    if url.startswith("sqlite"):
        return BareSqlite(url)
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    await connection.execute("INSERT INTO cursor (stream, epoch, seq, attempts) VALUES ('bench', 0, 0, 0)")
    return BarePostgres(connection)


async def bare_loop(table: Table, redis_url: str, stream: str, messages: int) -> float:
    """XREAD 1000, validate, upsert, cursor, commit; give the seconds."""
    with redis.Redis.from_url(redis_url) as client:
        client.ping()
        began, last, taken = monotonic(), b"0-0", 0
        while taken < messages:
            [[_, entries]] = _unpacked(client.xread({stream: last}, count=PAGE))
            now = datetime.now(UTC)
            last = entries[-1][0]
            seq = int(last.split(b"-")[1])
            await table.upsert([row_of(fields[b"p"], now) for _, fields in entries], seq)
            taken += len(entries)
        return monotonic() - began


def _unpacked(answer: Any) -> Any:
    return answer.items() if isinstance(answer, dict) else answer


async def bare_steps(table: Table, redis_url: str, payloads: Sequence[bytes], rate: float) -> list[float]:
    """Two commits and two round trips for each message, one after the other at a rate; give the seconds of each."""
    found = []
    with redis.Redis.from_url(redis_url) as client:
        client.ping()
        now = datetime.now(UTC)
        rows = [row_of(payload, now) for payload in payloads]
        due = monotonic()
        for seq, (row, payload) in enumerate(zip(rows, payloads, strict=True), 1):
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - monotonic()))
            began = monotonic()
            await table.tell(seq)
            client.xadd("floor", {"p": payload}, id=f"1-{seq}")
            client.xread({"floor": f"1-{seq - 1}"}, count=PAGE)
            await table.upsert([row], seq)
            found.append(monotonic() - began)
    return found
