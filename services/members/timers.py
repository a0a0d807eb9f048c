"""What members does when it starts; nothing of it is due again and again."""

from services.members.handlers.institutions import ensure_office
from services.members.store import Store
from shared.kit.node import Node, Timer

TIMERS: tuple[Timer, ...] = ()


async def begin(node: Node[Store]) -> None:
    """See to it that the office is an institution, where the node hosts it."""
    # Only one node may speak for the office: another one would tell a second first version of it.
    if not node.settings.hosts(node.settings.office):
        return
    async with node.works() as work:
        await ensure_office(work)
