"""Enrolments: people ask for seats in an institution's runs, and staff takes them on."""

from fastapi import APIRouter, Request, Response

from services.courses.api.answers import EnrolmentOut, Enrolments
from services.courses.api.models import After, AskIn, EnrolmentId, InstitutionPath, Limit, RunId
from services.courses.api.rush import Rush
from services.courses.domain.enrolment import Leaving, Onward
from services.courses.handlers import seats as handlers
from services.courses.store import Queued
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}", tags=["enrolments"])


@router.post(
    "/runs/{run_id}/enrolments",
    status_code=201,
    responses={200: {"model": EnrolmentOut, "description": "The participant has a place in this run already"}},
)
async def ask_for_a_seat(
    institution: InstitutionPath, run_id: RunId, body: AskIn, request: Request, response: Response, key: WriteKey
) -> EnrolmentOut:
    """Give a participant a seat or a turn in the queue; asking twice gives the same enrolment, with 200."""
    queued = await Rush.of(node_of(request)).ask(run_id, body.participant_id, institution)
    if queued.known:
        response.status_code = 200
    return EnrolmentOut.of(queued)


@router.get("/runs/{run_id}/enrolments")
async def list_enrolments(
    institution: InstitutionPath,
    run_id: RunId,
    request: Request,
    key: ReadKey,
    after: After = "",
    limit: Limit = 100,
) -> Enrolments:
    """List the enrolments of a run."""
    async with node_of(request).works.looking() as store:
        await store.run(run_id, institution)
        found = await store.enrolments(run_id, after, limit + 1)
    items = [EnrolmentOut.of(each) for each in found[:limit]]
    return Enrolments(items=items, next=items[-1].enrolment_id if len(found) > limit else None)


@router.get("/enrolments/{enrolment_id}", responses=TAGGED)
async def show_enrolment(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, response: Response, key: ReadKey
) -> EnrolmentOut:
    """Show an enrolment; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        found = await store.enrolment(enrolment_id, institution)
        response.headers["ETag"] = tag_of(found)
        return EnrolmentOut.of(Queued(found, await store.place_in_queue(found)))


@router.post("/enrolments/{enrolment_id}/accept")
async def accept_seat(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Take the offered seat."""
    async with node_of(request).works() as work:
        queued = await handlers.accept(enrolment_id, institution, work)
    return EnrolmentOut.of(queued)


@router.post("/enrolments/{enrolment_id}/decline")
async def decline_seat(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Give the offered seat back."""
    async with node_of(request).works() as work:
        queued = await handlers.decline(enrolment_id, institution, work)
    return EnrolmentOut.of(queued)


async def _leave(institution: str, enrolment_id: str, way: Leaving, request: Request) -> EnrolmentOut:
    async with node_of(request).works() as work:
        queued = await handlers.leave(enrolment_id, institution, way, work)
    return EnrolmentOut.of(queued)


@router.post("/enrolments/{enrolment_id}/withdraw")
async def withdraw_enrolment(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Leave the queue, the offer or the seat."""
    return await _leave(institution, enrolment_id, "withdraw", request)


@router.post("/enrolments/{enrolment_id}/reject")
async def reject_enrolment(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Turn somebody down who has no seat yet."""
    return await _leave(institution, enrolment_id, "reject", request)


@router.post("/enrolments/{enrolment_id}/drop")
async def drop_enrolment(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Note that somebody stopped coming."""
    return await _leave(institution, enrolment_id, "drop", request)


async def _go_on(institution: str, enrolment_id: str, way: Onward, request: Request) -> EnrolmentOut:
    async with node_of(request).works() as work:
        queued = await handlers.go_on(enrolment_id, institution, way, work)
    return EnrolmentOut.of(queued)


@router.post("/enrolments/{enrolment_id}/attend")
async def note_attending(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Note that somebody attends."""
    return await _go_on(institution, enrolment_id, "attend", request)


@router.post("/enrolments/{enrolment_id}/complete")
async def note_completed(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Note that somebody completed the run."""
    return await _go_on(institution, enrolment_id, "complete", request)
