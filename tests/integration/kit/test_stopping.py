"""A process that is told to stop: whoever had come to its door by then is answered."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI

from shared.kit import run

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
STARVED = 0.5
LOOPS: dict[str, Callable[[Coroutine[Any, Any, None]], None]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


class Caller:
    """Somebody who connects and asks; the connection stands before the process has seen it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket = socket.socket()

    def connect(self) -> None:
        """Knock at the door."""
        self._socket.connect(self._address)

    def ask(self) -> None:
        """Send the request; who is cut off already hears nothing."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(REQUEST)

    def hears(self) -> bytes:
        """Give the answer, nothing where there is none."""
        self._socket.settimeout(5)
        with self._socket, contextlib.suppress(ConnectionError):
            return self._socket.recv(4096)
        return b""


Scene = Callable[[Caller], None]


def asks_a_moment_later(caller: Caller) -> None:
    """Has connected, and the request is still on its way."""
    asyncio.get_running_loop().call_later(0.05, caller.ask)


def asks_a_starved_process(caller: Caller) -> None:
    """Has connected; the machine has no time for the process until long after."""

    def starve() -> None:
        caller.ask()
        time.sleep(STARVED)

    asyncio.get_running_loop().call_later(0.05, starve)


def comes_to_a_starved_process(caller: Caller) -> None:
    """Stands at the door, and the machine has no time for the process until long after."""
    caller.connect()
    caller.ask()
    asyncio.get_running_loop().call_soon(time.sleep, STARVED)


SCENES: tuple[Scene, ...] = (asks_a_moment_later, asks_a_starved_process)


def _answer(loop: str, scene: Scene, monkeypatch: pytest.MonkeyPatch, *, early: bool = True) -> bytes:
    """Give what somebody hears for whom the scene begins when the process is told to stop."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        caller = Caller(door.getsockname())
        LOOPS[loop](_told_to_stop(caller, scene, door, monkeypatch, early))
        return caller.hears()


async def _told_to_stop(
    caller: Caller, scene: Scene, door: socket.socket, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    app = FastAPI()
    app.get("/")(lambda: "answered")
    server = run._Server(uvicorn.Config(app, lifespan="off", log_config=None), app)
    monkeypatch.setattr(run, "stop_listeners", lambda _: scene(caller))
    serving = asyncio.create_task(server.serve(sockets=[door]))
    await _until(lambda: server.started)
    if early:
        caller.connect()
        await _until(lambda: bool(server.server_state.connections))
    server.should_exit = True
    await serving


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("scene", SCENES)
def test_who_has_connected_when_the_process_is_told_to_stop_is_answered(
    loop: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request comes behind the signal; a machine that has no time for the process makes no difference."""
    answer = _answer(loop, scene, monkeypatch)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'"answered"')


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_process_that_stops_at_once_cuts_them_off(loop: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the moment for which the door stays open the same request is refused."""
    monkeypatch.setattr(run, "LINGER", 0.0)
    assert _answer(loop, scene, monkeypatch) == b""


@pytest.mark.parametrize("loop", LOOPS)
def test_who_stands_at_the_door_of_a_starved_process_is_answered(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel took the connection; the process looks at its door again before it closes it."""
    assert _answer(loop, comes_to_a_starved_process, monkeypatch, early=False).startswith(b"HTTP/1.1 200")


def test_a_starved_process_that_only_waits_cuts_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where it waits in one piece, its time is over before it has looked."""
    monkeypatch.setattr(run, "TURNS", 1)
    assert _answer("asyncio", comes_to_a_starved_process, monkeypatch, early=False) == b""
