"""Runs notifications as it is, but its handler of contacts does to the process whatever a contact's name says."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from services.notifications.app import service
from shared.contract.envelope import type_of
from shared.contract.events import RegistrantContactRecorded
from shared.kit.applying import Applier
from shared.kit.hears import Hears
from shared.kit.run import run
from shared.kit.streams import Entry
from shared.kit.work import Work

ATTEMPTS = "ALBUM_ATTEMPTS"
"""Names the file that gets a line for each attempt at an entry: `stream position`."""
_MIB = 1024 * 1024


async def _fail() -> None:
    raise ValueError("this one is not liked")


async def _hang() -> None:
    await asyncio.Event().wait()


async def _spin() -> None:
    while True:
        pass


async def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _ask_for_too_much() -> None:
    bytearray(2**46)


async def _eat() -> None:
    held = []
    for _ in range(200):  # an end of its own, should nobody end it
        held.append(bytearray(os.urandom(1) * (16 * _MIB)))
        time.sleep(0.01)  # noqa: ASYNC251 - it eats as fast as one core lets it, and lets nobody in between
    os.abort()


WAYS: dict[str, Callable[[], Awaitable[None]]] = {
    "fails": _fail,
    "hangs": _hang,
    "spins": _spin,
    "ends the process": _end,
    "asks for too much": _ask_for_too_much,
    "eats memory": _eat,
}


def misbehaving(hears: Hears) -> Hears:
    """Give a table of contents in which contacts have their way with the process before they are kept."""
    word = type_of(RegistrantContactRecorded)
    route = hears.routes[word]

    async def do(message: RegistrantContactRecorded, work: Work[Any]) -> None:
        if (way := WAYS.get(message.name)) is not None:
            await way()
        await route.do(message, work)

    return replace(hears, routes={**hears.routes, word: replace(route, do=do)})


def _note_attempts(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    apply = Applier.apply

    async def noted(self: Applier, entries: list[Entry], work: Work[Any], **more: Any) -> None:
        os.write(file, "".join(f"{self._stream} {one.position}\n" for one in entries).encode())
        await apply(self, entries, work, **more)

    Applier.apply = noted  # type: ignore[method-assign] # how often an entry was tried is kept nowhere once it has an end


if __name__ == "__main__":
    _note_attempts(os.environ[ATTEMPTS])
    run(replace(service, hears=misbehaving(service.hears)))
