"""`POST /messages`: CloudEvents over HTTP from partner systems that publish facts of their own institution."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from shared.kit import cloudevents
from shared.kit.cloudevents import BATCH, STRUCTURED, Event, Unreadable
from shared.kit.errors import Conflict, Forbidden, Invalid, Problem, TooLarge
from shared.kit.inbox import Answer, take
from shared.kit.keys import WriteKey, limits_of, node_of

router = APIRouter(tags=["messages"])


class Answers(BaseModel):
    """What became of each message of a batch, in its order."""

    answers: list[Answer]


class WrongMediaType(Problem):
    """The body is of a kind that is not read here."""

    status = 415
    code = "wrong_media_type"


_PROBLEMS: dict[str | None, type[Problem]] = {
    "other_institution": Forbidden,
    "too_large": TooLarge,
    "stale_version": Conflict,
    "id_reused": Conflict,
    "managed_here": Conflict,
}
_EVENT = {"type": "object", "required": ["specversion", "id", "source", "type"], "additionalProperties": True}
_ANY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "One CloudEvent, a batch of them, or with `ce-…` headers the data of one",
    "content": {
        STRUCTURED: {"schema": _EVENT},
        BATCH: {"schema": {"type": "array", "items": _EVENT}},
        "application/json": {"schema": {"type": "object"}},
        "application/octet-stream": _ANY,
    },
}


class Sent:
    """What a request holds; `whole` where it is a batch."""

    def __init__(self, events: list[Event | Unreadable], whole: bool) -> None:
        self.events = events
        self.whole = whole


async def _sent(request: Request) -> Sent:
    """Read the body here, for a route that declares its body itself."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body = await request.body()
    if media_type == BATCH:
        return Sent(cloudevents.batch(body), whole=True)
    if media_type == STRUCTURED:
        return Sent([cloudevents.structured(body)], whole=False)
    if media_type.startswith("application/cloudevents"):
        raise WrongMediaType(f"events are written in JSON here: {STRUCTURED} or {BATCH}")
    attributes = cloudevents.attributes_of(dict(request.headers.raw))
    if not attributes:
        raise WrongMediaType(f"send {STRUCTURED}, {BATCH}, or the attributes as ce- headers")
    return Sent([cloudevents.binary(attributes, request.headers.get("content-type"), body)], whole=False)


@router.post(
    "/messages",
    status_code=202,
    response_model=Answer,
    responses={
        200: {"model": Answers, "description": "A batch: the answer to each of its messages, in order"},
        415: {"description": "No CloudEvent in JSON, and no ce- headers"},
    },
    openapi_extra={"requestBody": _BODY},
)
async def take_messages(request: Request, key: WriteKey, sent: Annotated[Sent, Depends(_sent)]) -> Response:
    """Take what a partner system publishes of its own institution, and tell it to the network."""
    node = node_of(request)
    if len(sent.events) > 1:
        limits_of(request).take(key.key_id, len(sent.events) - 1)
    async with node.works() as work:
        answers = await take(sent.events, key.institution, node.service.name, node.service.takes, work)
    if sent.whole:
        return JSONResponse(Answers(answers=answers).model_dump(), 200)
    [one] = answers
    if one.status == "refused":
        raise _PROBLEMS.get(one.code, Invalid)(one.reason or "", code=one.code)
    return JSONResponse(one.model_dump(), 202 if one.status == "accepted" else 200)
