"""The meetings of the whole network, for everybody."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from services.events.api.models import After, Limit, MeetingId, SeenMeeting, SeenMeetings
from services.events.store import Wanted
from shared.contract.words import MeetingKind, MeetingState, Slug
from shared.kit.bodies import KnownDistrict, KnownQuarter, Moment, unreadable_cursor
from shared.kit.errors import NotFound
from shared.kit.http import node_of

router = APIRouter(tags=["network"])


@router.get("/meetings")
async def list_network_meetings(
    request: Request,
    institution: Slug | None = None,
    kind: MeetingKind | None = None,
    quarter: KnownQuarter | None = None,
    district: KnownDistrict | None = None,
    state: MeetingState | None = None,
    since: Annotated[Moment | None, Query(alias="from", description="The earliest start")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="The latest start")] = None,
    free: Annotated[bool, Query(description="Only meetings with free seats")] = False,
    after: After = "",
    limit: Limit = 100,
) -> SeenMeetings:
    """List what all institutions tell of their meetings, by start; each entry says when it was heard."""
    wanted = Wanted(institution, kind, quarter, state, since, free, until, district)
    async with node_of(request).works.looking() as store:
        found = await store.seen(wanted, _position(after) if after else None, limit + 1)
    items = [SeenMeeting.of(each) for each in found[:limit]]
    last = found[limit - 1] if len(found) > limit else None
    following = "~".join((_moment(last.starts), last.meeting_id, last.institution)) if last else None
    return SeenMeetings(items=items, next=following)


@router.get("/meetings/{meeting_id}")
async def show_network_meeting(meeting_id: MeetingId, request: Request) -> SeenMeeting:
    """Show what an institution tells of a meeting."""
    async with node_of(request).works.looking() as store:
        found = await store.seen_meeting(meeting_id)
    if not found:
        raise NotFound(f"nobody told of a meeting '{meeting_id}'")
    return SeenMeeting.of(found[0])


def _moment(moment: datetime) -> str:
    """Write a moment without signs that an address would have to escape."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _position(after: str) -> tuple[datetime, str, str]:
    match after.split("~"):
        case [moment, meeting_id, institution]:
            try:
                return datetime.fromisoformat(moment), meeting_id, institution
            except ValueError as error:
                raise unreadable_cursor() from error
        case _:
            raise unreadable_cursor()
