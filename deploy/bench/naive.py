"""The naive FastStream app: an outbox sent row by row, a consumer group, one message and one transaction at a time."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deploy.bench.floors import COLUMNS, Event
from services.courses.store.tables import network_run
from shared.kit.clock import monotonic
from shared.kit.tables import outbox

STREAM = "naive"


def engine_of(url: str) -> AsyncEngine:
    """Open a database as the libraries' own pages do, and as durable as a service's: nothing of the kit is in it."""
    engine = create_async_engine(url)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        if engine.dialect.name == "sqlite":
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=15000"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine


async def send_all(url: str, redis_url: str, messages: int) -> None:
    """Send what waits in the outbox: look, publish, mark as sent, commit, for each row."""
    engine = engine_of(url)
    broker = RedisBroker(redis_url, logger=logging.getLogger("album.bench"))
    await broker.connect()
    waiting = sa.select(outbox.c.id, outbox.c.payload).where(outbox.c.seq.is_(None)).order_by(outbox.c.id).limit(1)
    for _ in range(messages):
        async with engine.begin() as connection:
            row = (await connection.execute(waiting)).one()
            await broker.publish(row.payload, stream=STREAM)
            sent = sa.update(outbox).where(outbox.c.id == row.id).values(epoch=1, seq=row.id)
            await connection.execute(sent)
    await broker.stop()
    await engine.dispose()


class NaiveReader:
    """A subscriber whose handler keeps one message in one transaction."""

    def __init__(self, url: str, redis_url: str, messages: int) -> None:
        self.done = asyncio.Event()
        self.ended = 0.0
        self._left = messages
        self._engine = engine_of(url)
        self.broker = RedisBroker(redis_url, logger=logging.getLogger("album.bench"))
        group = StreamSub(STREAM, group="courses", consumer="one")
        self.broker.subscriber(stream=group, ack_policy=AckPolicy.REJECT_ON_ERROR)(self._keep)

    async def stop(self) -> None:
        """Leave the broker and the database."""
        await self.broker.stop()
        await self._engine.dispose()

    async def _keep(self, event: Event) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(_upsert(connection.dialect.name, _row(event)))
        self._left -= 1
        if self._left == 0:
            self.ended = monotonic()
            self.done.set()


def _row(event: Event) -> dict[str, Any]:
    seen, message = event.data.picture, event.data
    values = (
        seen.run_id, message.institution, message.version, seen.kind.value, seen.state.value, seen.from_level,
        seen.to_level, seen.place.quarter, seen.starts_on, seen.availability.free,
        seen.model_dump(mode="json"), datetime.now(UTC),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _upsert(dialect: str, row: dict[str, Any]) -> Any:
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(network_run).values(row)
    changes = {name: statement.excluded[name] for name in COLUMNS[2:]}
    newer = statement.excluded["version"] > network_run.c.version
    return statement.on_conflict_do_update(index_elements=["run_id", "institution"], set_=changes, where=newer)
