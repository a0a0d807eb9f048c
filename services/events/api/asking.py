"""Asking to attend: for everybody, without a key."""

from fastapi import APIRouter, Request

from services.events.api.models import AskIn, AskOut, MeetingId
from services.events.handlers import asking
from services.events.handlers.asking import Asked
from shared.kit.http import ProblemDetails, node_of

router = APIRouter(tags=["network"])


@router.post(
    "/meetings/{meeting_id}/registrations",
    status_code=202,
    responses={429: {"model": ProblemDetails, "description": "Too many people have not confirmed yet"}},
)
async def ask_to_attend(meeting_id: MeetingId, body: AskIn, request: Request) -> AskOut:
    """Ask to attend a meeting; a mail follows that asks to confirm it."""
    async with node_of(request).works() as work:
        await asking.ask(meeting_id, Asked(body.name, body.mail, body.language, body.company), work)
    return AskOut()
