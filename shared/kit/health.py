"""Health of consumers, not only of HTTP: ready means that stores answer and streams are kept up with."""

import asyncio
from typing import Any

import sqlalchemy as sa
from prometheus_client import Gauge
from pydantic import BaseModel, Field

from shared.kit import parking
from shared.kit.clock import monotonic
from shared.kit.errors import Unsure
from shared.kit.node import Node

SILENT_SECONDS = 30.0
LATE_SECONDS = 60.0
ANSWER_SECONDS = 4.0


class Report(BaseModel):
    """What works and what does not, in words; `stopped` waits for an operator and keeps nothing else up."""

    ready: bool
    faults: list[str]
    stopped: dict[str, str] = Field(default_factory=dict)
    streams: dict[str, int]


async def report(node: Node[Any]) -> Report:
    """Say whether the service does its work."""
    faults = [f"{stream}: {reason}" for stream, reason in node.relay.stopped.items()]
    try:
        async with asyncio.timeout(ANSWER_SECONDS), node.database.reading() as connection:
            await connection.execute(sa.text("SELECT 1"))
    except Exception as error:  # whatever it is, the probe must say it and not fail itself
        faults.append(f"the database does not answer: {type(error).__name__}")
    if not node.begun:
        faults.append(
            str(Unsure()) if not node.works.sure.is_set() else "the service could not begin; the log says why"
        )
    elif (silent := monotonic() - node.reached_redis_at) > SILENT_SECONDS:
        faults.append(f"Redis has not answered for {silent:.0f} seconds")
    for name, lag in node.subscriptions.lags.items():
        if lag.seconds > LATE_SECONDS:
            faults.append(f"{name}: {lag.messages} messages behind, not moved for {lag.seconds:.0f} seconds")
    for name, seconds in node.subscriptions.waiting_to_open().items():
        if seconds > LATE_SECONDS:
            faults.append(f"{name}: cannot be read for {seconds:.0f} seconds; the log says why")
    streams = {name: lag.messages for name, lag in sorted(node.subscriptions.lags.items())}
    return Report(ready=not faults, faults=faults, stopped=node.stopped(), streams=streams)


async def measure(node: Node[Any]) -> None:
    """Set the gauges: since when Redis is silent, lag by stream, and what is parked."""
    heard, messages, seconds, waiting = _gauges(node)
    # While Redis is away nobody knows where its streams end, and the lags stand as they were last seen.
    heard.set(monotonic() - node.reached_redis_at)
    for name, lag in node.subscriptions.lags.items():
        messages.labels(name).set(lag.messages)
        seconds.labels(name).set(lag.seconds)
    waiting.clear()
    async with node.database.reading() as connection:
        for row in await parking.counted(connection):
            waiting.labels(row.stream, row.code).set(row.messages)


def _gauges(node: Node[Any]) -> tuple[Gauge, Gauge, Gauge, Gauge]:
    known: tuple[Gauge, Gauge, Gauge, Gauge] | None = getattr(node.registry, "album_gauges", None)
    if known is None:
        known = (
            Gauge("album_redis_heard_seconds", "Seconds since Redis answered", registry=node.registry),
            Gauge("album_lag_messages", "Messages behind the end of a stream", ["stream"], registry=node.registry),
            Gauge("album_lag_seconds", "Seconds since a late reader moved", ["stream"], registry=node.registry),
            Gauge("album_parked", "Messages that wait for an operator", ["stream", "code"], registry=node.registry),
        )
        node.registry.album_gauges = known  # type: ignore[attr-defined] # lives and dies with the registry
    return known
