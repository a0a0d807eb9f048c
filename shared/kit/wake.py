"""Waking the relay when another process commits messages: NOTIFY on PostgreSQL; on SQLite the slow poll has to do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog

from shared.kit.database import Database

log = structlog.get_logger()


@asynccontextmanager
async def waking(database: Database, told: asyncio.Event) -> AsyncIterator[None]:
    """Set the event whenever any process of the service tells something, as long as the block lasts."""
    if database.is_sqlite:
        yield
        return
    task = asyncio.create_task(_listen(database, told))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _end(ended: asyncio.Event, *_: Any) -> None:
    ended.set()


async def _listen(database: Database, told: asyncio.Event) -> None:
    def wake(*_: Any) -> None:
        told.set()

    while True:
        try:
            async with database.engine.connect() as connection:
                raw = await connection.get_raw_connection()
                driver: Any = raw.driver_connection
                await driver.add_listener("album_outbox", wake)
                ended = asyncio.Event()
                driver.add_termination_listener(partial(_end, ended))
                await ended.wait()
        except Exception as error:
            # Without NOTIFY the relay still looks once a second: a message is later, never lost.
            log.warning("listen_lost", reason=type(error).__name__)
        await asyncio.sleep(1.0)
