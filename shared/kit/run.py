"""Starts a service: `python -m services.<name>`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvicorn
from fastapi import FastAPI

from shared.kit import log as logs
from shared.kit import migrate
from shared.kit.http import application
from shared.kit.node import Service, build
from shared.kit.settings import secrets_from_files

log = structlog.get_logger()


def run(service: Service) -> None:
    """Run a service until it is told to stop; ends with 3 where its database or its settings are not ready."""
    secrets_from_files()
    settings = service.settings()
    logs.configure(service.name, settings.log_level)
    if len(settings.secret.get_secret_value()) < 16:
        sys.exit(
            "ALBUM_SECRET is missing or shorter than 16 characters; it signs the links in mails: see deploy/env.example"
        )
    asyncio.run(_serve(service))


async def _serve(service: Service) -> None:
    settings = service.settings()
    node = build(service, settings)
    if not await migrate.ready(service, node.database):
        sys.exit(f"the database of {service.name} is not at this release's schema: run `album migrate` first")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with node.running():
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
    )
    await uvicorn.Server(config).serve()
