"""SQLite's write-ahead log is brought into the file beside the writers, who do not wait for the disk."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.kit import database as kit
from shared.kit.database import LAST_RESORT, LOG_BYTES, Database

LARGE = "x" * 100_000
PAGE = 4096


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Give a database with one table."""
    opened = Database(f"sqlite+aiosqlite:///{tmp_path}/data.db")
    async with opened.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY, text TEXT)")
    yield opened
    await opened.close()


def _sizes(database: Database) -> tuple[int, int]:
    """Give how large the file and its write-ahead log are."""
    path = Path(str(database.engine.url.database))
    return path.stat().st_size, path.with_name(f"{path.name}-wal").stat().st_size


async def _write(database: Database, size: int) -> None:
    for _ in range(size // len(LARGE)):
        async with database.transaction() as connection:
            await connection.execute(sa.text("INSERT INTO thing (text) VALUES (:text)"), {"text": LARGE})


async def _count(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(sa.text("SELECT count(*) FROM thing"))).scalar_one())


async def test_writers_leave_the_file_alone_until_the_log_is_written_back(database: Database) -> None:
    """Without a write-back the log grows, and nobody who commits waits for the disk."""
    await _write(database, 2 * LOG_BYTES)
    file, log = _sizes(database)
    assert file < LOG_BYTES / 4 < 2 * LOG_BYTES < log

    await database.write_back()
    assert _sizes(database)[0] > 1.9 * LOG_BYTES
    await _write(database, LOG_BYTES // 2)
    assert _sizes(database)[1] <= LOG_BYTES + PAGE


async def test_a_log_that_is_short_is_left_alone(database: Database) -> None:
    """A service at rest keeps its lease every second: the disk need not hear of each."""
    await _write(database, LOG_BYTES // 2)
    before = _sizes(database)
    await database.write_back()
    assert _sizes(database) == before


async def test_whoever_reads_an_old_state_delays_it_and_stops_nobody(database: Database) -> None:
    """What a reader may still need stays in the log; the next turn takes it up."""
    await _write(database, len(LARGE))
    async with database.reading() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM thing"))).scalar_one() == 1
        await _write(database, 2 * LOG_BYTES)
        await database.write_back()
        assert _sizes(database)[0] < LOG_BYTES
    written = await _count(database)
    await asyncio.gather(_write(database, LOG_BYTES), database.write_back())
    assert _sizes(database)[0] > 1.9 * LOG_BYTES
    assert await _count(database) == written + LOG_BYTES // len(LARGE)


async def test_where_nobody_writes_back_a_writer_does_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A command that imports for hours has no turns beside it: its log stays bounded."""
    assert LAST_RESORT * PAGE > 10 * LOG_BYTES
    monkeypatch.setattr(kit, "LAST_RESORT", 2 * LOG_BYTES // PAGE)
    opened = Database(f"sqlite+aiosqlite:///{tmp_path}/long.db")
    async with opened.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY, text TEXT)")
    await _write(opened, 5 * LOG_BYTES)
    file, log = _sizes(opened)
    await opened.close()
    assert file > 2 * LOG_BYTES
    assert log < 3 * LOG_BYTES


async def test_the_log_is_emptied_though_it_is_being_written_back(database: Database) -> None:
    """What was deleted leaves the log at its hour: SQLite refuses one checkpoint beside another without a word."""
    await _write(database, 5 * LOG_BYTES)
    writing_back = asyncio.create_task(database.write_back())
    await asyncio.sleep(0.005)
    await database.checkpoint()
    await writing_back
    assert _sizes(database)[1] == 0


async def test_an_old_state_that_is_read_holds_the_emptying_up_and_no_longer(database: Database) -> None:
    """A reader ends; until then it is tried again."""
    await _write(database, len(LARGE))
    async with database.reading() as connection:
        await connection.execute(sa.text("SELECT count(*) FROM thing"))
        await _write(database, len(LARGE))
        emptying = asyncio.create_task(database.checkpoint())
        await asyncio.sleep(0.05)
        assert not emptying.done()
    await emptying
    assert _sizes(database)[1] == 0


async def test_writers_are_not_held_up_again_and_again_for_a_long_reader(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite waits for readers by itself while nobody can write: behind that, the emptying is left to its next hour."""
    passed, tries = 0.0, 0

    async def waited(how: str) -> bool:
        nonlocal passed, tries
        passed, tries = passed + 15.0, tries + 1
        return False

    monkeypatch.setattr(kit, "monotonic", lambda: passed)
    monkeypatch.setattr(database, "_checkpointed", waited)
    await database.checkpoint()
    assert tries == 1
