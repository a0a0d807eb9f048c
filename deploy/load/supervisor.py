"""Starts a process again whenever it ends, and ends it where it takes more memory than a container would give it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

MOST_MIB = 384
"""What docker-compose.yml gives a service."""
_LOOK = 0.01
_STOPPING = 15.0


@dataclass
class Life:
    """When a process began, listened and ended: seconds of the monotonic clock."""

    begun: float
    up: float | None = None
    ended: float | None = None
    too_large: bool = False


@dataclass
class Supervised:
    """A command that is kept running as `restart: unless-stopped` does it, but without a wait before the restart."""

    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    log: Path
    lives: list[Life] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it running until the block ends; then it is told to stop."""
        task = asyncio.create_task(self._live())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def life_at(self, moment: float) -> Life | None:
        """Give the life in which a moment was."""
        return next((one for one in self.lives if one.begun <= moment and (one.ended or moment) >= moment), None)

    async def _live(self) -> None:
        while True:
            life = Life(monotonic())
            self.lives.append(life)
            with self.log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *self.command, env=self.environment, stdout=log, stderr=log
                )
            try:
                await self._watch(life, process)
            finally:
                if process.returncode is None:
                    await _stopped(process)
            life.ended = monotonic()

    async def _watch(self, life: Life, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            seen = psutil.Process(process.pid)
            while process.returncode is None:
                if life.up is None and await _listens(self.port):
                    life.up = monotonic()
                if seen.memory_info().rss > MOST_MIB * 2**20:
                    life.too_large = True
                    process.kill()
                await asyncio.sleep(_LOOK)
        await process.wait()


async def _stopped(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(_STOPPING):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
