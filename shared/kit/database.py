"""One database per service: SQLite in WAL mode by default, PostgreSQL (asyncpg) in production."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

# Pictures are JSON columns: writing them is a good part of what a copy costs.
_JSON_CODEC: dict[str, Any] = {"json_serializer": lambda value: to_json(value).decode(), "json_deserializer": from_json}
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
        self._writer = asyncio.Lock()
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at the end, or rolls back on any error."""
        # SQLite has one writer: queueing here is fair and quick, its own busy wait is neither.
        async with self._writer if self.is_sqlite else nullcontext(), self.engine.begin() as connection:
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

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _postgres_engine(url: str) -> AsyncEngine:
    # Four services, and a second copy of each while a release is changed, must fit into PostgreSQL's 100 connections.
    return create_async_engine(url, pool_size=5, max_overflow=7, hide_parameters=True, **_JSON_CODEC)


def _sqlite_engine(url: str) -> AsyncEngine:
    path = sa.make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Errors are logged, and bound values may be somebody's address: they stay out of every error's text.
    engine = create_async_engine(url, hide_parameters=True, **_JSON_CODEC)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below decides, not the driver
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=15000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another one writes: take the lock first.
        mode = "DEFERRED" if connection.get_execution_options().get("album_reads") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def insert(connection: AsyncConnection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Give an INSERT that knows ON CONFLICT in the connection's dialect."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


async def upsert(
    connection: AsyncConnection,
    table: sa.Table,
    rows: Iterable[Mapping[str, Any]],
    *,
    newer: str | None = "version",
) -> None:
    """Insert rows or replace them by primary key; with `newer`, only where that column grows, so nothing moves back."""
    rows = list(rows)
    if not rows:
        return
    statement = insert(connection, table)
    keys = [column.name for column in table.primary_key]
    columns = [name for name in rows[0] if name not in keys]
    where = None if newer is None else statement.excluded[newer] > table.c[newer]
    if columns:
        changes = {name: statement.excluded[name] for name in columns}
        conflict = statement.on_conflict_do_update(index_elements=keys, set_=changes, where=where)
    else:
        conflict = statement.on_conflict_do_nothing(index_elements=keys)
    await connection.execute(conflict, rows)
