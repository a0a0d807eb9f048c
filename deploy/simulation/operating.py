"""What an operator does once the faults are over: looks at what is parked, and asks for it where that may help."""

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from deploy.simulation.store import NOBODY, Disk, MemoryConnection
from shared.kit import parking, tables
from shared.kit.reader import MOST_ATTEMPTS

if TYPE_CHECKING:
    from deploy.simulation.world import World

_UNFINISHED = sa.select(tables.parked).where(tables.parked.c.state == "parked", tables.parked.c.code == "never_ends")


async def ask_again(world: "World") -> None:
    """Ask for what the last release could not bear, and for what was under way each time that a process died."""
    for site in world.sites:
        for service, disk in site.disks.items():
            async with disk.lock:
                unlucky = _unlucky(world, disk) if world.deaths[site.name, service] >= MOST_ATTEMPTS else []
                with disk.begin():
                    connection: Any = MemoryConnection(disk.connection, NOBODY)
                    asked = await parking.ask_retry(connection, code="NotMendedError")
                    asked += await parking.ask_retry(connection, ids=unlucky) if unlucky else 0
            if asked:
                world.trace.mark("parked_message_retried")


def is_poison(world: "World", row: sa.Row[Any]) -> bool:
    """Tell whether a parked message is one that nobody can use, or one of a thing of which there is such a one."""
    return any(row.payload == one.payload or (row.stream, row.key) == (one.stream, one.key) for one in world.poisoned)


def _unlucky(world: "World", disk: Disk) -> list[int]:
    """Give what was parked because of deaths that it did not cause."""
    return [row.id for row in disk.rows(_UNFINISHED) if not is_poison(world, row)]
