"""What is due: offers that end, runs that begin and end, levels and entitlements that get too old."""

from datetime import date, datetime, timedelta

from services.courses.handlers import erasing, participants, referrals, referred, runs, seats
from services.courses.store import Store
from shared.contract.zone import BERLIN
from shared.kit.due import PAGE, each
from shared.kit.node import Node, Timer, node_key
from shared.kit.witness import HubWitness


def _now(node: Node[Store]) -> datetime:
    return node.works.clock.now()


def _today(node: Node[Store]) -> date:
    return _now(node).astimezone(BERLIN).date()


async def expire_offers(node: Node[Store]) -> None:
    """End the offers whose deadline has passed; each seat goes to the next."""
    async with node.works.looking() as store:
        due = await store.due_offers(_now(node), PAGE)
    await each(node.works, due, seats.expire)


async def start_runs(node: Node[Store]) -> None:
    """Start the confirmed runs whose first session has begun."""
    async with node.works.looking() as store:
        due = await store.runs_to_start(_now(node), PAGE)
    await each(node.works, due, lambda id_, work: runs.step(id_, None, "start", work))


async def complete_runs(node: Node[Store]) -> None:
    """Complete the running runs whose last session is over."""
    async with node.works.looking() as store:
        due = await store.runs_to_complete(_now(node), PAGE)
    await each(node.works, due, lambda id_, work: runs.complete(id_, None, work))


async def outdate_levels(node: Node[Store]) -> None:
    """Mark the participant files whose levels are too old."""
    async with node.works.looking() as store:
        due = await store.outdated_levels(_today(node), PAGE)
    await each(node.works, due, participants.outdate_levels)


async def date_entitlements(node: Node[Store]) -> None:
    """Have entitlements begin and end by the calendar."""
    async with node.works.looking() as store:
        due = await store.entitlements_due(_today(node), PAGE)
    await each(node.works, due, participants.date_entitlement)


async def expire_referrals(node: Node[Store]) -> None:
    """End the referrals whose consent is over, whichever side of them is here."""
    async with node.works.looking() as store:
        due = await store.due_referrals(_today(node), PAGE)
    await each(node.works, due, lambda of, work: referrals.expire(of[1], of[0], work))


async def forget_referred(node: Node[Store]) -> None:
    """Delete what came with referrals that led to nothing."""
    async with node.works.looking() as store:
        due = await store.referrals_to_forget(PAGE)
    await each(node.works, due, lambda of, work: referred.forget(of[1], of[0], work))


async def verify_receipts(node: Node[Store]) -> None:
    """Check the receipts of institutions on other nodes with the keys of the roster, which members holds."""
    if not node.settings.hub:
        return
    async with node.works.looking() as store:
        due = await store.receipts_to_verify(PAGE)
    hub = HubWitness(node.settings.internal_url("members"), node_key(node.settings), node.http)
    for one in due:
        public = await hub.key_of(one.other, one.receipt.kid) if one.receipt else None
        if public is not None:
            async with node.works() as work:
                await erasing.verify(one.id, one.institution, public, work)


TIMERS = (
    Timer("expire_offers", timedelta(seconds=1), expire_offers),
    Timer("forget_referred", timedelta(seconds=1), forget_referred),
    Timer("expire_referrals", timedelta(seconds=30), expire_referrals),
    Timer("verify_receipts", timedelta(seconds=10), verify_receipts),
    Timer("start_runs", timedelta(seconds=10), start_runs),
    Timer("complete_runs", timedelta(seconds=10), complete_runs),
    Timer("outdate_levels", timedelta(minutes=10), outdate_levels),
    Timer("date_entitlements", timedelta(minutes=10), date_entitlements),
)
