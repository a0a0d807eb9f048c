"""Starts a service: `python -m services.<name>`."""

import asyncio
import contextlib
import faulthandler
import gc
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
import uvicorn
from fastapi import FastAPI

from shared.kit import log as logs
from shared.kit import schema
from shared.kit.database import Database
from shared.kit.http import application
from shared.kit.node import Service, build
from shared.kit.reading import stop_listeners
from shared.kit.sentences import database_named, in_one_line
from shared.kit.settings import secrets_from_files

log = structlog.get_logger()
T = TypeVar("T")
LINGER = 0.3
TURNS = 10
KEEP_ALIVE = 75
"""Seconds for which a connection may rest: callers and proxies give theirs up after 5 to 60, and a request that is on
its way when the other side closes is lost. uvicorn's own are 5, as httpx's."""
STANDSTILL = 30.0
"""Seconds after which a process whose loop does not turn is ended: longer than a disk or a busy machine takes."""


def run(service: Service) -> None:
    """Run a service until it is told to stop; ends with 3 where its database or its settings are not ready."""
    with in_one_line():
        secrets_from_files()
        settings = service.settings()
    logs.configure(service.name, settings.log_level)
    if len(settings.secret.get_secret_value()) < 16:
        sys.exit(
            "ALBUM_SECRET is missing or shorter than 16 characters; it signs the links in mails: see deploy/env.example"
        )
    on_loop(_serve(service))


def on_loop(do: Coroutine[Any, Any, T]) -> T:
    """Run on the event loop and with the memory settings of a service."""
    # What is loaded by now stays: looking through it again and again for garbage cost half of reading a message.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ModuleNotFoundError:
        return asyncio.run(do)
    return uvloop.run(do)


@asynccontextmanager
async def turning(standstill: float = STANDSTILL) -> AsyncIterator[None]:
    """End this process once its loop stands still, and print where: nothing inside can stop a handler that spins.

    Whoever restarts it counts attempts as after any other death, and the message is set aside after three.
    """

    def begin_anew() -> None:
        faulthandler.dump_traceback_later(standstill, exit=True)

    async def again() -> None:
        while True:
            await asyncio.sleep(standstill / 10)
            begin_anew()

    begin_anew()
    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        faulthandler.cancel_dump_traceback_later()


async def _serve(service: Service) -> None:
    settings = service.settings()
    node = build(service, settings)
    with in_one_line(), database_named(service.name, node.database.url):
        ready = await _is_ready(service, node.database)
    if not ready:
        sys.exit(f"the database of {service.name} is not at this release's schema: run `album migrate` first")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with turning(), node.running():
            log.info("service_started", port=settings.port_of(service.name))
            yield
        log.info("service_stopped")

    app = application(node, lifespan=lifespan)
    config = uvicorn.Config(
        app,
        settings.host,
        settings.port_of(service.name),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=KEEP_ALIVE,
    )
    await _Server(config, app).serve()


async def _is_ready(service: Service, database: Database) -> bool:
    if await schema.is_newest(service, database):
        return True
    from shared.kit import migrate  # noqa: PLC0415 - alembic is loaded only where there is something to do

    return await migrate.ready(service, database)


class _Server(uvicorn.Server):
    """Lets listeners go first: uvicorn waits for every answer to end, and a live view has no end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests, end those that are under way, then the service."""
        stop_listeners(self._app)
        # Whoever connected before the signal may not be accepted yet: closing the door now cuts them off. In turns,
        # because a starved process would find its time over before it has looked at its door.
        for _ in range(TURNS):
            await asyncio.sleep(LINGER / TURNS)
        await super().shutdown(sockets)
