"""A connection that rested: the service does not close it before its caller would."""

import asyncio
import socket

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI

from shared.kit.run import KEEP_ALIVE

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
RESTED = 1.5


async def _second_answer(keep_alive: int) -> bytes:
    """Ask, rest, ask again; gives what came back, nothing where the connection was closed meanwhile."""
    config = uvicorn.Config(FastAPI(), "127.0.0.1", 0, log_config=None, lifespan="off", timeout_keep_alive=keep_alive)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.01)
    with socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=5) as caller:
        try:
            caller.sendall(REQUEST)
            assert await asyncio.to_thread(caller.recv, 4096)
            await asyncio.sleep(RESTED)
            caller.sendall(REQUEST)
            return await asyncio.to_thread(caller.recv, 4096)
        except ConnectionError:
            return b""
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize(("keep_alive", "answered"), [(KEEP_ALIVE, True), (1, False)])
def test_who_rested_is_answered(keep_alive: int, answered: bool) -> None:
    """The control: a service that allows less rest than its callers take cuts off what they send then."""
    assert bool(uvloop.run(_second_answer(keep_alive))) is answered
