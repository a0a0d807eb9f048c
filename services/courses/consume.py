"""What the service hears."""

from services.courses.handlers import copies
from services.courses.store import Store
from shared.contract.courses import (
    RunAvailabilityChanged,
    RunCancelled,
    RunChanged,
    RunCompleted,
    RunConfirmed,
    RunMessage,
    RunPublished,
    RunStarted,
)
from shared.kit.hears import Hears
from shared.kit.work import Work

hears = Hears()


@hears.newest(RunPublished, RunChanged, RunConfirmed, RunStarted, RunCancelled, RunCompleted, RunAvailabilityChanged)
async def runs(messages: list[RunMessage], work: Work[Store]) -> None:
    """Keep what every institution tells of its runs, our own ones too."""
    await copies.keep_seen(messages, work)
