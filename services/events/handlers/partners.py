"""Meetings that an institution manages in its own software and only tells the network of."""

from services.events.store import Store
from shared.contract.events import MeetingMessage
from shared.kit.errors import Conflict, Forbidden
from shared.kit.work import Work


async def known_version(message: MeetingMessage, work: Work[Store]) -> int:
    """Give the version in which a meeting was told, 0 for none; raises Conflict where it is managed here, Forbidden."""
    meeting_id = message.key
    if await work.store.has_meeting(meeting_id):
        raise Conflict(f"the meeting '{meeting_id}' is managed here; change it by HTTP", code="managed_here")
    seen = {one.institution: one.version for one in await work.store.seen_meeting(meeting_id)}
    if seen.keys() - {message.institution}:
        raise Forbidden(f"the meeting '{meeting_id}' is another institution's", code="other_institution")
    return seen.get(message.institution, 0)
