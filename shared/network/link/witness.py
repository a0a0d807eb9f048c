"""What the hub holds of a node's own streams, told inside the node: to a relay whose database may be a backup."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from shared.kit.errors import Invalid, Unavailable
from shared.kit.http import node_of, only_the_node
from shared.kit.streams import GENESIS, START, Position, chain
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubAway, HubRefuses
from shared.network.link.link import Link
from shared.network.link.linking import has_hub
from shared.network.link.rows import Sent
from shared.network.link.store import LinkStore
from shared.network.names import HubStream, hub_stream
from shared.network.office.pages import before
from shared.network.roster import Roster
from shared.network.signing import entry_is_genuine

PAGE = 500
NOTHING_THERE = {"reached": True, "head": str(START), "hash": ""}
NOT_REACHED = {"reached": False, "head": str(START), "hash": ""}


class HubLog:
    """Own streams as the hub has them, each entry checked against our own keys; hashes are those inside the node."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._store: LinkStore = link.store

    def is_there(self, stream: str) -> bool:
        """Tell whether a stream is one that this node writes on the hub."""
        try:
            return hub_stream(stream).writer in self._link.identities
        except ValueError:
            return False

    async def head(self, stream: str) -> tuple[Position, bytes | None]:
        """Give where the stream ends on the hub; no hash of a box: it is sealed, its chain inside is another one."""
        name = hub_stream(stream)
        [end] = await self._link.hub_of[name.writer].heads([stream])
        if end == START or name.kind == "box":
            return end, None
        known = await self._store.last_sent(stream, end)
        at, hash_ = (known.entry.position, known.local_hash) if known else (before(end), None)
        while at < end:
            page = await self.behind(stream, at, PAGE)
            if not page:
                return end, None
            at, _, hash_ = page[-1]
        return end, hash_

    async def behind(self, stream: str, after: Position, count: int) -> list[tuple[Position, bytes, bytes]]:
        """Give position, payload and hash of entries behind a place; of a box no payload, and a hash where it is known.

        Raises HubAway where the hub shows entries that were never signed here: nothing may be concluded from those.
        """
        name = hub_stream(stream)
        roster = await self._roster()
        page = await self._link.hub_of[name.writer].read(stream, after, count)
        previous = await self._hash_at(stream, after)
        found: list[tuple[Position, bytes, bytes]] = []
        for entry in page:
            if not _is_ours(roster, name, stream, entry):
                raise HubAway(f"the hub shows an entry of {stream} at {entry.position} that was never signed here")
            if name.kind == "box":
                found.append((entry.position, b"", _same(entry, await self._store.sent_at(stream, entry.position))))
                continue
            previous = chain(entry.previous if previous is None else previous, stream, entry.position, entry.payload)
            found.append((entry.position, entry.payload, previous))
        return found

    async def _hash_at(self, stream: str, position: Position) -> bytes | None:
        if position == START:
            return GENESIS
        sent = await self._store.sent_at(stream, position)
        return sent.local_hash if sent else None

    async def _roster(self) -> Roster:
        held = await self._store.held()
        if held is None or held.roster is None:
            raise HubAway("no roster is held yet")
        return held.roster


def _is_ours(roster: Roster, name: HubStream, stream: str, entry: SignedEntry) -> bool:
    member = roster.member(name.writer)
    key = member.key(entry.kid) if member else None
    return key is not None and entry_is_genuine(key.ed25519, stream, entry)


def _same(entry: SignedEntry, sent: Sent | None) -> bytes:
    return sent.local_hash or b"" if sent and sent.entry == entry else b""


class Removal(BaseModel):
    """Entries of boxes that a service wants erased beyond its own database."""

    model_config = ConfigDict(extra="forbid")

    stream: str = Field(max_length=120)
    positions: Annotated[list[Annotated[str, Field(pattern=r"^\d{1,9}-\d{1,18}$")]], Field(max_length=500)]


router = APIRouter(prefix="/hub", include_in_schema=False, dependencies=[Depends(only_the_node)])
StreamQuery = Annotated[str, Query(max_length=120)]


def _link(request: Request) -> Link | None:
    """Give the link; raises HubAway while it is only about to be there, for then nothing is known of the hub."""
    node = node_of(request)
    link: Link | None = node.kept.get("link")
    if link is None and has_hub(node) and node.kept.get("has_keys", True):
        raise HubAway("the link has not begun yet")
    return link


@router.get("/head")
async def head(request: Request, stream: StreamQuery) -> dict[str, Any]:
    """Tell where an own stream ends on the hub; `0-0` also where this node writes no such stream there."""
    try:
        link = _link(request)
        if link is None or not (log := HubLog(link)).is_there(stream):
            return NOTHING_THERE
        end, hash_ = await log.head(stream)
    except HubRefuses:
        return {**NOT_REACHED, "refused": True}
    except HubAway:
        return NOT_REACHED
    return {"reached": True, "head": str(end), "hash": hash_.hex() if hash_ else ""}


@router.get("/log")
async def log_of_hub(
    request: Request,
    stream: StreamQuery,
    after: Annotated[str, Query(pattern=r"^\d{1,9}-\d{1,18}$")],
    count: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> dict[str, Any]:
    """Give what the hub holds of an own stream behind a position."""
    try:
        link = _link(request)
        if link is None or not (log := HubLog(link)).is_there(stream):
            return {"entries": []}
        page = await log.behind(stream, Position.parse(after), count)
    except HubAway as error:
        raise Unavailable(str(error)) from error
    return {
        "entries": [
            {"id": str(position), "p": base64.b64encode(payload).decode(), "h": hash_.hex()}
            for position, payload, hash_ in page
        ]
    }


@router.get("/key")
async def key_of_member(
    request: Request,
    institution: Annotated[str, Query(max_length=40)],
    kid: Annotated[str, Query(max_length=16)],
) -> dict[str, str | None]:
    """Give the key with which an institution signs, as the roster held here has it; null where it knows none."""
    link = _link(request)
    held = await link.store.held() if link else None
    member = held.roster.member(institution) if held and held.roster else None
    found = member.key(kid) if member else None
    return {"ed25519": found.ed25519.hex() if found else None}


@router.post("/removals", status_code=202)
async def ask_removal(request: Request, body: Removal) -> dict[str, int]:
    """Have entries of a box erased on the hub, in what is kept for refills, and inside; asking twice is harmless."""
    link = _link(request)
    try:
        kind = hub_stream(body.stream).kind
    except ValueError:
        kind = "pub"
    if kind != "box":
        raise Invalid("only entries of boxes can be removed", code="not_a_box")
    if link is None:
        return {"open": 0}
    positions = [Position.parse(one) for one in body.positions]
    await link.store.ask_removal(body.stream, positions, link.clock.now())
    return {"open": len((await link.store.removals(body.stream)).get(body.stream, []))}


@router.get("/removals")
async def open_removals(request: Request, stream: StreamQuery) -> dict[str, int]:
    """Tell how many entries of a box wait to be erased; 0 is done."""
    link = _link(request)
    return {"open": 0 if link is None else len((await link.store.removals(stream)).get(stream, []))}
