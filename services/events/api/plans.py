"""Series and meetings of an institution."""

from fastapi import APIRouter, Request, Response

from services.events.api.models import (
    After,
    InstitutionPath,
    Limit,
    MeetingId,
    MeetingIn,
    MeetingOut,
    MeetingPlan,
    Meetings,
    PostponeIn,
    ReasonIn,
    SeriesIn,
    SeriesOut,
    SeriesPage,
)
from services.events.domain.meeting import Meeting, Series
from services.events.handlers import meetings as handlers
from shared.contract.words import MeetingState
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}")


def _shown(meeting: Meeting, request: Request) -> MeetingOut:
    return MeetingOut.of(meeting, node_of(request).works.clock.now())


@router.post("/series", status_code=201, tags=["meetings"])
async def add_series(institution: InstitutionPath, body: SeriesIn, request: Request, key: WriteKey) -> SeriesOut:
    """Open a series of meetings."""
    async with node_of(request).works() as work:
        series = Series(work.ids.new("series"), institution, body.title, body.kind)
        return SeriesOut.of(await handlers.add_series(series, work))


@router.get("/series", tags=["meetings"])
async def list_series(
    institution: InstitutionPath, request: Request, key: ReadKey, after: After = "", limit: Limit = 100
) -> SeriesPage:
    """List the institution's series."""
    async with node_of(request).works.looking() as store:
        found = await store.series(institution, after, limit + 1)
    items = [SeriesOut.of(each) for each in found[:limit]]
    return SeriesPage(items=items, next=items[-1].series_id if len(found) > limit else None)


@router.post("/meetings", status_code=201, tags=["meetings"])
async def add_meeting(institution: InstitutionPath, body: MeetingIn, request: Request, key: WriteKey) -> MeetingOut:
    """Plan a meeting as a draft, which nobody else sees."""
    async with node_of(request).works() as work:
        values = {"kind": body.kind, **body.plan()}
        meeting = Meeting(id=work.ids.new("meeting"), institution=institution, **values)
        meeting = await handlers.add_meeting(meeting, work)
    return _shown(meeting, request)


@router.get("/meetings", tags=["meetings"])
async def list_meetings(
    institution: InstitutionPath,
    request: Request,
    key: ReadKey,
    state: MeetingState | None = None,
    after: After = "",
    limit: Limit = 100,
) -> Meetings:
    """List the institution's own meetings, drafts among them."""
    async with node_of(request).works.looking() as store:
        found = await store.meetings(institution, after, limit + 1, state=state)
    items = [_shown(each, request) for each in found[:limit]]
    return Meetings(items=items, next=items[-1].meeting_id if len(found) > limit else None)


@router.get("/meetings/{meeting_id}", tags=["meetings"], responses=TAGGED)
async def show_meeting(
    institution: InstitutionPath, meeting_id: MeetingId, request: Request, response: Response, key: ReadKey
) -> MeetingOut:
    """Show one of the institution's meetings; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        meeting = await store.meeting(meeting_id, institution)
    response.headers["ETag"] = tag_of(meeting)
    return _shown(meeting, request)


@router.patch("/meetings/{meeting_id}", tags=["meetings"])
async def change_meeting(
    institution: InstitutionPath, meeting_id: MeetingId, body: MeetingPlan, request: Request, key: WriteKey
) -> MeetingOut:
    """Change the plan of a meeting; fields that are not sent stay as they are."""
    async with node_of(request).works() as work:
        meeting = await handlers.change_meeting(meeting_id, institution, body.plan(), work)
    return _shown(meeting, request)


@router.post("/meetings/{meeting_id}/publish", tags=["meetings"])
async def publish_meeting(
    institution: InstitutionPath, meeting_id: MeetingId, request: Request, key: WriteKey
) -> MeetingOut:
    """Show a meeting to everybody."""
    async with node_of(request).works() as work:
        meeting = await handlers.publish(meeting_id, institution, work)
    return _shown(meeting, request)


@router.post("/meetings/{meeting_id}/postpone", tags=["meetings"])
async def postpone_meeting(
    institution: InstitutionPath, meeting_id: MeetingId, body: PostponeIn, request: Request, key: WriteKey
) -> MeetingOut:
    """Say that a meeting takes place later; with a new time it goes on as published."""
    async with node_of(request).works() as work:
        meeting = await handlers.postpone(meeting_id, institution, body.starts, body.ends, body.reason, work)
    return _shown(meeting, request)


@router.post("/meetings/{meeting_id}/cancel", tags=["meetings"])
async def cancel_meeting(
    institution: InstitutionPath, meeting_id: MeetingId, body: ReasonIn, request: Request, key: WriteKey
) -> MeetingOut:
    """Cancel a meeting; everybody who has a place is told why."""
    async with node_of(request).works() as work:
        meeting = await handlers.cancel(meeting_id, institution, body.reason, work)
    return _shown(meeting, request)


@router.post("/meetings/{meeting_id}/hold", tags=["meetings"])
async def hold_meeting(
    institution: InstitutionPath, meeting_id: MeetingId, request: Request, key: WriteKey
) -> MeetingOut:
    """Note that a meeting took place."""
    async with node_of(request).works() as work:
        meeting = await handlers.hold(meeting_id, institution, work)
    return _shown(meeting, request)
