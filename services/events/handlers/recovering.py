"""After a backup was restored: meetings become again what the network was told of them."""

from collections.abc import Sequence

from services.events.domain.meeting import Series, as_told
from services.events.store import Store
from shared.contract.envelope import Message
from shared.contract.events import MeetingMessage
from shared.kit.errors import NotFound
from shared.kit.work import Work


async def take_back(messages: Sequence[Message], work: Work[Store]) -> None:
    """Bring our meetings to the newest told state; who had which place is what the backup holds."""
    for message in messages:
        if isinstance(message, MeetingMessage):
            await _take_back(message, work)


async def _take_back(message: MeetingMessage, work: Work[Store]) -> None:
    told = message.picture
    if await work.store.has_meeting(told.meeting_id):
        meeting = await work.store.locked_meeting(told.meeting_id)
        if meeting.version < message.version:
            await work.store.keep_meeting(as_told(told, message.institution, message.version, meeting))
        return
    if told.series_id is not None:
        try:
            await work.store.one_series(told.series_id, message.institution)
        except NotFound:
            title = told.series_title or told.title
            await work.store.add_series(Series(told.series_id, message.institution, title, told.kind))
    await work.store.add_meeting(as_told(told, message.institution, message.version, None))
