"""A process that does one part of a measurement: it gets ready, waits for the word, does it and says what came out."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

Job = Callable[..., AsyncIterator[Any]]
"""Yields once when it is ready, and once more with its result, which is JSON."""


class Worker:
    """Another process of the measurement."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        """Start a process that waits for jobs."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "deploy.bench.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=Path(__file__).parents[2],
                env=dict(os.environ),
                limit=64 * 1024 * 1024,
            )
        )

    async def prepare(self, job: str, **arguments: Any) -> None:
        """Have a job get ready."""
        self._say({"job": job, **arguments})
        await self._hear()

    def go(self) -> None:
        """Give the word."""
        self._say({})

    async def result(self) -> Any:
        """Wait for what came out."""
        return await self._hear()

    async def do(self, job: str, **arguments: Any) -> Any:
        """Do a job from its beginning to its end."""
        await self.prepare(job, **arguments)
        self.go()
        return await self.result()

    async def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.close()
        await self._process.wait()

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def _hear(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the measurement died; its reason stands above")
        return json.loads(line)


async def serve(jobs: dict[str, Job]) -> None:
    """Do jobs as they are told on standard input, until it ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        todo = json.loads(line)
        job = jobs[todo.pop("job")](**todo)
        await anext(job)
        _answer(None)
        await asyncio.to_thread(sys.stdin.readline)
        _answer(await anext(job))
        await anext(job, None)


def _answer(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    from deploy.bench.jobs import JOBS
    from deploy.bench.loop import run

    run(serve(JOBS))
