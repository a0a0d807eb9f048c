"""What the service hears."""

from services.events.handlers import copies, partners
from services.events.store import Store
from shared.contract.events import (
    MeetingAvailabilityChanged,
    MeetingCancelled,
    MeetingChanged,
    MeetingHeld,
    MeetingMessage,
    MeetingPostponed,
    MeetingPublished,
)
from shared.contract.words import MeetingState
from shared.kit.hears import Hears
from shared.kit.inbox import Takes
from shared.kit.work import Work

hears = Hears()

_PUBLIC = frozenset(MeetingState) - {MeetingState.DRAFT}
takes = Takes(
    {
        MeetingPublished: frozenset({MeetingState.PUBLISHED}),
        MeetingChanged: _PUBLIC,
        MeetingPostponed: frozenset({MeetingState.POSTPONED}),
        MeetingCancelled: frozenset({MeetingState.CANCELLED}),
        MeetingHeld: frozenset({MeetingState.HELD}),
        MeetingAvailabilityChanged: _PUBLIC,
    },
    partners.known_version,
)


@hears.newest(
    MeetingPublished, MeetingChanged, MeetingPostponed, MeetingCancelled, MeetingHeld, MeetingAvailabilityChanged
)
async def meetings(messages: list[MeetingMessage], work: Work[Store]) -> None:
    """Keep what every institution tells of its meetings, our own ones too."""
    await copies.keep_seen(messages, work)
