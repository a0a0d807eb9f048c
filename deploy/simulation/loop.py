"""An event loop whose time is virtual: nobody waits, and the order of everything follows from the seed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")


class NothingLeftError(RuntimeError):
    """Everybody waits for something that nobody will do."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Jumps to the next moment at which something is due, instead of sleeping until then."""

    # Asked with every line of a trace; asyncio asks the system for the process's number before it names its loop.
    newest: ClassVar["VirtualLoop"]

    def __init__(self) -> None:
        super().__init__()
        VirtualLoop.newest = self
        self._moment = 0.0
        # The base class asks its selector for as long as it would sleep; this loop is its own selector.
        self._selector = self

    def time(self) -> float:
        """Give the virtual seconds since the beginning."""
        return self._moment

    def select(self, timeout: float | None) -> list[Any]:
        """Move the time on by what the loop would have slept."""
        if timeout is None:
            raise NothingLeftError("no task can go on, and no time-out is running")
        self._moment += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets, and so no events."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken: the loop never sleeps."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and all that it started to its end, in no time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def now() -> float:
    """Give the virtual seconds since the beginning of the world that lives; there is one at a time."""
    return VirtualLoop.newest.time()
