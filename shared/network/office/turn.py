"""The office as a part of members: it names new keys, signs the roster each day, mends a hub that was wiped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from shared.kit.applying import is_transient
from shared.kit.clock import Clock
from shared.kit.database import Database
from shared.kit.ending import is_ending, pause
from shared.kit.node import Node
from shared.network.hub.certificate import Ends, ends_of
from shared.network.hub.hub import HubFolder, open_hub
from shared.network.hub.streams import HubAway
from shared.network.office.desk import RedisDesk
from shared.network.office.metrics import Hours
from shared.network.office.office import Office
from shared.network.refusal import Refused

log = structlog.get_logger()

EVERY = 5.0
LONGEST_PAUSE = 60.0


def is_kept_here(settings: Any) -> bool:
    """Tell whether this is the office's node: it knows the hub's address and has its folder."""
    return bool(settings.hub_dir and settings.hub)


@asynccontextmanager
async def open_office(database: Database, settings: Any, clock: Clock) -> AsyncIterator[Office]:
    """Open the office on the folder that `album hub init` made, connected to its hub."""
    folder = HubFolder(Path(settings.hub_dir))
    client = open_hub(folder, settings.hub, settings.hub_ca)
    try:
        seeds = folder.root_seeds()
        opened = Office(database, RedisDesk(client, folder), seeds, settings.office, clock)
        await opened.begin(threshold=len(seeds) // 2 + 1)
        yield opened
    finally:
        await client.aclose()


async def turn(node: Node[Any]) -> None:
    """Keep the network fresh for as long as the node runs; does nothing where the office's hub is not kept."""
    settings: Any = node.settings
    if not is_kept_here(settings):
        return
    folder = HubFolder(Path(settings.hub_dir))
    hours = Hours(node.works.clock, node.works.clock.now(), certificate=lambda: _certificate(folder))
    node.registry.register(hours)
    node.stops["office"] = hours.stopped
    while not is_ending():
        try:
            async with open_office(node.database, settings, node.works.clock) as office:
                while not is_ending():
                    _say_end(hours)
                    await office.keep_fresh()
                    hours.kept(await office.asking())
                    await pause(EVERY)
        except Exception as error:
            failures = hours.failed(_words(error))
            _say(error, failures)
            await pause(min(EVERY * failures, LONGEST_PAUSE))


def _certificate(folder: HubFolder) -> Ends | None:
    """Read until when the hub's certificate holds; None where it has none, or one that nobody can read."""
    try:
        return ends_of(folder)
    except (OSError, Refused):
        return None


def _say_end(hours: Hours) -> None:
    end = hours.ends_soon()
    if end is not None:
        log.warning("hub_certificate_ends", at=end.isoformat(), do="album hub certificate --renew")


def _words(error: Exception) -> str:
    """Say what failed: those refusals and absences say it themselves, others may hold what nobody should read."""
    known = isinstance(error, HubAway | Refused | OSError)
    return str(error) if known else type(error).__name__


def _say(error: Exception, failures: int) -> None:
    if not (is_transient(error) or isinstance(error, HubAway | Refused)):
        log.exception("office_fault")
    elif failures & (failures - 1) == 0:
        log.warning("office_waits", failures=failures, reason=str(error))
