"""What is due: offers that end, runs that begin and end, levels and entitlements that get too old."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Any

from services.courses.domain.catalogue import BERLIN
from services.courses.handlers import participants, runs, seats
from services.courses.store import Store
from shared.kit.errors import Conflict, NotFound
from shared.kit.node import Node, Timer
from shared.kit.work import Work

PAGE = 100
Do = Callable[[str, Work[Store]], Awaitable[Any]]


async def _each(node: Node[Store], due: list[str], do: Do) -> None:
    """Do each in a unit of work of its own; another copy of the service may have been quicker."""
    for id_ in due:
        try:
            async with node.works() as work:
                await do(id_, work)
        except (Conflict, NotFound):
            continue


def _now(node: Node[Store]) -> datetime:
    return node.works.clock.now()


def _today(node: Node[Store]) -> date:
    return _now(node).astimezone(BERLIN).date()


async def expire_offers(node: Node[Store]) -> None:
    """End the offers whose deadline has passed; each seat goes to the next."""
    async with node.works.looking() as store:
        due = await store.due_offers(_now(node), PAGE)
    await _each(node, due, seats.expire)


async def start_runs(node: Node[Store]) -> None:
    """Start the confirmed runs whose first session has begun."""
    async with node.works.looking() as store:
        due = await store.runs_to_start(_now(node), PAGE)
    await _each(node, due, lambda id_, work: runs.step(id_, None, "start", work))


async def complete_runs(node: Node[Store]) -> None:
    """Complete the running runs whose last session is over."""
    async with node.works.looking() as store:
        due = await store.runs_to_complete(_now(node), PAGE)
    await _each(node, due, lambda id_, work: runs.complete(id_, None, work))


async def outdate_levels(node: Node[Store]) -> None:
    """Mark the participant files whose levels are too old."""
    async with node.works.looking() as store:
        due = await store.outdated_levels(_today(node), PAGE)
    await _each(node, due, participants.outdate_levels)


async def date_entitlements(node: Node[Store]) -> None:
    """Have entitlements begin and end by the calendar."""
    async with node.works.looking() as store:
        due = await store.entitlements_due(_today(node), PAGE)
    await _each(node, due, participants.date_entitlement)


TIMERS = (
    Timer("expire_offers", timedelta(seconds=1), expire_offers),
    Timer("start_runs", timedelta(seconds=10), start_runs),
    Timer("complete_runs", timedelta(seconds=10), complete_runs),
    Timer("outdate_levels", timedelta(minutes=10), outdate_levels),
    Timer("date_entitlements", timedelta(minutes=10), date_entitlements),
)
