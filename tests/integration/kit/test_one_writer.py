"""SQLite's writers share one connection, one after the other; none finds what another one left behind."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.kit.database import Database
from shared.kit.errors import Conflict

INSERT = sa.text("INSERT INTO thing (text) VALUES (:text)")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Give a database with one table."""
    opened = Database(f"sqlite+aiosqlite:///{tmp_path}/data.db")
    async with opened.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    yield opened
    await opened.close()


async def _write(database: Database, *texts: str | None) -> object:
    """Write rows; gives the connection that did it."""
    async with database.transaction() as connection:
        for text in texts:
            await connection.execute(INSERT, {"text": text})
        return (await connection.get_raw_connection()).dbapi_connection


async def _texts(database: Database) -> list[str]:
    async with database.reading() as connection:
        return list((await connection.execute(sa.text("SELECT text FROM thing ORDER BY id"))).scalars())


async def test_writers_take_turns_on_one_connection(database: Database) -> None:
    """To take one from the pool and give it back costs more than a small transaction."""
    asked: list[object] = []
    sa.event.listen(database._writing.sync_engine.pool, "checkout", lambda *_: asked.append(1))
    used = await asyncio.gather(*(_write(database, str(number)) for number in range(9)))
    assert (len(set(map(id, used))), len(asked)) == (1, 0)
    assert len(await _texts(database)) == 9


async def test_whoever_fails_leaves_nothing_to_the_next(database: Database) -> None:
    """What was written before the fault is gone, the next writer begins with a connection of its own."""
    first = await _write(database, "before")
    with pytest.raises(sa.exc.IntegrityError):
        await _write(database, "lost", None)
    assert await _write(database, "after") is not first
    assert await _texts(database) == ["before", "after"]


async def test_a_refusal_is_no_fault_of_the_connection(database: Database) -> None:
    """What was written before it is gone; a new connection for each refusal would take ten times as long."""
    first = await _write(database, "before")
    with pytest.raises(Conflict):
        await _refused(database)
    assert await _write(database, "after") is first
    assert await _texts(database) == ["before", "after"]


async def _refused(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT, {"text": "lost"})
        raise Conflict("somebody was quicker", code="already_done")


async def test_a_writer_that_ends_behind_the_close_leaves_nothing_open(database: Database) -> None:
    """It comes to its end, and its connection is closed as the others were."""
    async with database.transaction() as connection:
        await database.close()
        await connection.execute(INSERT, {"text": "late"})
    assert (database._kept, connection.closed) == (None, True)


async def test_whoever_is_given_up_while_the_lock_is_taken_holds_up_nobody(database: Database) -> None:
    """Another process writes; a caller that does not wait for it leaves a connection that is not used again."""
    first = await _write(database, "before")
    other = sqlite3.connect(str(database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await _write(database, "given up")
    other.execute("ROLLBACK")
    other.close()
    assert await _write(database, "after") is not first
    assert await _texts(database) == ["before", "after"]
