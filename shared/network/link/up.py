"""One own stream on its way to the hub: signed, kept, appended where it belongs; refilled where the hub lost it."""

import asyncio
from dataclasses import replace
from datetime import datetime

import structlog

from shared.kit.streams import START, Position
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubRefuses
from shared.network.link.beats import Beats
from shared.network.link.compare import Comparing, Waits
from shared.network.link.rows import NOTHING_SENT, Sent, Up
from shared.network.link.sign import Around, Signing, Stopped
from shared.network.names import hub_stream
from shared.network.office.pages import before
from shared.network.refusal import Refusal

log = structlog.get_logger()


class UpStream:
    """Brings one own stream to the hub; the one writer of it there."""

    def __init__(self, stream: str, around: Around) -> None:
        self.stream = stream
        self.name = hub_stream(stream)
        self.stopped: Refusal | None = None
        self.sent = 0
        self._around = around
        self._signing = Signing(stream, around)
        self._comparing = Comparing(stream, around, self._signing)
        self._beats = Beats(stream, around, self._signing)
        self._up = NOTHING_SENT
        self._end: Position | None = None
        self._checked: Position | None = None
        self._lock = asyncio.Lock()

    @property
    def position(self) -> Position:
        """Give how far the stream is signed."""
        return self._up.position

    @property
    def is_known(self) -> bool:
        """Tell whether it is known where the hub's stream ends."""
        return self._end is not None

    @property
    def is_sent(self) -> bool:
        """Tell whether all that is signed is known to be on the hub."""
        return self._end is not None and self._end == self._up.position

    def rest(self) -> None:
        """Forget what was believed of the hub."""
        self._end = None
        self._beats.rest()

    async def step(self) -> bool:
        """Bring one page to the hub; tell whether there may be more."""
        async with self._lock:
            return await self._step()

    async def _step(self) -> bool:
        try:
            if self._end is None:
                await self._find_out()
            if await self._refill() or await self._send_next():
                self._stop(None)
                return True
        except Waits:
            self.rest()
        except Stopped as stop:
            self.rest()
            self._stop(stop.refusal)
        except HubRefuses as error:
            self.rest()
            self._stop(Refusal("hub_refuses", str(error)))
            raise
        except BaseException:
            # The answer is lost, the entries may be there: the hub is asked before anything else is sent.
            self.rest()
            raise
        else:
            self._stop(None)
        return False

    async def check(self, hub_end: Position, inside: Position) -> None:
        """Look where the stream ends on both sides, and leave a heartbeat where one is due."""
        async with self._lock:
            if self._end != hub_end:
                [hub_end] = await self._around.hub.heads([self.stream])
            # What was trimmed inside before it was sent is not there to be read: only the stream's end tells of it.
            left_behind = self._end == self._checked == self._up.position < inside
            self._checked = self._up.position
            if self._end is None or hub_end != self._end or left_behind:
                self.rest()
            elif self.name.kind == "pub" and self._end == self._up.position != START:
                try:
                    await self._beats.leave(self._up)
                except Stopped as stop:
                    self._stop(stop.refusal)

    async def trim(self, before_: datetime) -> None:
        """Drop what was signed of a public stream before a moment, here and on the hub; every key stays."""
        async with self._lock:
            below = await self._around.store.trim_signed(self.stream, before_)
            if below is not None:
                self._up = replace(self._up, floor=max(self._up.floor, below))
                await self._around.hub.trim(self.stream, below)

    async def trim_box(self, taken: Position | None, before_: datetime) -> None:
        """Drop what was taken up to a position, here and on the hub, and what was signed before a moment."""
        async with self._lock:
            below, untaken = await self._around.store.trim_taken(self.stream, taken, before_)
            if untaken:
                log.error("box_never_taken", stream=self.stream, entries=untaken, below=str(below))
            if below is not None:
                self._up = replace(self._up, floor=max(self._up.floor, below))
                await self._around.hub.trim(self.stream, below)

    def _stop(self, why: Refusal | None) -> None:
        if why is not None and why != self.stopped:
            log.error("own_stream_not_sent", stream=self.stream, code=why.code, reason=why.reason)
        elif why is None and self.stopped is not None:
            log.info("own_stream_sent_again", stream=self.stream)
        self.stopped = why

    async def _find_out(self) -> None:
        self._up, end = await self._comparing.compare()
        if end < self._up.position:
            self._beats.rest()
        self._end = end

    async def _refill(self) -> bool:
        """Append what is signed and not on the hub, with the bytes that it always had."""
        end = self._end or START
        if end >= self._up.position:
            return False
        rows = await self._around.store.sent_after(self.stream, max(end, before(self._up.floor)))
        if rows:
            await self._append(rows, await self._newest_of(rows))
            log.info("hub_refilled", stream=self.stream, entries=len(rows), end=str(rows[-1].entry.position))
        return bool(rows)

    async def _newest_of(self, rows: list[Sent]) -> dict[str, SignedEntry]:
        """Give those that are the newest of their keys: the hub may lose its state again before they come."""
        keys = {one.subject for one in rows if one.subject}
        places = {place for place, _ in (await self._around.store.newest_hashes(self.stream, keys)).values()}
        return {one.subject: one.entry for one in rows if one.subject and one.entry.position in places}

    async def _send_next(self) -> bool:
        page = await self._comparing.after(self._up)
        if not page:
            return False
        if not self._comparing.is_next(page[0], self._up):
            self._end = None
            return True
        rows: list[Sent] = []
        up = self._up
        for entry in page:
            rows.append(self._signing.signed(entry, up.hash))
            up = Up(entry.position, rows[-1].hash, entry.hash, up.floor)
        # What is sealed once is random: it is kept before it is sent, so that a repeat is the same bytes.
        await self._around.store.keep_signed(self.stream, rows, up, self._around.clock.now())
        self._up = up
        state = {one.subject: one.entry for one in rows if one.subject} if self.name.kind == "pub" else {}
        await self._append(rows, state)
        self.sent += len(rows)
        return True

    async def _append(self, rows: list[Sent], state: dict[str, SignedEntry]) -> None:
        entries = [one.entry for one in rows]
        end = await self._around.hub.append(self.stream, self._end or START, entries, state)
        self._end = end
        if end is None:
            log.info("hub_moved", stream=self.stream)
            self.rest()
