"""One database per service: SQLite in WAL mode by default, PostgreSQL (asyncpg) in production."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from pydantic_core import from_json, to_json
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.kit.clock import monotonic
from shared.kit.fairness import Gate
from shared.kit.in_time import count_statements
from shared.kit.sqlite import connect as sqlite_driver

LOG_BYTES = 4 * 1024 * 1024
"""So large SQLite's write-ahead log may stay; what is more is brought into the file beside the writers."""
LAST_RESORT = 16_000
"""Pages (64 MB) behind which a writer does that itself, and waits for the disk: SQLite's own are 1,000."""
REFUSED_FOR = 5.0
"""Seconds within which an emptying that is refused at once is tried again. One that has waited for readers has waited
for three times as long inside SQLite, while nobody could write: it is left to its next hour."""

log = structlog.get_logger()


class JsonText(str):
    """JSON that is written already, for a JSON column: a picture goes from its model into the table in one step."""

    __slots__ = ()


def _json_of(value: Any) -> str:
    return value if type(value) is JsonText else to_json(value).decode()


# Pictures are JSON columns: writing them is a good part of what a copy costs.
_JSON_CODEC: dict[str, Any] = {"json_serializer": _json_of, "json_deserializer": from_json}
READ_ONLY: dict[str, Any] = {"album_reads": True}
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


class UtcTime(sa.TypeDecorator[datetime]):
    """A moment, kept in UTC on both databases; SQLite has no zone in timestamps."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse a moment without a zone: it would silently mean another hour."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be kept")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give the moment back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """The service's database: transactions that write, connections that read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        # SQLite has one writer: queueing here is fair and quick, its own busy wait is neither. PostgreSQL's pool is a
        # queue as well, and a flood would fill it.
        self._writers = Gate(1, 1) if self.is_sqlite else Gate(places=10, share=3)
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)
        self._writing = _sqlite_engine(url, driver=sqlite_driver) if self.is_sqlite else self.engine
        self._kept: AsyncConnection | None = None
        self._closed = False
        self._checkpoints = asyncio.Lock()
        count_statements(self._writing.sync_engine)
        self._committing = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at the end, or rolls back on any error."""
        async with self._writers.turn(), self._writer() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def _writer(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that writes: on SQLite the same again and again, for the pool takes as long as the work."""
        if not self.is_sqlite:
            async with self._writing.connect() as connection:
                yield connection
            return
        connection, self._kept = self._kept or await self._own_connection(), None
        sound = False
        try:
            yield connection
            sound = True
        except Exception as error:
            # A refusal is no fault of the connection, and a new one takes ten times as long.
            sound = not isinstance(error, sa.exc.DBAPIError | OSError)
            raise
        finally:
            if sound and not self._closed and not connection.invalidated and not connection.in_transaction():
                self._kept = connection
            else:
                await asyncio.shield(connection.close())

    async def _own_connection(self) -> AsyncConnection:
        connection = await self._writing.connect()
        # The pool would look after what never comes back to it. What is set on it stays set for all writers.
        (await connection.get_raw_connection()).detach()
        return connection

    @asynccontextmanager
    async def single_statements(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that commits each statement; on SQLite, where that saves nothing, a transaction."""
        if self.is_sqlite:
            async with self.transaction() as connection:
                yield connection
            return
        async with self._writers.turn(), self._committing.connect() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that sees one state and blocks nobody."""
        async with self.engine.connect() as connection:
            # PostgreSQL's default would show each statement another state.
            options = READ_ONLY if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            await connection.execution_options(**options)
            async with connection.begin():
                yield connection

    async def checkpoint(self) -> None:
        """Bring SQLite's write-ahead log into the file and empty it: until then it holds what was deleted."""
        if not self.is_sqlite:
            return
        async with self._writers.turn():
            until = monotonic() + REFUSED_FOR
            while not await self._checkpointed("TRUNCATE"):
                if monotonic() > until:
                    log.warning("log_not_emptied", reason="somebody else reads an old state, or writes it back")
                    return
                await asyncio.sleep(0.1)

    async def write_back(self) -> None:
        """Bring what SQLite's write-ahead log holds into the file once that is much; no writer waits meanwhile."""
        if not self.is_sqlite or _size_of(f"{self.engine.url.database}-wal") <= LOG_BYTES:
            return
        await self._checkpointed("PASSIVE")

    async def _checkpointed(self, how: str) -> bool:
        # SQLite refuses one beside another without a word but this answer.
        async with self._checkpoints, self.engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None  # noqa: S101 - the connection is open
            async with driver.execute(f"PRAGMA wal_checkpoint({how})") as cursor:
                return not (await cursor.fetchone())[0]

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        await self.engine.dispose()
        if self._kept is not None:
            await self._kept.close()
            self._kept = None
        if self.is_sqlite:
            await self._writing.dispose()


def _postgres_engine(url: str) -> AsyncEngine:
    # Four services, and a second copy of each while a release is changed, must fit into PostgreSQL's 100 connections.
    return create_async_engine(url, pool_size=5, max_overflow=7, hide_parameters=True, **_JSON_CODEC)


def _sqlite_engine(url: str, driver: Callable[[str], Awaitable[Any]] | None = None) -> AsyncEngine:
    path = sa.make_url(url).database or ""
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Errors are logged, and bound values may be somebody's address: they stay out of every error's text.
    how: dict[str, Any] = {} if driver is None else {"async_creator": lambda: driver(path)}
    engine = create_async_engine(url, hide_parameters=True, **_JSON_CODEC, **how)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        if driver is None:
            connection.isolation_level = None  # SQLAlchemy's own BEGIN below decides, not the driver
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={15000 if driver is None else 0}",
            "foreign_keys=ON",
            "secure_delete=ON",
            # Behind each write-back the log shrinks to this: what it has above that tells how much there is to do.
            f"journal_size_limit={LOG_BYTES}",
            f"wal_autocheckpoint={1000 if driver is None else LAST_RESORT}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another one writes: take the lock first.
        mode = "DEFERRED" if connection.get_execution_options().get("album_reads") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _size_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


def insert(connection: AsyncConnection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Give an INSERT that knows ON CONFLICT in the connection's dialect."""
    return insert_in(connection.dialect.name, table)


def insert_in(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Give the same for a dialect by its name, to be built once for all connections."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


async def upsert(
    connection: AsyncConnection,
    table: sa.Table,
    rows: Iterable[Mapping[str, Any]],
    *,
    newer: str | None = "version",
) -> None:
    """Insert rows or replace them by primary key; with `newer`, only where that column grows, so nothing moves back.

    All rows have the same columns; of rows with the same key the later one comes later.
    """
    rows = list(rows)
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    if len(rows) > 1 and len(set(map(itemgetter(*keys), rows))) < len(rows):
        for row in rows:
            await upsert(connection, table, [row], newer=newer)
        return
    statement, writers = _bulk(table, tuple(rows[0]), newer, connection.dialect)
    values = [
        [row[name] for row in rows] if write is None else list(_written(write, (row[name] for row in rows)))
        for name, write in writers
    ]
    if connection.dialect.name == "postgresql":
        # One statement for all rows: as many values as there are columns, each an array.
        await connection.exec_driver_sql(statement, tuple(values))
    else:
        await connection.exec_driver_sql(statement, list(zip(*values, strict=True)))


def _written(write: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
    """Give values as the driver takes them; what is the same in all rows, such as a moment, is written once."""
    before, written = None, None
    for value in values:
        if value is not before:
            before, written = value, write(value)
        yield written


@cache
def _bulk(
    table: sa.Table, names: tuple[str, ...], newer: str | None, dialect: sa.Dialect
) -> tuple[str, list[tuple[str, Callable[[Any], Any] | None]]]:
    """Give the statement that keeps many rows, and how the values of each column are written for the driver."""
    columns = [table.c[name] for name in names]
    quote = dialect.identifier_preparer.quote
    keys = [column.name for column in table.primary_key]
    changed = [name for name in names if name not in keys]
    if dialect.name == "postgresql":
        arrays = (f"${at}::{column.type.compile(dialect)}[]" for at, column in enumerate(columns, 1))
        source = f"SELECT * FROM unnest({', '.join(arrays)})"  # noqa: S608 - made of the names of our own columns
    else:
        source = f"VALUES ({', '.join('?' * len(columns))})"
    conflict = "DO NOTHING"
    if changed:
        conflict = f"DO UPDATE SET {', '.join(f'{quote(name)} = excluded.{quote(name)}' for name in changed)}"
        if newer is not None:
            conflict += f" WHERE excluded.{quote(newer)} > {quote(table.name)}.{quote(newer)}"
    into = f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))})"
    statement = f"{into} {source} ON CONFLICT ({', '.join(map(quote, keys))}) {conflict}"
    return statement, [(column.name, _writer_of(column.type, dialect)) for column in columns]


def _writer_of(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    written = kind.dialect_impl(dialect).bind_processor(dialect)
    return None if written is None else lambda value: None if value is None else written(value)
