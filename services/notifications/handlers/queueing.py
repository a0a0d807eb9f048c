"""Lets planned mails into the queue when their time has come, and ends those that are of no use any more."""

from datetime import datetime

from services.notifications.domain.checking import Contact, look
from services.notifications.domain.delivery import Delivery, State, move
from services.notifications.store import Store
from shared.kit.work import Work


def queue(planned: Delivery, contact: Contact | None, now: datetime) -> Delivery:
    """Queue a planned mail if its time has come and its reader is known; else it stays or ends."""
    verdict = look(planned, contact, None, now)
    if verdict is not None:
        return planned if verdict.state is State.planned else move(planned, verdict.state, now, verdict.reason)
    return planned if planned.not_before > now else move(planned, State.queued, now)


async def queue_due(work: Work[Store]) -> int:
    """Queue or end what has waited until now; give how many deliveries moved."""
    moved = 0
    for one in await work.store.deliveries.waiting(work.now):
        contact = await work.store.contact(one.institution, one.participant_id)
        if one.state is State.planned:
            changed = queue(one, contact, work.now)
        else:
            changed = move(one, State.expired, work.now, "too_late")
        if changed != one:
            await work.store.deliveries.keep(changed)
            moved += 1
    return moved
