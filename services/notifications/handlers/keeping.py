"""Forgets what is kept no longer, and closes what needs no eye any more."""

from datetime import timedelta

from services.notifications.store import Store
from shared.kit.work import Work

BODIES_FOR = timedelta(days=14)
ADDRESSES_FOR = timedelta(days=90)
# Servers give up and report after four to five days (RFC 5321, 4.5.4.1).
REPORTED_WITHIN = timedelta(days=5)


async def keep_house(work: Work[Store]) -> None:
    """Blank old letters and addresses, take silence as delivery, drop ended pauses."""
    await work.store.assume_delivered(work.now - REPORTED_WITHIN)
    await work.store.forget_old(work.now - BODIES_FOR, work.now - ADDRESSES_FOR)
    await work.store.drop_ended(work.now)
