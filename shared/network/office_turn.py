"""The office as a part of members: it names new keys, signs the roster each day, mends a hub that was wiped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from shared.kit.applying import is_transient
from shared.kit.clock import Clock
from shared.kit.database import Database
from shared.kit.node import Node
from shared.network.access import OFFICE
from shared.network.hub import HubFolder
from shared.network.hub_streams import HubAway
from shared.network.office import Office
from shared.network.redis_desk import RedisDesk
from shared.network.redis_hub import connect_hub
from shared.network.refusal import Refused

log = structlog.get_logger()

EVERY = 5.0


@asynccontextmanager
async def open_office(
    database: Database, folder: HubFolder, hub: str, ca: str, office: str, clock: Clock
) -> AsyncIterator[Office]:
    """Open the office on the folder that `album hub init` made, connected to its hub."""
    client = connect_hub(hub, OFFICE, folder.password(), ca or (str(folder.ca) if folder.ca.exists() else None))
    try:
        seeds = folder.root_seeds()
        opened = Office(database, RedisDesk(client, folder), seeds, office, clock)
        await opened.begin(threshold=len(seeds) // 2 + 1)
        yield opened
    finally:
        await client.aclose()


async def turn(node: Node[Any]) -> None:
    """Keep the network fresh for as long as the node runs; does nothing where the office's hub is not kept."""
    settings: Any = node.settings
    if not settings.hub_dir or not settings.hub:
        return
    folder = HubFolder(Path(settings.hub_dir))
    failures = 0
    while True:
        try:
            async with open_office(
                node.database, folder, settings.hub, settings.hub_ca, settings.office, node.works.clock
            ) as office:
                while True:
                    await office.keep_fresh()
                    failures = 0
                    await asyncio.sleep(EVERY)
        except Exception as error:
            failures += 1
            _say(error, failures)
            await asyncio.sleep(min(EVERY * failures, 60.0))


def _say(error: Exception, failures: int) -> None:
    if not (is_transient(error) or isinstance(error, HubAway | Refused)):
        log.exception("office_fault")
    elif failures & (failures - 1) == 0:
        log.warning("office_waits", failures=failures, reason=str(error))
