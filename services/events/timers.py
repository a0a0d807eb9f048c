"""What is due: offers that end, registrations that nobody confirmed, meetings that are over."""

from datetime import datetime, timedelta

from services.events.handlers import asking, meetings, seats
from services.events.store import Store
from shared.kit.due import PAGE, each
from shared.kit.node import Node, Timer


def _now(node: Node[Store]) -> datetime:
    return node.works.clock.now()


async def expire_offers(node: Node[Store]) -> None:
    """End the offers whose deadline has passed; each seat goes to the next."""
    async with node.works.looking() as store:
        due = await store.due_offers(_now(node), PAGE)
    await each(node.works, due, seats.expire)


async def forget_unconfirmed(node: Node[Store]) -> None:
    """Delete what nobody confirmed in time."""
    async with node.works.looking() as store:
        due = await store.due_unconfirmed(_now(node), PAGE)
    await each(node.works, due, asking.forget)


async def hold_meetings(node: Node[Store]) -> None:
    """Note that the meetings took place whose end has passed."""
    async with node.works.looking() as store:
        due = await store.meetings_to_hold(_now(node), PAGE)
    await each(node.works, due, lambda id_, work: meetings.hold(id_, None, work))


TIMERS = (
    Timer("expire_offers", timedelta(seconds=1), expire_offers),
    Timer("forget_unconfirmed", timedelta(minutes=1), forget_unconfirmed),
    Timer("hold_meetings", timedelta(seconds=10), hold_meetings),
)
