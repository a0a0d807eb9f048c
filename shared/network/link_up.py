"""One own stream on its way to the hub: signed, kept, appended where it belongs; refilled where the hub lost it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic_core import from_json

from shared.kit.clock import Clock
from shared.kit.streams import GENESIS, START, Entry, Position, Streams
from shared.network.beats import Beat, beat_payload, digest_of, read_beat
from shared.network.boxes import box_payload
from shared.network.entries import SignedEntry
from shared.network.hub_streams import HubRefuses, HubStreams
from shared.network.identity import Identity
from shared.network.link_store import NOTHING_SENT, LinkStore, Sent, Up
from shared.network.names import hub_stream
from shared.network.pages import Pages, before, behind, unbroken
from shared.network.refusal import Refusal
from shared.network.roster import Roster, RosterKey
from shared.network.signing import entry_is_genuine, sign_beat, sign_entry

log = structlog.get_logger()

BEAT_EVERY = timedelta(seconds=30)
BEAT_ANYWAY = timedelta(hours=1)
ADOPT = 200

Backfill = Callable[[str, Position, int], Awaitable[list[Entry]]]


class Stopped(Exception):  # noqa: N818 - a state of the stream, told to the operator
    """An own stream is not sent on: what lies here and what lies there do not fit, or no key may sign."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.refusal = Refusal(code, reason)


@dataclass(frozen=True)
class Around:
    """What a stream of the link works with."""

    hub: HubStreams
    local: Streams
    store: LinkStore
    clock: Clock
    roster: Callable[[], Roster | None]
    identities: Sequence[Identity]
    backfill: Backfill


class UpStream:
    """Brings one own stream to the hub; the one writer of it there."""

    def __init__(self, stream: str, around: Around) -> None:
        self.stream = stream
        self.name = hub_stream(stream)
        self.stopped: Refusal | None = None
        self.sent = 0
        self._around = around
        self._pages = Pages(around.local)
        self._up = NOTHING_SENT
        self._end: Position | None = None
        self._beaten: tuple[Position, datetime] | None = None
        self._lock = asyncio.Lock()

    @property
    def position(self) -> Position:
        """Give how far the stream is signed."""
        return self._up.position

    @property
    def is_known(self) -> bool:
        """Tell whether it is known where the hub's stream ends."""
        return self._end is not None

    def rest(self) -> None:
        """Forget what was believed of the hub."""
        self._end = None
        self._beaten = None

    async def step(self) -> bool:
        """Bring one page to the hub; tell whether there may be more."""
        async with self._lock:
            return await self._step()

    async def _step(self) -> bool:
        try:
            if self._end is None:
                await self._compare()
            if await self._refill() or await self._send_next():
                self._stop(None)
                return True
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

    async def check(self, hub_end: Position) -> None:
        """Look where the hub's stream ends, and leave a heartbeat where one is due."""
        async with self._lock:
            if self._end != hub_end:
                [hub_end] = await self._around.hub.heads([self.stream])
            if self._end is None or hub_end != self._end:
                self.rest()
            elif self.name.kind == "pub" and self._end == self._up.position != START:
                try:
                    await self._beat()
                except Stopped as stop:
                    self._stop(stop.refusal)

    async def trim(self, before_: datetime) -> None:
        """Drop what was signed before a moment, here and on the hub; of a public stream every key stays."""
        async with self._lock:
            public = self.name.kind == "pub"
            below = await self._around.store.trim_signed(self.stream, before_, keep_newest=public)
            if below is not None:
                self._up = replace(self._up, floor=max(self._up.floor, below))
                await self._around.hub.trim(self.stream, below)

    def _stop(self, why: Refusal | None) -> None:
        if why is not None and why != self.stopped:
            log.error("own_stream_not_sent", stream=self.stream, code=why.code, reason=why.reason)
        elif why is None and self.stopped is not None:
            log.info("own_stream_sent_again", stream=self.stream)
        self.stopped = why

    async def _compare(self) -> None:
        """Find out where the hub's stream ends and whether it is what we signed; raises Stopped where it is not."""
        up = (await self._around.store.ups()).get(self.stream, NOTHING_SENT)
        [end] = await self._around.hub.heads([self.stream])
        [inside] = await self._around.local.heads([self.stream])
        if end <= up.position and not await self._same_there(end):
            up = await self._give_way(end, inside)
        if end > up.position:
            up = await self._adopt(up, end, inside)
        await self._check_inside(up, inside)
        if inside > up.position and not await self._continues(up):
            up = await self._begin_behind_gap(up, inside)
        if self.name.kind == "pub":
            await self._mend_state(full=end < up.position)
        if end < up.position:
            self._beaten = None
        self._up, self._end = up, end

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
                last = await self._around.store.sent_at(self.stream, end)
                known = last.hash if last else GENESIS
                return await self._keep(up, Up(end, known, None, end if last else behind(end)), [])
            if not page[0].position.follows(up.position):
                up = replace(up, position=before(page[0].position), hash=page[0].previous, floor=page[0].position)
            here = {one.position: one for one in await self._around.local.read(self.stream, up.position, len(page))}
            adopted: list[Sent] = []
            for entry in page:
                up = self._check_ours(up, entry, here.get(entry.position), inside)
                adopted.append(Sent(entry, self._subject(entry.payload), up.hash, up.local_hash))
            await self._around.store.keep_signed(self.stream, adopted, up, self._around.clock.now())
            log.info("taken_back_from_hub", stream=self.stream, entries=len(adopted), end=str(up.position))
        return up

    def _check_ours(self, up: Up, entry: SignedEntry, here: Entry | None, inside: Position) -> Up:
        """Give how far we are with one more entry of the hub; raises Stopped where it is none of ours."""
        if not self._is_genuine(entry) or not entry.position.follows(up.position) or entry.previous != up.hash:
            raise Stopped("forged", f"the hub holds an entry at {entry.position} that was never signed here")
        moved_on = inside.epoch > entry.position.epoch
        if here is None and inside < entry.position:
            raise Stopped("hub_ahead", f"the hub holds {entry.position}, the stream inside ends at {inside}: it waits")
        if here and self.name.kind == "pub" and here.payload != entry.payload and not moved_on:
            raise Stopped("fork", f"the hub holds another entry at {entry.position} than the stream inside")
        return Up(entry.position, entry.hash(self.stream), here.hash if here else None, up.floor)

    def _is_genuine(self, entry: SignedEntry) -> bool:
        roster = self._around.roster()
        member = roster.member(self.name.writer) if roster else None
        key = member.key(entry.kid) if member else None
        return key is not None and entry_is_genuine(key.ed25519, self.stream, entry)

    async def _adopt_state(self) -> None:
        now = self._around.clock.now()
        async for page in self._around.hub.state_pages(self.stream):
            ours = [Sent(one, key, one.hash(self.stream), None) for key, one in page.items() if self._is_genuine(one)]
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
        page = await self._behind(up.position, 1)
        return bool(page) and page[0].position.follows(up.position)

    async def _behind(self, after: Position, count: int | None = None) -> list[Entry]:
        """Give what stands behind a place: as the stream inside has it, else as its writer's log does."""
        page = await self._pages.after(self.stream, after, count)
        if page and not page[0].position.follows(after):
            page = await self._filled(after, page)
        return unbroken(page)

    async def _filled(self, after: Position, page: list[Entry]) -> list[Entry]:
        logged = await self._around.backfill(self.stream, after, self._pages.count)
        return logged if logged and logged[0].position.follows(after) else page

    async def _begin_behind_gap(self, up: Up, inside: Position) -> Up:
        """Begin anew where the past is trimmed inside: the newest of each key, then the unbroken end.

        What came before is not known, and the protocol's word for that is a hash of zeros.
        """
        begin = await self._begin_of_end(up.position)
        state = await self._around.local.state(self.stream) if self.name.kind == "pub" else {}
        old = [one for one in state.values() if up.position < one.position and (begin is None or one.position < begin)]
        rows = [self._signed(one, GENESIS) for one in sorted(old, key=lambda one: one.position)]
        if begin is not None:
            new = Up(before(begin), GENESIS, None, begin)
        elif rows:
            new = Up(rows[-1].entry.position, rows[-1].hash, rows[-1].local_hash, rows[-1].entry.position)
        else:
            new = Up(inside, GENESIS, None, behind(inside))
        log.warning("begun_behind_gap", stream=self.stream, was=str(up.position), now=str(new.position))
        return await self._keep(up, new, rows)

    async def _keep(self, was: Up, new: Up, rows: list[Sent]) -> Up:
        if new != was:
            await self._around.store.keep_signed(self.stream, rows, new, self._around.clock.now())
        return new

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

    async def _mend_state(self, *, full: bool) -> None:
        """Bring the newest of each key to the hub before the stream's end: who joins late must find every key."""
        newest = await self._around.store.newest_hashes(self.stream)
        if not full and await self._around.hub.state_size(self.stream) >= len(newest):
            return
        last = ""
        while page := await self._around.store.newest_after(self.stream, last):
            await self._around.hub.keep_state(self.stream, page)
            last = max(page)

    async def _refill(self) -> bool:
        """Append what is signed and not on the hub, with the bytes that it always had."""
        end = self._end or START
        if end >= self._up.position:
            return False
        rows = await self._around.store.sent_after(self.stream, max(end, before(self._up.floor)))
        if rows:
            await self._append(rows, {})
            log.info("hub_refilled", stream=self.stream, entries=len(rows), end=str(rows[-1].entry.position))
        return bool(rows)

    async def _send_next(self) -> bool:
        page = await self._behind(self._up.position)
        if not page:
            return False
        if not page[0].position.follows(self._up.position):
            self._end = None
            return True
        rows: list[Sent] = []
        up = self._up
        for entry in page:
            rows.append(self._signed(entry, up.hash))
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

    def _signed(self, entry: Entry, previous: bytes) -> Sent:
        identity = self._identity_at(entry.position)
        payload = entry.payload if self.name.to is None else self._sealed(self.name.to, entry)
        signed = sign_entry(identity, self.stream, entry.position, previous, payload)
        return Sent(signed, self._subject(entry.payload), signed.hash(self.stream), entry.hash)

    def _identity_at(self, position: Position) -> Identity:
        """Give the newest of our keys that speaks at a position, by the roster."""
        roster = self._around.roster()
        if roster is None:
            raise Stopped("no_roster", "no roster is held yet")
        why = Refusal("no_key", "there are no keys of this institution here")
        for identity in self._around.identities:
            key = roster.key_for(self.name.writer, identity.kid, self.stream, position)
            if isinstance(key, RosterKey):
                return identity
            why = key
        raise Stopped(why.code, why.reason)

    def _sealed(self, to: str, entry: Entry) -> bytes:
        roster = self._around.roster()
        member = roster.member(to) if roster else None
        key = member.box_key if member else None
        if key is None:
            raise Stopped("no_box_key", f"the roster has no key to seal messages for '{to}'")
        type_word = str(_event(entry.payload).get("type", ""))
        return box_payload(key.x25519, key.kid, to, self.name.writer, entry.position, type_word, entry.payload)

    def _subject(self, payload: bytes) -> str | None:
        return None if self.name.kind == "box" else str(_event(payload).get("subject", ""))

    async def _beat(self) -> None:
        head, now = self._up.position, self._around.clock.now()
        if self._beaten is None:
            self._beaten = await self._last_beat(head)
        if self._beaten is not None:
            at = self._beaten[1]
            if now - at < (BEAT_ANYWAY if self._beaten[0] == head else BEAT_EVERY):
                return
        newest = await self._around.store.newest_hashes(self.stream)
        hashes = {key: hash_ for key, (_, hash_) in newest.items()}
        said = Beat(head, self._up.hash, len(hashes), digest_of(hashes), now)
        beat = sign_beat(self._identity_at(behind(head)), self.stream, beat_payload(said))
        await self._around.hub.beat(self.stream, beat)
        self._beaten = (head, now)

    async def _last_beat(self, head: Position) -> tuple[Position, datetime] | None:
        """Give head and moment of the heartbeat on the hub, where it is one of ours for this head."""
        beat = await self._around.hub.heartbeat(self.stream)
        if beat is None or beat.kid != self._identity_at(behind(head)).kid:
            return None
        try:
            said = read_beat(beat.payload)
        except ValueError:
            return None
        return (said.head, said.at) if said.head == head else None


def _event(payload: bytes) -> dict[str, Any]:
    """Read a message of ours; one that is none stops its own stream: others would not take it, and wait behind it."""
    try:
        event = from_json(payload)
    except ValueError as error:
        raise Stopped("not_json", f"a message inside is not JSON: {error}") from error
    if not isinstance(event, dict):
        raise Stopped("not_cloudevent", "a message inside is no CloudEvent")
    return event
