"""What other institutions tell of their meetings, kept as dated pictures."""

from services.events.store import Store
from shared.contract.events import MeetingMessage
from shared.kit.work import Work


async def keep_seen(messages: list[MeetingMessage], work: Work[Store]) -> None:
    """Keep the newest picture of each meeting."""
    await work.store.keep_seen(messages, work.now)
