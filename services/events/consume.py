"""What the service hears."""

from services.events.handlers import copies
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
from shared.kit.hears import Hears
from shared.kit.work import Work

hears = Hears()


@hears.newest(
    MeetingPublished, MeetingChanged, MeetingPostponed, MeetingCancelled, MeetingHeld, MeetingAvailabilityChanged
)
async def meetings(messages: list[MeetingMessage], work: Work[Store]) -> None:
    """Keep what every institution tells of its meetings, our own ones too."""
    await copies.keep_seen(messages, work)
