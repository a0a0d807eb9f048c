"""Handlers in their time, and parked messages that an operator wants to have tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from shared.kit import parking
from shared.kit.applying import Applier
from shared.kit.errors import Transient
from shared.kit.streams import Entry
from shared.kit.work import Work, Works

log = structlog.get_logger()

LONGEST_BATCH = 30.0


class HandlerHangs(Transient):
    """A handler did not come to an end in time; that has used up an attempt."""


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Bound what the handlers may take; waiting for a connection or a lock is not their doing and does not count."""
    deadline = asyncio.timeout(LONGEST_BATCH)
    try:
        async with deadline:
            yield
    except TimeoutError as error:
        if deadline.expired():
            raise HandlerHangs(f"a handler took longer than {LONGEST_BATCH:.0f} seconds") from error
        raise


async def retry_parked(stream: str, works: Works[Any], applier: Applier) -> None:
    """Try again what is wanted of a stream, in order, thing by thing; what was kept from its end stays wanted."""
    async with works.database.transaction() as connection:
        wanted = await parking.take_wish(connection, stream)
    for at, key in enumerate(wanted):
        try:
            async with works() as work:
                await parking.lock(work.connection, stream)
                async with in_time():
                    await _retry(applier, await parking.waiting_of(work.connection, stream, key), work)
        except HandlerHangs:
            log.warning("retry_hangs", stream=stream)
        except (Exception, asyncio.CancelledError):
            # Nothing answers, or this copy is told to stop: the wish is left to whoever comes next.
            async with works.database.transaction() as connection:
                await parking.give_back_wish(connection, stream, wanted[at:])
            raise


async def _retry(applier: Applier, waiting: list[tuple[int, Entry]], work: Work[Any]) -> None:
    for at, (id_, entry) in enumerate(waiting):
        refusal = await applier.apply_one(entry, work)
        if refusal is not None:
            await parking.change(
                work.connection, [id_], state="parked", code=refusal.code, reason=refusal.reason[:1000]
            )
            behind = [other for other, _ in waiting[at + 1 :]]
            await parking.change(work.connection, behind, state="behind")
            return
        await parking.change(work.connection, [id_], state="used", ended_at=work.now, ended_by="reader")
