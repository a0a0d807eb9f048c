"""Checks everything on the hub that a node may read: who signed it, whether the chains hold, whether the states fit."""

from datetime import datetime
from typing import Any

from shared.kit.clock import SystemClock
from shared.kit.paging import PageSize
from shared.kit.streams import START, Position
from shared.network.beats import Beat, hashes_of
from shared.network.border import check_beat, check_page, check_state
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.hub.streams import HubStreams
from shared.network.link.link import SERVICES
from shared.network.link.linking import load_identities
from shared.network.names import box_stream, hub_stream, pub_stream
from shared.network.refusal import Refusal
from shared.network.roster import Roster

PAGE = 500


async def verify_hub(roster: Roster, settings: Any) -> list[dict[str, Any]]:
    """Check every stream that this node may read; gives a row for each, with an empty `fault` where all is well."""
    rows: dict[str, dict[str, Any]] = {}
    for slug, keys in load_identities(settings.identities).items():
        client = connect_hub(settings.hub, slug, keys[-1].password, settings.hub_ca or None)
        try:
            for stream in _readable(roster, slug):
                if stream not in rows:
                    rows[stream] = await verify_stream(roster, RedisHub(client), stream, SystemClock().now())
        finally:
            await client.aclose()
    return [row for _, row in sorted(rows.items()) if row["entries"] or row["things"] or row["fault"]]


async def verify_stream(roster: Roster, hub: HubStreams, stream: str, now: datetime) -> dict[str, Any]:
    """Check the entries of a stream, then its state and its heartbeat."""
    entries, fault = await _entries(roster, hub, stream, now)
    things = 0
    if hub_stream(stream).kind == "pub" and not fault:
        things, fault = await _state(roster, hub, stream, now)
    return {"stream": stream, "entries": entries, "things": things, "fault": fault}


async def _entries(roster: Roster, hub: HubStreams, stream: str, now: datetime) -> tuple[int, str]:
    at, previous, count = START, None, 0
    removes = hub_stream(stream).kind == "box"
    pages = PageSize(PAGE)
    while page := await hub.read(stream, at, pages.count):
        pages.saw(page)
        first = page[0].position
        if at == START or (removes and not first.follows(at)):
            # What lies before is trimmed, or was erased: the chain is taken up with the hash that the entry carries.
            at, previous = Position(first.epoch, first.seq - 1), None
        checked = check_page(roster, stream, previous, at, page, now)
        if checked.refused is not None and checked.code != "gap":
            # Its writer may have gone on behind it in a new epoch: the border must see where that begins.
            page = await hub.read(stream, at, PAGE)
            checked = check_page(roster, stream, previous, at, page, now)
        count += len(checked.accepted)
        if checked.refused is not None:
            erased = (
                removes and checked.accepted and not checked.refused.position.follows(checked.accepted[-1].position)
            )
            if not erased:
                return count, f"{checked.refused.position}: {checked.reason} ({checked.code})"
        last = checked.accepted[-1]
        at, previous = last.position, last.hash(stream)
    return count, ""


async def _state(roster: Roster, hub: HubStreams, stream: str, now: datetime) -> tuple[int, str]:
    hashes: dict[str, bytes] = {}
    async for page in hub.state_pages(stream):
        hashes |= hashes_of(stream, page)
        for name, refusal in check_state(roster, stream, page, now).refused.items():
            return len(hashes), f"state '{name}': {refusal.reason} ({refusal.code})"
    beat = await hub.heartbeat(stream)
    said = None if beat is None else check_beat(roster, stream, beat, now)
    if isinstance(said, Refusal):
        return len(hashes), f"heartbeat: {said.reason} ({said.code})"
    [head] = await hub.heads([stream])
    if isinstance(said, Beat) and said.head == head and not said.fits(hashes):
        return len(hashes), "the state is not what its writer's heartbeat says: something is withheld"
    return len(hashes), ""


def _readable(roster: Roster, slug: str) -> list[str]:
    everybody = [one.slug for one in roster.institutions]
    pubs = [pub_stream(one, service) for one in everybody for service in SERVICES]
    others = [one for one in everybody if one != slug]
    return [*pubs, *(box_stream(slug, one) for one in others), *(box_stream(one, slug) for one in others)]
