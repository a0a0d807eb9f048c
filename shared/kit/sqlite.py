"""SQLite without a thread: a statement takes microseconds, handing it to another thread and back takes ten times that.

For transactions that write, which are short; what reads, and may read much, goes through aiosqlite's threads.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from random import uniform
from typing import Any, Self

from shared.kit.clock import monotonic

PATIENCE = 15.0
"""Seconds for which a statement waits while another process writes."""


async def connect(path: str) -> "Connection":
    """Open a file as SQLAlchemy's dialect `sqlite+aiosqlite` expects it from its driver."""
    # Waiting inside the library would hold up the whole process: a lock that is taken is asked for again instead.
    return Connection(sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=512))


class Cursor:
    """A cursor whose methods never hand over to others, but where another process holds the lock."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.arraysize = 1

    @property
    def description(self) -> Any:
        """Give the columns of the last statement."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """Give how many rows the last statement changed."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """Give the number of the row that was inserted last."""
        return self._cursor.lastrowid

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] | None = None) -> Self:
        """Execute a statement; raises OperationalError where the lock stays taken."""
        until = monotonic() + PATIENCE
        wait = 0.001
        while True:
            try:
                self._cursor.execute(statement, () if parameters is None else parameters)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise
                await asyncio.sleep(uniform(wait / 2, wait))  # noqa: S311 - no secret: who asks first may be anybody
                wait = min(2 * wait, 0.01)
            else:
                return self

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Self:
        """Execute a statement with each of several values; the transaction has the lock already."""
        self._cursor.executemany(statement, parameters)
        return self

    async def fetchone(self) -> Any:
        """Give the next row."""
        return self._cursor.fetchone()

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Give the next rows."""
        return self._cursor.fetchmany(size or self.arraysize)

    async def fetchall(self) -> list[Any]:
        """Give all rows that are left."""
        return self._cursor.fetchall()

    async def close(self) -> None:
        """Close the cursor."""
        self._cursor.close()


class Connection:
    """A connection with the methods that SQLAlchemy calls."""

    isolation_level = None

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def cursor(self) -> Cursor:
        """Open a cursor."""
        return Cursor(self._connection.cursor())

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        """Make a function known to SQL."""
        self._connection.create_function(*arguments, **options)

    async def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    async def rollback(self) -> None:
        """Roll back."""
        self._connection.rollback()

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def stop(self) -> None:
        """Close the connection."""
        self._connection.close()
