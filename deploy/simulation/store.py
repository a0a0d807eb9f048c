"""Databases in memory with the kit's interface: what is committed survives a crash, what is not is gone."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.kit.database import _JSON_CODEC, Database

T = TypeVar("T")
_opened: list[sqlite3.Connection] = []


@cache
def _engine() -> sa.Engine:
    """Give the one engine of all databases, so that each statement is compiled once for all worlds."""
    return sa.create_engine(
        "sqlite://",
        creator=lambda: _opened[-1],
        poolclass=sa.pool.NullPool,
        **_JSON_CODEC,
    )


class Disk:
    """What one service has written; it outlives every process of that service."""

    def __init__(self, image: bytes | None = None) -> None:
        # The driver begins nothing by itself, as in the kit's own engine.
        self._raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        if image is not None:
            self._raw.deserialize(image)
        self._raw.execute("PRAGMA foreign_keys=ON")
        _opened.append(self._raw)
        self.connection = _engine().connect()
        self.lock = asyncio.Lock()

    def begin(self) -> sa.RootTransaction:
        """Begin a transaction that writes, as SQLite does under the kit: it takes the lock at once."""
        self._raw.execute("BEGIN IMMEDIATE")
        return self.connection.begin()

    def rows(self, statement: sa.Select[Any]) -> list[sa.Row[Any]]:
        """Look at what is committed, past the code under test; nobody may be writing."""
        with self.connection.begin():
            return list(self.connection.execute(statement))

    def image(self) -> bytes:
        """Give a backup."""
        return self._raw.serialize()

    def restore(self, image: bytes) -> None:
        """Go back to a backup."""
        self.connection.close()
        self._raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._raw.deserialize(image)
        self._raw.execute("PRAGMA foreign_keys=ON")
        _opened.append(self._raw)
        self.connection = _engine().connect()

    def close(self) -> None:
        """Forget all."""
        self.connection.close()
        _opened.clear()


class Life(Protocol):
    """The process that uses a database: it may die at any statement."""

    def at_statement(self) -> None:
        """Raise CancelledError where the process dies here, or is dead."""
        ...

    async def before_transaction(self) -> None:
        """Let others go first, or not."""
        ...

    def after_commit(self) -> None:
        """Raise CancelledError where the process dies between its commit and what follows."""
        ...


class Nobody:
    """Who uses a database and never dies."""

    def at_statement(self) -> None:
        """Go on."""

    async def before_transaction(self) -> None:
        """Go on."""

    def after_commit(self) -> None:
        """Go on."""


NOBODY = Nobody()


class _Nested(AbstractAsyncContextManager[None]):
    def __init__(self, connection: sa.Connection) -> None:
        self._inner = connection.begin_nested()

    async def __aenter__(self) -> None:
        self._inner.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)


class MemoryConnection:
    """What the kit uses of an AsyncConnection, done at once."""

    def __init__(self, connection: sa.Connection, life: Life) -> None:
        self._connection = connection
        self._life = life
        self.dialect = connection.dialect
        self.info = connection.info

    async def execute(self, statement: Any, parameters: Any = None) -> sa.CursorResult[Any]:
        """Execute a statement."""
        self._life.at_statement()
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> sa.CursorResult[Any]:
        """Execute a statement as the driver takes it."""
        self._life.at_statement()
        return self._connection.exec_driver_sql(statement, parameters)

    def begin_nested(self) -> AbstractAsyncContextManager[None]:
        """Open a savepoint."""
        return _Nested(self._connection)

    async def run_sync(self, do: Callable[[sa.Connection], T]) -> T:
        """Call what needs the connection itself."""
        return do(self._connection)

    async def commit(self) -> None:
        """Commit what was begun by itself."""
        self._connection.commit()


class _Connecting:
    """The part of an engine that migrations use."""

    def __init__(self, disk: Disk, life: Life) -> None:
        self._disk = disk
        self._life = life

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[MemoryConnection]:
        yield MemoryConnection(self._disk.connection, self._life)


class MemoryDatabase(Database):
    """One process's way to its disk."""

    def __init__(self, disk: Disk, life: Life) -> None:
        self.url = "sqlite://"
        self.is_sqlite = True
        self.engine = cast("AsyncEngine", _Connecting(disk, life))
        self._disk = disk
        self._life = life

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction; it is atomic unless a handler waits inside, and then all others wait, too."""
        await self._life.before_transaction()
        async with self._disk.lock:
            with self._disk.begin():
                yield cast("AsyncConnection", MemoryConnection(self._disk.connection, self._life))
                self._life.at_statement()
            self._life.after_commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that reads."""
        await self._life.before_transaction()
        async with self._disk.lock, _reading(self._disk.connection):
            yield cast("AsyncConnection", MemoryConnection(self._disk.connection, self._life))

    async def close(self) -> None:
        """Leave the disk as it is."""


@asynccontextmanager
async def _reading(connection: sa.Connection) -> AsyncIterator[None]:
    with connection.begin():
        yield
