"""Where the hub, what was signed, and the stream inside stand to each other, and how they are brought together."""

from dataclasses import replace
from datetime import timedelta

import structlog

from shared.kit.blanks import is_blank
from shared.kit.clock import passed
from shared.kit.errors import Transient
from shared.kit.streams import GENESIS, START, Entry, Position, chain
from shared.network.entries import SignedEntry
from shared.network.link.beginning import Beginning
from shared.network.link.rows import NOTHING_SENT, Sent, Up
from shared.network.link.sign import Around, Signing, Stopped
from shared.network.names import hub_stream
from shared.network.office.pages import Pages, before, behind, unbroken

log = structlog.get_logger()

ADOPT = 200
REFILLED_WITHIN = timedelta(seconds=30)


class Waits(Exception):  # noqa: N818 - a state of the stream that passes by itself
    """One side is just changing, by a wipe or a refill; a little later is early enough."""


class Comparing:
    """Compares one own stream on both sides with what was signed of it."""

    def __init__(self, stream: str, around: Around, signing: Signing) -> None:
        self.stream = stream
        self.name = hub_stream(stream)
        self._around = around
        self._signing = signing
        self._pages = Pages(around.local)
        self._beginning = Beginning(stream, around, signing)
        self._inside = START
        self._gap: tuple[Position, float] | None = None
        self._unheard = False

    async def compare(self) -> tuple[Up, Position]:
        """Give how far we have signed and where the hub's stream ends.

        Raises Stopped where the two do not fit, and Waits where one side is just changing.
        """
        up = (await self._around.store.ups()).get(self.stream, NOTHING_SENT)
        [end] = await self._around.hub.heads([self.stream])
        [inside] = await self._around.local.heads([self.stream])
        self._inside = inside
        if end <= up.position and not await self._same_there(end):
            up = await self._give_way(end, inside)
        if end > up.position:
            up = await self._adopt(up, end, inside)
        await self._check_inside(up, inside)
        if inside > up.position and not await self._continues(up):
            self._wait_for_refill(up.position)
            up = await self._beginning.behind_gap(up, inside)
        if self.name.kind == "pub":
            await self._mend_state(full=end < up.position)
        return up, end

    async def _same_there(self, end: Position) -> bool:
        """Tell whether the hub's last entry is the one that we signed, as far as both can still be seen."""
        if end == START:
            return True
        theirs = await self._there(end)
        ours = await self._around.store.sent_at(self.stream, end)
        return theirs is None or ours is None or theirs == ours.entry

    async def _there(self, position: Position) -> SignedEntry | None:
        found = await self._around.hub.read(self.stream, before(position), 1)
        return found[0] if found and found[0].position == position else None

    async def _give_way(self, end: Position, inside: Position) -> Up:
        """Take the hub's history for ours where the stream inside went on in a new epoch behind both."""
        if inside.epoch <= end.epoch:
            raise Stopped("fork", f"the hub holds another entry at {end} than was signed here: was a backup restored?")
        floor = (await self._around.store.ups())[self.stream].floor
        common = before(floor)
        while page := await self._around.store.sent_after(self.stream, common):
            last = await self._last_common(page, common)
            if last is None:
                break
            common = last.entry.position
            if last is not page[-1]:
                break
        known = await self._around.store.sent_at(self.stream, common)
        up = Up(common, known.hash, known.local_hash, floor) if known else NOTHING_SENT
        await self._around.store.forget_signed(self.stream, common, up)
        log.warning("history_of_the_hub_taken", stream=self.stream, common=str(common), end=str(end))
        return up

    async def _last_common(self, page: list[Sent], after: Position) -> Sent | None:
        theirs = {one.position: one for one in await self._around.hub.read(self.stream, after, len(page))}
        last = None
        for one in page:
            if theirs.get(one.entry.position, one.entry) != one.entry:
                break
            last = one
        return last

    async def _adopt(self, up: Up, end: Position, inside: Position) -> Up:
        """Take into our log what is ours on the hub and not in it: the database of members came from a backup."""
        if up == NOTHING_SENT and self.name.kind == "pub":
            await self._adopt_state()
        while up.position < end:
            page = await self._around.hub.read(self.stream, up.position, ADOPT)
            if not page:
                if await self._around.hub.heads([self.stream]) != [end]:
                    # Wiped since its end was asked: what is not there was not trimmed, and is still to be sent.
                    raise Waits
                last = await self._around.store.sent_at(self.stream, end)
                known = last.hash if last else GENESIS
                return await self._keep(up, Up(end, known, None, end if last else behind(end)), [])
            if not page[0].position.follows(up.position):
                up = replace(up, position=before(page[0].position), hash=page[0].previous, floor=page[0].position)
            here = {one.position: one for one in await self._around.local.read(self.stream, up.position, len(page))}
            adopted: list[Sent] = []
            for entry in page:
                up = self._check_ours(up, entry, here.get(entry.position), inside)
                adopted.append(Sent(entry, self._signing.subject_of(entry.payload), up.hash, up.local_hash))
            await self._around.store.keep_signed(self.stream, adopted, up, self._around.clock.now())
            log.info("taken_back_from_hub", stream=self.stream, entries=len(adopted), end=str(up.position))
        return up

    def _check_ours(self, up: Up, entry: SignedEntry, here: Entry | None, inside: Position) -> Up:
        """Give how far we are with one more entry of the hub; raises Stopped where it is none of ours."""
        if not self._signing.is_genuine(entry) or not entry.position.follows(up.position) or entry.previous != up.hash:
            raise Stopped("forged", f"the hub holds an entry at {entry.position} that was never signed here")
        moved_on = inside.epoch > entry.position.epoch
        if here is None and inside < entry.position:
            raise Stopped("hub_ahead", f"the hub holds {entry.position}, the stream inside ends at {inside}: it waits")
        if here and self.name.kind == "pub" and here.payload != entry.payload and not moved_on:
            raise Stopped("fork", f"the hub holds another entry at {entry.position} than the stream inside")
        return Up(entry.position, entry.hash(self.stream), here.hash if here else None, up.floor)

    async def _adopt_state(self) -> None:
        now = self._around.clock.now()
        async for page in self._around.hub.state_pages(self.stream):
            ours = [
                Sent(one, key, one.hash(self.stream), None)
                for key, one in page.items()
                if self._signing.is_genuine(one)
            ]
            await self._around.store.keep_signed(self.stream, ours, NOTHING_SENT, now)

    async def _check_inside(self, up: Up, inside: Position) -> None:
        """Refuse to go on where the stream inside holds another message than was sent from the same place."""
        if START in (inside, up.position):
            return
        at = min(inside, up.position)
        sent = await self._around.store.sent_at(self.stream, at)
        here = await self._around.local.read(self.stream, before(at), 1)
        known = sent.local_hash if sent else None
        if known and here and here[0].position == at and here[0].hash != known:
            raise Stopped("fork", f"the stream inside holds another message at {at} than was sent")

    async def _continues(self, up: Up) -> bool:
        page = await self.after(up, 1)
        return bool(page) and self.is_next(page[0], up)

    def is_next(self, entry: Entry, up: Up) -> bool:
        """Tell whether nothing is missing before an entry: an epoch may follow any place, so its hash has to say so."""
        if not entry.position.follows(up.position):
            return False
        # The log of a box begins an epoch behind what it still has: what was sealed does not come back into it.
        by_place = entry.position.epoch == up.position.epoch or self.name.kind == "box"
        if by_place or up.local_hash is None or is_blank(entry):
            return True
        return chain(up.local_hash, self.stream, entry.position, entry.payload) == entry.hash

    def _wait_for_refill(self, at: Position) -> None:
        """Wait a bounded time before what is missing counts as trimmed: it would never be sent any more."""
        if self._gap is None or self._gap[0] != at:
            log.info("gap_inside", stream=self.stream, behind=str(at))
            self._gap = (at, self._around.clock.monotonic())
        if passed(self._around.clock, self._gap[1]) < REFILLED_WITHIN:
            raise Waits
        self._gap = None

    async def after(self, up: Up, count: int | None = None) -> list[Entry]:
        """Give what stands behind what was sent: as the stream inside has it, else as its writer's log does."""
        page = await self._pages.after(self.stream, up.position, count)
        # A trim inside may leave nothing but the stream's end.
        if not self.is_next(page[0], up) if page else up.position < self._inside:
            page = await self._filled(up.position, page)
        return unbroken(page)

    async def _filled(self, after: Position, page: list[Entry]) -> list[Entry]:
        try:
            logged = await self._around.backfill(self.stream, after, self._pages.count)
        except Transient as error:
            # Its service is away: this stream waits for it, and no other one.
            if not self._unheard:
                log.warning("log_not_heard", stream=self.stream, reason=str(error))
            self._unheard = True
            raise Waits from error
        self._unheard = False
        return logged if logged and logged[0].position.follows(after) else page

    async def _keep(self, was: Up, new: Up, rows: list[Sent]) -> Up:
        if new != was:
            await self._around.store.keep_signed(self.stream, rows, new, self._around.clock.now())
        return new

    async def _mend_state(self, *, full: bool) -> None:
        """Bring the newest of each key to the hub before the stream's end: who joins late must find every key."""
        newest = await self._around.store.newest_hashes(self.stream)
        if not full and await self._around.hub.state_size(self.stream) >= len(newest):
            return
        last = ""
        while page := await self._around.store.newest_after(self.stream, last):
            await self._around.hub.keep_state(self.stream, page)
            last = max(page)
