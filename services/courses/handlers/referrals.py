"""What both sides of a referral have in common: its end by the calendar."""

from services.courses.domain.referral import OPEN, Side
from services.courses.handlers import referred, referring
from services.courses.handlers.refusing import refusing
from services.courses.store import Store
from shared.kit.work import Work


async def expire(referral_id: str, institution: str, work: Work[Store]) -> None:
    """End a referral whose consent is over; another copy of the service may have been quicker."""
    known = await work.store.referral(referral_id, institution)
    if known.state not in OPEN:
        return
    if known.side is Side.RECEIVED:
        await referred.expire(known, work)
        return
    locked = await work.store.locked_referral(referral_id, institution)
    with refusing():
        await referring.expire(locked or known, work)
