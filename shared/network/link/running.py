"""Keeps a link going: one copy leads, each loop waits by itself when its side is away, and nothing fills the log."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from shared.kit.applying import is_transient
from shared.kit.clock import full_jitter
from shared.kit.ending import is_ending
from shared.kit.streams import Position
from shared.network.link.fence import NotLeading
from shared.network.link.link import Link

log = structlog.get_logger()

BLOCK_MS = 2000
CHECK_EVERY = 10.0
TRIM_EVERY = 3600.0
HOLD_EVERY = 1.0
LOOK_EVERY = 1.0
LONGEST_PAUSE = 10.0

Wake = Callable[[dict[str, Position], float], Awaitable[None]]


class Lead(Protocol):
    """What says whether this copy leads: `shared.kit.lease.Lease`."""

    async def hold(self) -> bool:
        """Take or renew the lead."""
        ...

    async def release(self) -> None:
        """Give the lead back."""
        ...


@dataclass
class Running:
    """A link with its loops; `wake` waits until one of some streams inside has an entry behind its place."""

    link: Link
    lease: Lead
    wake: Wake | None = None
    leading: asyncio.Event = field(default_factory=asyncio.Event)
    failing: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Run until cancelled."""
        turns = [self._lead(), self._again("check", self._check, CHECK_EVERY), self._again("trim", self._trim, 60.0)]
        for slug in self.link.identities:
            turns.append(self._again(f"up:{slug}", lambda slug=slug: self._up(slug), 0.0))  # type: ignore[misc] # a default binds it
            turns.append(self._again(f"down:{slug}", lambda slug=slug: self._down(slug), 0.0))  # type: ignore[misc] # as above
        tasks = [asyncio.create_task(turn) for turn in turns]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.leading.is_set():
                await self._give_back()

    async def _lead(self) -> None:
        while not is_ending():
            try:
                holds = await self.lease.hold()
                if holds and not self.leading.is_set():
                    await self.link.start()
                    self.leading.set()
                    log.info("link_leads", institutions=sorted(self.link.identities))
                elif not holds and self.leading.is_set():
                    self.leading.clear()
                    log.warning("link_waits", reason="another copy leads")
            except Exception as error:
                # What it writes is fenced by the lease's row: it may go on until the row says otherwise.
                self._failed("lead", error)
            else:
                self.failing.pop("lead", None)
            await self._pause(HOLD_EVERY)

    async def _again(self, name: str, do: Callable[[], Awaitable[None]], every: float) -> None:
        while not is_ending():
            await self.leading.wait()
            try:
                await do()
            except NotLeading:
                await self._pause(HOLD_EVERY)
            except Exception as error:
                failures = self._failed(name, error)
                await self._pause(0.05 + full_jitter(self.link.random, failures, cap=LONGEST_PAUSE))
            else:
                if failures := self.failing.pop(name, 0):
                    log.info("link_recovered", turn=name, failures=failures)
                await self._pause(every)

    async def _pause(self, seconds: float) -> None:
        if not is_ending():
            await self.link.clock.sleep(seconds)

    def _failed(self, name: str, error: Exception) -> int:
        failures = self.failing[name] = self.failing.get(name, 0) + 1
        if not is_transient(error):
            log.error("link_fault", turn=name, exc_info=error)
        elif failures & (failures - 1) == 0:
            log.warning("link_failed", turn=name, failures=failures, reason=str(error))
        return failures

    async def _up(self, slug: str) -> None:
        link = self.link
        while await link.send(slug):
            pass
        behind = {up.stream: up.position for up in link.ups.values() if up.name.writer == slug and not up.stopped}
        if self.wake is None or not behind:
            await self._pause(LOOK_EVERY / 4)
        else:
            await self.wake(behind, LOOK_EVERY)

    async def _down(self, slug: str) -> None:
        await self.link.step_down(slug, BLOCK_MS)

    async def _check(self) -> None:
        await self.link.check()
        await self.link.erase()

    async def _trim(self) -> None:
        await self.link.trim()
        await self._pause(TRIM_EVERY)

    async def _give_back(self) -> None:
        try:
            await self.lease.release()
        except Exception as error:
            log.warning("lease_not_released", reason=type(error).__name__)
