"""Pushing to webhooks: many attempts at once, few for each address, one transaction for what came back and goes out."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random, SystemRandom
from typing import cast

import structlog

from services.notifications.domain import signing
from services.notifications.domain.push import Outcome, Reply
from services.notifications.handlers import pushing
from services.notifications.handlers.pushing import Claimed, Done
from services.notifications.handlers.receiver import WHOLE_SECONDS, WayOut, WebhookSettings
from services.notifications.store import Store
from services.notifications.timers.figures import figures_of
from services.notifications.timers.post import either
from shared.kit.node import Node
from shared.kit.work import Works

log = structlog.get_logger()

BUSY_SECONDS = 0.2
GATHER_SECONDS = 0.02
IDLE_SECONDS = 1.0
GRACE_SECONDS = 5.0
# Longer than an attempt can take: nobody makes a push again whose sender lives.
LEASE = timedelta(seconds=4 * WHOLE_SECONDS)


class Couriers:
    """Makes the attempts; each is a task of its own, so a receiver that hangs holds up nobody else."""

    def __init__(
        self,
        works: Works[Store],
        out: WayOut,
        most: int,
        holder: str,
        random: Random,
        count: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._works = works
        self._out = out
        self._most = most
        self._holder = holder
        self._random = random
        self._count = count
        self._under_way: set[asyncio.Task[Done]] = set()
        self._done: list[Done] = []
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Push until cancelled; what is under way then is finished, as far as the time of grace reaches."""
        async with self._works() as work:
            await pushing.recover(work, self._holder)
        turns = asyncio.create_task(self._turns())
        try:
            await asyncio.wait({turns})
            turns.result()
        finally:
            # Told to stop instead of cancelled: a transaction that is open ends, and answers on the way are kept.
            self._stopping.set()
            await asyncio.wait({turns}, timeout=2 * GRACE_SECONDS)
            turns.cancel()
            await asyncio.gather(turns, return_exceptions=True)

    async def _turns(self) -> None:
        while not self._stopping.is_set():
            if not await self._keep_and_begin():
                await self._wait()
        await self._finish()

    async def until_nothing_is_due(self) -> int:
        """Push what is due now; give how many attempts were made."""
        made = await self._keep_and_begin()
        while self._under_way:
            await self._some_end()
            made += await self._keep_and_begin()
        return made

    async def _keep_and_begin(self) -> int:
        ended = {task for task in self._under_way if task.done()}
        self._under_way -= ended
        self._done += [task.result() for task in ended]
        if not self._done and not await self._anything_due():
            return 0
        async with self._works() as work:
            await pushing.keep_replies(self._done, self._random, work)
            claimed = await pushing.claim_due(self._free, self._holder, LEASE, work)
        self._done.clear()
        for one in claimed:
            self._under_way.add(asyncio.create_task(self._attempt(one)))
        return len(claimed)

    @property
    def _free(self) -> int:
        return self._most - len(self._under_way)

    async def _anything_due(self) -> bool:
        if self._free <= 0:
            return False
        async with self._works.looking() as store:
            return bool(await store.webhooks.ready(self._works.clock.now()))

    async def _wait(self) -> None:
        """Wait until an attempt ends, or a moment; where nobody wants anything, a longer one."""
        if self._under_way:
            await self._some_end()
        else:
            async with self._works.looking() as store:
                wanted = await store.webhooks.any()
            await either(self._stopping, BUSY_SECONDS if wanted else IDLE_SECONDS)

    async def _some_end(self) -> None:
        """Wait until an attempt ends, at most a moment, and a little for others: a commit for each would cost more."""
        ended, _ = await asyncio.wait(self._under_way, timeout=BUSY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if ended and len(ended) < len(self._under_way):
            await either(self._stopping, GATHER_SECONDS)

    async def _attempt(self, claimed: Claimed) -> Done:
        now = self._works.clock.now()
        try:
            headers = signing.headers(claimed.push.message_id, now, claimed.body, claimed.secrets)
            reply = await self._out.post(claimed.url, headers, claimed.body, now)
        except Exception:
            # One push that cannot be made must not keep all others from leaving.
            log.exception("push_fault", push=claimed.push.id, webhook=claimed.push.webhook_id)
            reply = Reply(Outcome.fault)
        if self._count is not None:
            self._count(reply.outcome)
        return Done(claimed.push, reply)

    async def _finish(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GRACE_SECONDS)
        late = {task for task in self._under_way if not task.done()}
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._done += [task.result() for task in self._under_way - late]
        self._under_way.clear()
        if self._done:
            async with self._works() as work:
                await pushing.keep_replies(self._done, self._random, work)
            self._done.clear()


async def push(node: Node[Store]) -> None:
    """Push what is due, as long as the service runs."""
    settings = cast("WebhookSettings", node.settings)
    most = settings.webhook_connections
    out = WayOut(private=settings.webhook_private, connections=most)
    holder = node.settings.holder_of(node.service.name)
    try:
        await Couriers(node.works, out, most, holder, SystemRandom(), figures_of(node.registry).count).run()
    finally:
        await out.close()
