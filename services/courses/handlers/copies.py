"""What other institutions tell of their runs, kept as dated pictures."""

from services.courses.store import Store
from shared.contract.courses import RunMessage
from shared.kit.work import Work


async def keep_seen(messages: list[RunMessage], work: Work[Store]) -> None:
    """Keep the newest picture of each run."""
    await work.store.keep_seen(messages, work.now)
