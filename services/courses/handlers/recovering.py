"""After a backup was restored: runs become again what the network was told of them."""

from collections.abc import Sequence
from dataclasses import replace

from services.courses.domain.run import Offer, as_told
from services.courses.store import Store
from shared.contract.courses import RunMessage
from shared.contract.envelope import Message
from shared.kit.errors import NotFound
from shared.kit.work import Work


async def take_back(messages: Sequence[Message], work: Work[Store]) -> None:
    """Bring our runs to the newest told state; who had which place is what the backup holds."""
    for message in messages:
        if isinstance(message, RunMessage):
            await _take_back(message, work)


async def _take_back(message: RunMessage, work: Work[Store]) -> None:
    told = message.picture
    if await work.store.has_run(told.run_id):
        run = await work.store.locked_run(told.run_id)
        if run.version < message.version:
            await work.store.keep_run(as_told(told, message.institution, message.version, run))
        return
    try:
        await work.store.offer(told.offer_id, message.institution)
    except NotFound:
        offer = Offer(
            told.offer_id, message.institution, told.title, told.kind, told.from_level, told.to_level, told.ue
        )
        await work.store.add_offer(replace(offer, description=told.description))
    await work.store.add_run(as_told(told, message.institution, message.version, None))
