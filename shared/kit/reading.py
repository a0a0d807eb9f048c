"""`GET /changes` and `/changes/live`: whoever copies or shows the public state of the network reads on here."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from shared.contract.words import Slug
from shared.kit.changes import Change, Feed, public_types
from shared.kit.errors import Invalid
from shared.kit.feed_cursor import LONGEST, Place, Places, read_cursor, write_cursor
from shared.kit.keys import node_of
from shared.kit.live import Live
from shared.kit.node import Node

router = APIRouter(tags=["network"])

NOW = "now"
COME_BACK_MS = 3000


class ChangeSeen(BaseModel):
    """A message as it travelled: a CloudEvent, and its position in its institution's stream."""

    institution: str
    position: str
    message: dict[str, Any]


class Changes(BaseModel):
    """Changes behind a cursor; `next` is always there, `more` tells whether to ask again at once."""

    items: list[ChangeSeen]
    next: str
    more: bool


class Reading:
    """What a process needs to answer readers of the public state."""

    def __init__(self, node: Node[Any]) -> None:
        settings, self.service = node.settings, node.service.name
        self.feed = Feed(self.service, settings.office, node.database, node.streams)
        self.live = Live(self.feed, settings.listeners)


def reading_of(request: Request) -> Reading:
    """Give what this process reads the change feed with."""
    state = request.app.state
    if not hasattr(state, "reading"):
        state.reading = Reading(node_of(request))
    reading: Reading = state.reading
    return reading


def stop_listeners(app: FastAPI) -> None:
    """Let all listeners go, because the process is about to stop."""
    reading: Reading | None = getattr(app.state, "reading", None)
    if reading is not None:
        reading.live.close()


@dataclass(frozen=True)
class Wanted:
    """Whose changes of which types are wanted; what is not is passed over, and the cursor moves behind it."""

    institution: str | None
    types: frozenset[str]


def wanted_of(
    request: Request,
    institution: Annotated[Slug | None, Query(description="Only what this institution tells")] = None,
    type_: Annotated[
        list[str] | None, Query(alias="type", max_length=20, description="Only messages of these types")
    ] = None,
) -> Wanted:
    """Read what is wanted; raises Invalid with `unknown_type`."""
    types, known = frozenset(type_ or ()), public_types(node_of(request).service.name)
    if types - known:
        raise Invalid(f"type: known here are {', '.join(sorted(known))}", code="unknown_type")
    return Wanted(institution, types)


Since = Annotated[
    str,
    Query(
        max_length=LONGEST,
        description="A `next` of this feed, of this or another node; nothing for the whole state, `now` for what comes",
    ),
]
WantedHere = Annotated[Wanted, Depends(wanted_of)]


@router.get("/changes", response_model=Changes)
async def list_changes(
    request: Request, wanted: WantedHere, since: Since = "", limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> Response:
    """Give what institutions told behind a cursor: the newest of each thing up to a point, then every message.

    Nothing is skipped: ask again with `next`, for ever. Within an institution messages come in order; `version` in
    their data tells which of two about one thing is newer.
    """
    reading = reading_of(request)
    places = await _places(since, reading)
    page = await reading.feed.page(places, limit, wanted.institution, wanted.types)
    body = _body(page.changes, write_cursor(reading.service, page.places), more=page.more)
    return Response(body, media_type="application/json")


@dataclass(frozen=True)
class Listener:
    """Somebody who listens, and from where on."""

    reading: Reading
    places: Places


async def _listener(
    request: Request,
    since: Since = "",
    last_event_id: Annotated[str, Header(max_length=LONGEST, description="The `id` of the last event; wins")] = "",
) -> AsyncIterator[Listener]:
    # Here and not in the route: once a stream has begun, nobody can be refused any more.
    reading = reading_of(request)
    places = await _places(last_event_id or since, reading)
    async with reading.live.seat():
        yield Listener(reading, places)


@router.get("/changes/live", response_class=EventSourceResponse)
async def follow_changes(
    listener: Annotated[Listener, Depends(_listener)], wanted: WantedHere
) -> AsyncIterator[ServerSentEvent]:
    """Give the same feed as it comes (Server-Sent Events); the `id` of an event is the cursor behind it.

    After a break the browser comes back with it as `Last-Event-ID`, and nothing is missing.
    """
    reading = listener.reading
    yield ServerSentEvent(comment=f"changes of {reading.service}", retry=COME_BACK_MS)
    async for change, places in reading.live.follow(listener.places, wanted.institution, wanted.types):
        yield ServerSentEvent(raw_data=_item(change).decode(), id=write_cursor(reading.service, places))


async def _places(since: str, reading: Reading) -> Places:
    if since == NOW:
        return {institution: Place(head) for institution, head in (await reading.feed.heads()).items()}
    return read_cursor(since, reading.service) if since else {}


def _item(change: Change) -> bytes:
    """Give a change with the exact bytes of its message: read and written again, numbers could look different."""
    head = {"institution": change.institution, "position": str(change.position)}
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"message":' + change.payload + b"}"


def _body(changes: Sequence[Change], following: str, *, more: bool) -> bytes:
    items = b",".join(_item(change) for change in changes)
    rest = json.dumps({"next": following, "more": more}, separators=(",", ":")).encode()
    return b'{"items":[' + items + b"]," + rest[1:]
