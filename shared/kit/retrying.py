"""Parked messages that an operator wants to have tried again."""

import asyncio
from typing import Any

import structlog

from shared.kit import parking
from shared.kit.applying import Applier
from shared.kit.in_time import HandlerHangs
from shared.kit.streams import Entry
from shared.kit.work import Work, Works

log = structlog.get_logger()


async def retry_parked(stream: str, works: Works[Any], applier: Applier) -> None:
    """Try again what is wanted of a stream, in order, thing by thing; what was kept from its end stays wanted."""
    async with works.database.transaction() as connection:
        wanted = await parking.take_wish(connection, stream)
    for at, key in enumerate(wanted):
        try:
            async with works() as work:
                await parking.lock(work.connection, stream)
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
