"""Keeps how participants are reached, and forgets them."""

from services.notifications.domain.checking import Contact
from services.notifications.domain.delivery import State, end
from services.notifications.handlers.queueing import queue
from services.notifications.store import Store
from shared.kit.work import Work


async def record_contact(known: Contact, work: Work[Store]) -> None:
    """Keep a contact, and queue the mails that waited for it."""
    await work.store.keep_contact(known)
    current = await work.store.contact(known.institution, known.participant_id)
    for waiting in await work.store.deliveries.open_of(known.institution, known.participant_id):
        if waiting.state is State.planned:
            await work.store.deliveries.keep(queue(waiting, current, work.now))


async def erase(institution: str, participant_id: str, version: int, work: Work[Store]) -> None:
    """Forget a person: no mail leaves any more, no address or letter stays, the counts do."""
    await work.store.erase_contact(institution, participant_id, version)
    unsent = await work.store.deliveries.open_of(institution, participant_id)
    await work.store.deliveries.keep(*(end(one, State.cancelled, work.now, "erased") for one in unsent))
    await work.store.forget_person(institution, participant_id)
