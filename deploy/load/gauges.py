"""Memory and file handles of the node's processes, sampled while something goes on."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, time

import psutil

from deploy.demo.platform import Embedded

MIB = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """What a process held at a moment: `at` and `age` in seconds, `rss` in MiB."""

    at: float
    age: float
    rss: float
    handles: int


def processes_of(platform: Embedded) -> dict[str, int]:
    """Give the process ids of the services and of Redis."""
    found = {name: process.pid for name, process in platform.processes.items()}
    if platform.redis.pid is not None:
        found["redis"] = platform.redis.pid
    return found


class Gauges:
    """Samples of every process by name."""

    def __init__(self, who: Callable[[], Mapping[str, int]]) -> None:
        self._who = who
        self._begun = monotonic()
        self.samples: dict[str, list[Sample]] = defaultdict(list)

    def look(self) -> None:
        """Take a sample of every process that lives."""
        for name, pid in self._who().items():
            # A process that was killed a moment ago has nothing to show.
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    rss, handles, age = process.memory_info().rss, process.num_fds(), time() - process.create_time()
                self.samples[name].append(Sample(monotonic() - self._begun, age, rss / MIB, handles))

    @asynccontextmanager
    async def looking(self, every: float) -> AsyncIterator[None]:
        """Look again and again until the block ends."""

        async def again() -> None:
            while True:
                self.look()
                await asyncio.sleep(every)

        task = asyncio.create_task(again())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.look()
