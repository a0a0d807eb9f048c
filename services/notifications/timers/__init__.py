"""What is due in notifications: sending, pushing, queueing, judging dead attempts, forgetting."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from services.notifications.handlers import pushing, sending
from services.notifications.handlers.contacts import forget_leaving
from services.notifications.handlers.keeping import keep_house
from services.notifications.handlers.queueing import queue_due
from services.notifications.store import Store
from services.notifications.timers.couriers import push
from services.notifications.timers.figures import measure
from services.notifications.timers.post import Post, send
from shared.kit.node import Node, Timer

__all__ = ["TIMERS", "Post"]


def _in_one_work(do: Callable[..., Awaitable[Any]]) -> Callable[[Node[Store]], Awaitable[None]]:
    async def turn(node: Node[Store]) -> None:
        async with node.works() as work:
            await do(work)

    return turn


TIMERS = (
    Timer("send", timedelta(0), send),
    Timer("push", timedelta(0), push),
    Timer("queue_due", timedelta(seconds=1), _in_one_work(queue_due)),
    Timer("forget_leaving", timedelta(seconds=2), _in_one_work(forget_leaving)),
    Timer("recover", timedelta(seconds=2), _in_one_work(sending.recover)),
    Timer("recover_pushes", timedelta(seconds=5), _in_one_work(pushing.recover)),
    Timer("give_up_pushes", timedelta(minutes=1), _in_one_work(pushing.give_up_old)),
    Timer("measure_pushes", timedelta(seconds=10), measure),
    Timer("keep_house", timedelta(hours=1), _in_one_work(keep_house)),
    Timer("forget_pushes", timedelta(hours=1), _in_one_work(pushing.forget_pushes)),
)
