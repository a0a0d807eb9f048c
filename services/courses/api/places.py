"""Enrolments: people ask for seats in an institution's runs, and staff takes them on."""

from fastapi import APIRouter, Request

from services.courses.api.answers import EnrolmentOut, Enrolments
from services.courses.api.models import After, AskIn, EnrolmentId, InstitutionPath, Limit, RunId
from services.courses.domain.enrolment import Leaving, Onward
from services.courses.handlers import seats as handlers
from services.courses.store import Queued
from shared.kit.http import ReadKey, WriteKey, node_of

router = APIRouter(prefix="/institutions/{institution}", tags=["enrolments"])


@router.post("/runs/{run_id}/enrolments", status_code=201)
async def ask(
    institution: InstitutionPath, run_id: RunId, body: AskIn, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Give a participant a seat or a turn in the queue; asking twice gives the same enrolment."""
    async with node_of(request).works() as work:
        queued = await handlers.ask(run_id, body.participant_id, institution, work)
    return EnrolmentOut.of(queued)


@router.get("/runs/{run_id}/enrolments")
async def list_enrolments(
    institution: InstitutionPath,
    run_id: RunId,
    request: Request,
    key: ReadKey,
    after: After = "",
    limit: Limit = 200,
) -> Enrolments:
    """List the enrolments of a run."""
    async with node_of(request).works.looking() as store:
        await store.run(run_id, institution)
        found = await store.enrolments(run_id, after, limit)
    following = found[-1].enrolment.id if len(found) == limit else None
    return Enrolments(items=[EnrolmentOut.of(each) for each in found], next=following)


@router.get("/enrolments/{enrolment_id}")
async def show_enrolment(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: ReadKey
) -> EnrolmentOut:
    """Show an enrolment."""
    async with node_of(request).works.looking() as store:
        found = await store.enrolment(enrolment_id, institution)
        return EnrolmentOut.of(Queued(found, await store.place_in_queue(found)))


@router.post("/enrolments/{enrolment_id}/accept")
async def accept(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Take the offered seat."""
    async with node_of(request).works() as work:
        queued = await handlers.accept(enrolment_id, institution, work)
    return EnrolmentOut.of(queued)


@router.post("/enrolments/{enrolment_id}/decline")
async def decline(
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
async def withdraw(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Leave the queue, the offer or the seat."""
    return await _leave(institution, enrolment_id, "withdraw", request)


@router.post("/enrolments/{enrolment_id}/reject")
async def reject(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Turn somebody down who has no seat yet."""
    return await _leave(institution, enrolment_id, "reject", request)


@router.post("/enrolments/{enrolment_id}/drop")
async def drop(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Note that somebody stopped coming."""
    return await _leave(institution, enrolment_id, "drop", request)


async def _go_on(institution: str, enrolment_id: str, way: Onward, request: Request) -> EnrolmentOut:
    async with node_of(request).works() as work:
        queued = await handlers.go_on(enrolment_id, institution, way, work)
    return EnrolmentOut.of(queued)


@router.post("/enrolments/{enrolment_id}/attend")
async def attend(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Note that somebody attends."""
    return await _go_on(institution, enrolment_id, "attend", request)


@router.post("/enrolments/{enrolment_id}/complete")
async def complete(
    institution: InstitutionPath, enrolment_id: EnrolmentId, request: Request, key: WriteKey
) -> EnrolmentOut:
    """Note that somebody completed the run."""
    return await _go_on(institution, enrolment_id, "complete", request)
