"""Participant files and entitlements of an institution."""

from fastapi import APIRouter, Request, Response

from services.courses.api.answers import EntitlementOut, ParticipantListed, ParticipantOut, Participants
from services.courses.api.models import (
    After,
    EntitlementId,
    EntitlementIn,
    InstitutionPath,
    Limit,
    NewParticipantIn,
    ParticipantChangeIn,
    ParticipantId,
)
from services.courses.domain.entitlement import Entitlement
from services.courses.domain.participant import Participant
from services.courses.handlers import erasing
from services.courses.handlers import participants as handlers
from services.courses.handlers.seats import today_of
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}")


@router.post("/participants", status_code=201, tags=["participants"])
async def add_participant(
    institution: InstitutionPath, body: NewParticipantIn, request: Request, key: WriteKey
) -> ParticipantOut:
    """Begin a participant file."""
    async with node_of(request).works() as work:
        blank = Participant(id=work.ids.new("participant"), institution=institution, language=body.language)
        participant = await handlers.add_participant(blank, body.values(), work)
    return ParticipantOut.of(participant)


@router.get("/participants", tags=["participants"])
async def list_participants(
    institution: InstitutionPath, request: Request, key: ReadKey, after: After = "", limit: Limit = 100
) -> Participants:
    """List the institution's participants; erased ones have only their id and state."""
    async with node_of(request).works.looking() as store:
        found = await store.participants(institution, after, limit + 1)
    items = [ParticipantListed.of(each) for each in found[:limit]]
    return Participants(items=items, next=items[-1].participant_id if len(found) > limit else None)


@router.get("/participants/{participant_id}", tags=["participants"], responses=TAGGED)
async def show_participant(
    institution: InstitutionPath, participant_id: ParticipantId, request: Request, response: Response, key: ReadKey
) -> ParticipantOut:
    """Show a participant file with its entitlements; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        participant = await store.participant(participant_id, institution)
        response.headers["ETag"] = tag_of(participant)
        return ParticipantOut.of(participant, await store.entitlements_of(participant_id))


@router.patch("/participants/{participant_id}", tags=["participants"])
async def change_participant(
    institution: InstitutionPath,
    participant_id: ParticipantId,
    body: ParticipantChangeIn,
    request: Request,
    key: WriteKey,
) -> ParticipantOut:
    """Change a participant file; without consent, phone and mail go."""
    async with node_of(request).works() as work:
        participant = await handlers.change_participant(participant_id, institution, body.values(), body.closed, work)
        return ParticipantOut.of(participant, await work.store.entitlements_of(participant_id))


@router.delete("/participants/{participant_id}", status_code=204, tags=["participants"])
async def erase_participant(
    institution: InstitutionPath, participant_id: ParticipantId, request: Request, key: WriteKey
) -> Response:
    """Erase a participant: everything personal goes, here and where a referral brought it; the counts stay."""
    async with node_of(request).works() as work:
        await erasing.erase_everywhere(participant_id, institution, work)
    return Response(status_code=204)


@router.post("/participants/{participant_id}/entitlements", status_code=201, tags=["entitlements"])
async def add_entitlement(
    institution: InstitutionPath,
    participant_id: ParticipantId,
    body: EntitlementIn,
    request: Request,
    key: WriteKey,
) -> EntitlementOut:
    """Record that a participant may or must take a course."""
    async with node_of(request).works() as work:
        entitlement = Entitlement(
            id=work.ids.new("entitlement"),
            institution=institution,
            participant_id=participant_id,
            issuing_office=body.issuing_office,
            obliged=body.obliged,
            valid_from=body.valid_from or min(today_of(work), body.valid_until),
            valid_until=body.valid_until,
        )
        entitlement = await handlers.add_entitlement(entitlement, work)
    return EntitlementOut.of(entitlement)


@router.get("/entitlements/{entitlement_id}", tags=["entitlements"], responses=TAGGED)
async def show_entitlement(
    institution: InstitutionPath, entitlement_id: EntitlementId, request: Request, response: Response, key: ReadKey
) -> EntitlementOut:
    """Show an entitlement; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        entitlement = await store.entitlement(entitlement_id, institution)
    response.headers["ETag"] = tag_of(entitlement)
    return EntitlementOut.of(entitlement)


@router.post("/entitlements/{entitlement_id}/revoke", tags=["entitlements"])
async def revoke_entitlement(
    institution: InstitutionPath, entitlement_id: EntitlementId, request: Request, key: WriteKey
) -> EntitlementOut:
    """Take an entitlement back."""
    async with node_of(request).works() as work:
        return EntitlementOut.of(await handlers.revoke_entitlement(entitlement_id, institution, work))
