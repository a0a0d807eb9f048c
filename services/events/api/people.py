"""Who comes to an institution's meetings, for its staff."""

from fastapi import APIRouter, Request, Response

from services.events.api.models import (
    After,
    InstitutionPath,
    Limit,
    ListedOut,
    MeetingId,
    ParticipantId,
    RegistrationId,
    RegistrationOut,
    Registrations,
)
from services.events.handlers import erasing, seats
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}", tags=["registrations"])


@router.get("/meetings/{meeting_id}/registrations")
async def list_registrations(
    institution: InstitutionPath,
    meeting_id: MeetingId,
    request: Request,
    key: ReadKey,
    after: After = "",
    limit: Limit = 100,
) -> Registrations:
    """List who asked to attend a meeting."""
    async with node_of(request).works.looking() as store:
        await store.meeting(meeting_id, institution)
        found = await store.registrations(meeting_id, after, limit + 1)
    items = [ListedOut.listed(each) for each in found[:limit]]
    return Registrations(items=items, next=items[-1].registration_id if len(found) > limit else None)


@router.get("/registrations/{registration_id}", responses=TAGGED)
async def show_registration(
    institution: InstitutionPath, registration_id: RegistrationId, request: Request, response: Response, key: ReadKey
) -> ListedOut:
    """Show a registration with its person and place in the queue; its ETag may come back as `If-Match`."""
    async with node_of(request).works.looking() as store:
        listed = await store.listed_registration(registration_id, institution)
    response.headers["ETag"] = tag_of(listed.registration)
    return ListedOut.listed(listed)


@router.post("/registrations/{registration_id}/accept")
async def accept_seat(
    institution: InstitutionPath, registration_id: RegistrationId, request: Request, key: WriteKey
) -> RegistrationOut:
    """Take the offered seat for somebody who called."""
    async with node_of(request).works() as work:
        return RegistrationOut.of(await seats.accept(registration_id, institution, work))


@router.post("/registrations/{registration_id}/decline")
async def decline_seat(
    institution: InstitutionPath, registration_id: RegistrationId, request: Request, key: WriteKey
) -> RegistrationOut:
    """Give the offered seat back for somebody who called; the next in the queue is offered it."""
    async with node_of(request).works() as work:
        return RegistrationOut.of(await seats.decline(registration_id, institution, work))


@router.post("/registrations/{registration_id}/attended")
async def note_attended(
    institution: InstitutionPath, registration_id: RegistrationId, request: Request, key: WriteKey
) -> RegistrationOut:
    """Note that somebody came."""
    async with node_of(request).works() as work:
        return RegistrationOut.of(await seats.go_on(registration_id, institution, "attended", work))


@router.post("/registrations/{registration_id}/no_show")
async def note_no_show(
    institution: InstitutionPath, registration_id: RegistrationId, request: Request, key: WriteKey
) -> RegistrationOut:
    """Note that somebody stayed away."""
    async with node_of(request).works() as work:
        return RegistrationOut.of(await seats.go_on(registration_id, institution, "no_show", work))


@router.post("/registrations/{registration_id}/withdraw")
async def withdraw_registration(
    institution: InstitutionPath, registration_id: RegistrationId, request: Request, key: WriteKey
) -> RegistrationOut:
    """Give somebody's place back; the next in the queue is offered it."""
    async with node_of(request).works() as work:
        return RegistrationOut.of(await seats.withdraw(registration_id, institution, work))


@router.delete("/participants/{participant_id}", status_code=204)
async def erase_participant(
    institution: InstitutionPath, participant_id: ParticipantId, request: Request, key: WriteKey
) -> None:
    """Erase a person: their seats go to the next, the contact goes everywhere, the counts stay."""
    async with node_of(request).works() as work:
        await erasing.erase(participant_id, institution, work)
