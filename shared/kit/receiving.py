"""`POST /messages`: CloudEvents over HTTP from partner systems that publish facts of their own institution."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from shared.kit import cloudevents
from shared.kit.cloudevents import BATCH, STRUCTURED, Event, Unreadable
from shared.kit.errors import Conflict, Forbidden, Invalid, Problem, TooLarge
from shared.kit.event_schemas import event_schemas
from shared.kit.fairness import Breath
from shared.kit.inbox import Answer, Takes, take
from shared.kit.keys import WriteKey, door_of, node_of
from shared.kit.limits import TooMany
from shared.kit.node import Node
from shared.kit.work import joint

router = APIRouter(tags=["messages"])
MOST_WAITING = 32


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


class Sent:
    """What a request holds; `whole` where it is a batch."""

    def __init__(self, events: list[Event | Unreadable], whole: bool) -> None:
        self.events = events
        self.whole = whole


async def _sent(request: Request) -> Sent:
    """Read the body here, once it is its turn."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body = await request.body()
    if media_type == BATCH:
        return Sent(await _parts(body), whole=True)
    if media_type == STRUCTURED:
        return Sent([cloudevents.structured(body)], whole=False)
    if media_type.startswith("application/cloudevents"):
        raise WrongMediaType(f"events are written in JSON here: {STRUCTURED} or {BATCH}")
    attributes = cloudevents.attributes_of(dict(request.headers.raw))
    if not attributes:
        raise WrongMediaType(f"send {STRUCTURED}, {BATCH}, or the attributes as ce- headers")
    return Sent([cloudevents.binary(attributes, request.headers.get("content-type"), body)], whole=False)


async def _parts(body: bytes) -> list[Event | Unreadable]:
    """Read a batch; a megabyte of it takes long enough that others have the event loop in between."""
    breath = Breath()
    found: list[Event | Unreadable] = []
    for one in cloudevents.documents(body):
        found.append(cloudevents.part(one))
        await breath.take()
    return found


@router.post(
    "/messages",
    status_code=202,
    response_model=Answer,
    responses={
        200: {"model": Answer | Answers, "description": "A message that came before; or a batch, each in its place"},
        415: {"description": "No CloudEvent in JSON, and no ce- headers"},
    },
)
async def take_messages(request: Request, key: WriteKey) -> Response:
    """Take what a partner system publishes of its own institution, and tell it to the network."""
    door = door_of(request)
    if door.takers.waiting(key.institution) >= MOST_WAITING:
        raise TooMany(f"{MOST_WAITING} requests of yours are waiting here; one after the other, please", 1)
    # What is read is several times as large as what was sent: of each institution there is one at a time.
    async with door.takers.turn():
        sent = await _sent(request)
        if len(sent.events) > 1:
            # The request was counted as one: a batch larger than a bucket passes only where the bucket is full.
            door.requests.charge(key.institution, -1)
            door.requests.take(key.institution, len(sent.events))
        answers = await _take_all(sent.events, key.institution, node_of(request))
    if sent.whole:
        return JSONResponse(Answers(answers=answers).model_dump(), 200)
    [one] = answers
    if one.status == "refused":
        raise _PROBLEMS.get(one.code, Invalid)(one.reason or "", code=one.code)
    return JSONResponse(one.model_dump(), 202 if one.status == "accepted" else 200)


async def _take_all(events: Sequence[Event | Unreadable], institution: str, node: Node[Any]) -> list[Answer]:
    """Take messages in as many transactions as they need, one after the other."""
    answers: list[Answer] = []
    while True:
        # With an Idempotency-Key all of it is one transaction: nobody rests while it holds the writer.
        resting = node.works.rest.work() if not answers or joint.get() is None else nullcontext()
        async with resting, node.works() as work:
            left = events[len(answers) :]
            answers += await take(left, institution, node.service.name, node.service.takes, work)
        if len(answers) == len(events):
            return answers


def with_events(document: dict[str, Any], takes: Takes | None) -> dict[str, Any]:
    """Say in an OpenAPI document what the route takes: FastAPI does not see a body that is read by hand."""
    event, definitions = event_schemas(takes)
    batch = {"type": "array", "description": "Each of its events is taken or refused for itself"}
    document["components"]["schemas"] |= definitions
    document["paths"]["/messages"]["post"]["requestBody"] = {
        "required": True,
        "description": "One CloudEvent, or a batch of them. In binary mode the body is the data of one event, of any "
        "media type, and its attributes are `ce-` headers. `data_base64` is read as well.",
        "content": {STRUCTURED: {"schema": event}, BATCH: {"schema": batch}},
    }
    return document
