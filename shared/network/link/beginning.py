"""How an own stream begins anew on the hub where its past is trimmed inside the node."""

from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from shared.kit.paging import PageSize
from shared.kit.streams import GENESIS, Position
from shared.network.link.rows import Sent, Up
from shared.network.link.sign import Around, Signing
from shared.network.names import hub_stream
from shared.network.office.pages import Pages, before, behind

log = structlog.get_logger()

PAGE = 200


class Beginning:
    """Signs what is left of one own stream."""

    def __init__(self, stream: str, around: Around, signing: Signing) -> None:
        self.stream = stream
        self.name = hub_stream(stream)
        self._around = around
        self._signing = signing
        self._pages = Pages(around.local)

    async def behind_gap(self, up: Up, inside: Position) -> Up:
        """Begin anew where the past is trimmed inside: the newest of each key, then the unbroken end.

        What came before is not known, and the protocol's word for that is a hash of zeros.
        """
        begin = await self._begin_of_end(up.position)
        old = await self._newest_between(up.position, begin)

        def reached(last: Sent | None) -> Up:
            at, hash_ = (last.entry.position, last.hash) if last else (up.position, up.hash)
            if begin is not None:
                new = Up(before(begin), hash_ if begin.follows(at) else GENESIS, None, begin)
            elif last is not None:
                new = Up(at, hash_, last.local_hash, at)
            else:
                return Up(inside, GENESIS, None, behind(inside))
            # The first of an epoch may follow anything: only what stands before it shows a reader that there is a gap.
            return replace(new, floor=old[0][0]) if old and new.floor.seq == 1 else new

        # At once or not at all: what is left of a half of it would be taken for what was sent, should the gap close.
        pages, now = self._signed_pages(old, up), self._around.clock.now()
        new = await self._around.store.keep_signed_pages(self.stream, pages, reached, now)
        log.warning("begun_behind_gap", stream=self.stream, was=str(up.position), now=str(new.position))
        return new

    async def _newest_between(self, after: Position, end: Position | None) -> list[tuple[Position, str]]:
        """Name the newest of each key that stands between two places, in their order."""
        index = await self._around.local.state_index(self.stream) if self.name.kind == "pub" else {}
        places = ((one.position, key) for key, one in index.items())
        return sorted(one for one in places if after < one[0] and (end is None or one[0] < end))

    async def _signed_pages(self, places: list[tuple[Position, str]], up: Up) -> AsyncIterator[list[Sent]]:
        """Sign what stands in the state, page by page; one that follows the one before names its hash."""
        at, hash_ = up.position, up.hash
        pages, done = PageSize(PAGE), 0
        while done < len(places):
            part = places[done : done + pages.count]
            there = await self._around.local.state_of(self.stream, [key for _, key in part])
            # What has moved on since stands behind all this, and is sent from there.
            found = [there[key] for place, key in part if key in there and there[key].position == place]
            pages.saw(found)
            done += len(part)
            signed: list[Sent] = []
            for one in found:
                # Else readers, who know what came before a next number, would take it for a forgery.
                signed.append(self._signing.signed(one, hash_ if one.position.follows(at) else GENESIS))
                at, hash_ = one.position, signed[-1].hash
            yield signed

    async def _begin_of_end(self, after: Position) -> Position | None:
        """Find where the last stretch without a gap begins in the stream inside."""
        begin: Position | None = None
        at = after
        while page := await self._pages.after(self.stream, at):
            for entry in page:
                if begin is None or not entry.position.follows(at):
                    begin = entry.position
                at = entry.position
        return begin
