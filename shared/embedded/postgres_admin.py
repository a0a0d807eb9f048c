"""Databases made and dropped on a running PostgreSQL server."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import asyncpg

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Admin(ABC):
    """What every PostgreSQL server can do, wherever it runs."""

    @abstractmethod
    def url(self, database: str = "postgres") -> str:
        """The address of a database, as `postgresql+asyncpg://...`."""

    def create_database(self, name: str, template: str = "template0") -> str:
        """Create a database, empty or as a copy of another one, and return its address."""
        self.execute(f"CREATE DATABASE {checked(name)} TEMPLATE {checked(template)}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, and end whatever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {checked(name)} WITH (FORCE)")

    def execute(self, statement: str) -> str | None:
        """Run one statement on the database `postgres` and return the first value of the first row."""
        return run_aside(lambda: _execute(self.url(), statement))

    def answers(self) -> bool:
        """Say whether the server takes connections."""
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError):
            return False
        return True


def checked(name: str) -> str:
    """Return the name if it needs no quotes, and refuse it otherwise."""
    if not NAME.fullmatch(name):
        raise ValueError(f"not a database name: {name!r}")
    return name


def run_aside(work: Callable[[], Awaitable[str | None]]) -> str | None:
    """Run a coroutine to its end on a thread and loop of its own, so that callers with a running loop may ask too."""

    async def awaited() -> str | None:
        return await work()

    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, awaited()).result()


async def _execute(url: str, statement: str) -> str | None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=5)
    try:
        value = await connection.fetchval(statement)
    finally:
        await connection.close()
    return None if value is None else str(value)
