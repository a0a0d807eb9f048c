"""Sending mails: claims them, hands them over, keeps the answers."""

import asyncio
from datetime import timedelta
from itertools import count
from random import Random, SystemRandom
from typing import Protocol, cast

import structlog

from services.notifications.domain.retry import RULES, Failure
from services.notifications.handlers import sending
from services.notifications.handlers.sending import Claimed
from services.notifications.handlers.smtp import PATIENCE_FOR_ALL, Line, Server
from services.notifications.store import Store
from shared.kit.applying import is_transient
from shared.kit.clock import full_jitter
from shared.kit.node import Node
from shared.kit.work import Works

log = structlog.get_logger()

IDLE_SECONDS = 0.2
GRACE_SECONDS = 5.0
SHRUNK_FOR = timedelta(minutes=5)
KEPT_AGAIN = 8


class MailSettings(Protocol):
    """What an operator says about mail."""

    smtp_connections: int
    smtp_patience: timedelta
    mail_from: str

    @property
    def mail_server(self) -> Server:
        """Give the mail server."""
        ...


class Post:
    """Sends what is due over a few connections; each has one mail under way, so little is uncertain after a kill."""

    def __init__(self, works: Works[Store], settings: MailSettings, holder: str, random: Random) -> None:
        self._works = works
        self._settings = settings
        self._holder = holder
        self._random = random
        # Longer than a mail may take, with the second try after an idle line: nobody judges a living sender.
        self._lease = settings.smtp_patience * PATIENCE_FOR_ALL * 3
        self._stopping = asyncio.Event()
        self._allowed = settings.smtp_connections
        self._grow_at = works.clock.now()

    async def run(self) -> None:
        """Send until cancelled; what is under way then is finished, as far as the time of grace reaches."""
        async with self._works() as work:
            await sending.recover(work, self._holder)
        workers = [asyncio.create_task(self._work(number)) for number in range(self._settings.smtp_connections)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for ended in done:
                ended.result()
        finally:
            self._stopping.set()
            # A mail whose answer is on the way would be uncertain for nothing.
            _, late = await asyncio.wait(workers, timeout=GRACE_SECONDS)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def until_nothing_is_due(self) -> int:
        """Send what is due now over one connection; give how many attempts were made."""
        line, made, claimed = self._line(), 0, await self._claimed()
        try:
            while claimed is not None:
                claimed, made = await self._deliver(claimed, line), made + 1
        finally:
            await line.close()
        return made

    def _line(self) -> Line:
        return Line(self._settings.mail_server, self._settings.mail_from)

    async def _work(self, number: int) -> None:
        line = self._line()
        try:
            while not self._stopping.is_set():
                claimed = await self._claimed() if number < self._room() else None
                while claimed is not None:
                    claimed = await self._deliver(claimed, line, number)
                await either(self._stopping, IDLE_SECONDS)
        finally:
            await line.close()

    async def _claimed(self) -> Claimed | None:
        async with self._works.looking() as store:
            if not await sending.may_send(store, self._works.clock.now()):
                return None
        async with self._works() as work:
            return await sending.claim_next(self._settings, self._holder, self._lease, work)

    async def _deliver(self, claimed: Claimed, line: Line, number: int = 0) -> Claimed | None:
        """Send one mail, then keep its answer and take the next one in one transaction."""
        answer = await line.send(claimed.recipient, claimed.body)
        for attempt in count(1):
            try:
                async with self._works() as work:
                    failure = await sending.keep_answer(claimed, answer, self._random, work)
                    self._shrink(failure)
                    if self._stopping.is_set() or number >= self._room():
                        return None
                    return await sending.claim_next(self._settings, self._holder, self._lease, work)
            except Exception as error:
                # Without its result a sent mail is uncertain: keep it as soon as the database answers again.
                if not is_transient(error) or attempt == KEPT_AGAIN:
                    raise
                log.warning("answer_not_kept_yet", delivery=claimed.id, reason=type(error).__name__)
                await self._works.clock.sleep(full_jitter(self._random, attempt))
        return None

    def _shrink(self, failure: Failure | None) -> None:
        if failure is not None and RULES[failure].shrinks:
            self._allowed = max(1, self._allowed // 2)
            self._grow_at = self._works.clock.now() + SHRUNK_FOR

    def _room(self) -> int:
        if self._works.clock.now() >= self._grow_at:
            self._allowed = self._settings.smtp_connections
        return self._allowed


async def either(stopping: asyncio.Event, seconds: float) -> None:
    """Wait for a while, or until it is time to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


async def send(node: Node[Store]) -> None:
    """Send what is due, as long as the service runs."""
    settings = cast("MailSettings", node.settings)
    await Post(node.works, settings, node.settings.holder_of(node.service.name), SystemRandom()).run()
