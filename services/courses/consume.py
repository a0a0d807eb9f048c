"""What the service hears."""

from services.courses.handlers import copies, partners
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
from shared.contract.words import RunState
from shared.kit.hears import Hears
from shared.kit.inbox import Takes
from shared.kit.work import Work

hears = Hears()

_TO_COME = frozenset({RunState.PUBLISHED, RunState.CONFIRMED})
_PUBLIC = frozenset(RunState) - {RunState.DRAFT}
takes = Takes(
    {
        RunPublished: _TO_COME,
        RunChanged: _PUBLIC,
        RunConfirmed: frozenset({RunState.CONFIRMED}),
        RunStarted: frozenset({RunState.RUNNING}),
        RunCancelled: frozenset({RunState.CANCELLED}),
        RunCompleted: frozenset({RunState.COMPLETED}),
        RunAvailabilityChanged: _PUBLIC,
    },
    partners.known_version,
)


@hears.newest(RunPublished, RunChanged, RunConfirmed, RunStarted, RunCancelled, RunCompleted, RunAvailabilityChanged)
async def runs(messages: list[RunMessage], work: Work[Store]) -> None:
    """Keep what every institution tells of its runs, our own ones too."""
    await copies.keep_seen(messages, work)
