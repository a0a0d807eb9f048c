"""Keeps how participants are reached, and forgets them."""

from dataclasses import replace
from datetime import timedelta

from services.notifications.domain.checking import Contact
from services.notifications.domain.delivery import State, end
from services.notifications.domain.letter import Kind
from services.notifications.handlers.queueing import queue
from services.notifications.store import Store
from shared.kit.work import Work

LONGEST = timedelta(hours=72)
"""How long a mail is tried (document 5); a contact that is to be forgotten is not kept longer for it."""


async def record_contact(known: Contact, work: Work[Store]) -> None:
    """Keep a contact, and queue the mails that waited for it."""
    await work.store.keep_contact(known)
    current = await work.store.contact(known.institution, known.participant_id)
    for waiting in await work.store.deliveries.open_of(known.institution, known.participant_id):
        if waiting.state is State.planned:
            await work.store.deliveries.keep(queue(waiting, current, work.now))


async def say_farewell(institution: str, participant_id: str, version: int, work: Work[Store]) -> None:
    """Forget a person once their last mails have left: what ends a place has to be told to whom had it."""
    known = await work.store.contact(institution, participant_id)
    unsent = await work.store.deliveries.open_of(institution, participant_id)
    reminders = [one for one in unsent if one.kind is Kind.reminder]
    await work.store.deliveries.keep(*(end(one, State.cancelled, work.now, "erased") for one in reminders))
    if known is None or known.erased or len(unsent) == len(reminders):
        await erase(institution, participant_id, version, work)
        return
    await work.store.keep_contact(replace(known, version=max(version, known.version + 1), forget_at=work.now + LONGEST))


async def forget_leaving(work: Work[Store]) -> None:
    """Forget those to whom no mail is under way any more, or for too long."""
    for known in await work.store.leaving():
        unsent = await work.store.deliveries.open_of(known.institution, known.participant_id)
        if not unsent or (known.forget_at is not None and known.forget_at <= work.now):
            await erase(known.institution, known.participant_id, known.version, work)


async def erase(institution: str, participant_id: str, version: int, work: Work[Store]) -> None:
    """Forget a person: no mail leaves any more, no address or letter stays, the counts do."""
    await work.store.erase_contact(institution, participant_id, version)
    unsent = await work.store.deliveries.open_of(institution, participant_id)
    await work.store.deliveries.keep(*(end(one, State.cancelled, work.now, "erased") for one in unsent))
    await work.store.forget_person(institution, participant_id)
