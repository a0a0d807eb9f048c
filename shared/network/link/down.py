"""One foreign stream on its way in: checked at the border, boxes opened, appended inside under the same ids."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import structlog
from pydantic_core import from_json

from shared.kit.clock import Clock, full_jitter
from shared.kit.streams import GENESIS, START, Entry, Position, Streams, chain
from shared.network.border import Checked, Genuine, check_page
from shared.network.boxes import BoxRefused, read_box
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubStreams
from shared.network.link.listen import Listener
from shared.network.link.rows import NOTHING_TAKEN, Down
from shared.network.link.state import Loaded, load_state
from shared.network.link.store import LinkStore
from shared.network.names import hub_stream
from shared.network.office.pages import Pages, before, unbroken
from shared.network.refusal import Refusal
from shared.network.roster import Roster
from shared.network.signing import entry_is_genuine

log = structlog.get_logger()

SOONEST, LATEST = 1.0, 60.0
PAGE = 200
FAR = 1000


@dataclass(frozen=True)
class Within:
    """What a foreign stream of the link works with; `box_keys` open what was sealed for its addressee."""

    hub: HubStreams
    local: Streams
    store: LinkStore
    clock: Clock
    box_keys: Mapping[str, bytes]
    random: Random
    genuine: Genuine = entry_is_genuine


class DownStream:
    """Brings one foreign stream from the hub into the node; its one writer there."""

    def __init__(self, stream: str, within: Within, at: Down = NOTHING_TAKEN, stopped: Refusal | None = None) -> None:
        self.stream = stream
        self.name = hub_stream(stream)
        self.at = at
        self.stopped = stopped
        self.taken = 0
        self.listener = Listener(stream, within.hub, within.local, within.clock)
        self._in = within
        self._pages = Pages(within.hub, PAGE)
        self._version = self._stopped_under = self._tries = 0
        self._retry_at: float | None = None
        self._lock = asyncio.Lock()

    def wants(self, roster: Roster) -> bool:
        """Tell whether the stream is read at the moment; a stopped one is tried with a new roster, and again later."""
        if self.stopped is None or roster.version != self._stopped_under:
            return True
        return self._retry_at is not None and self._in.clock.monotonic() >= self._retry_at

    async def catch_up(self, roster: Roster, page: list[SignedEntry] | None = None) -> bool:
        """Bring everything inside that the hub holds behind the cursor; tell whether anything came."""
        async with self._lock:
            return await self._catch_up(roster, page)

    async def _catch_up(self, roster: Roster, page: list[SignedEntry] | None) -> bool:
        taken = self.taken
        while page := page or await self._pages.after(self.stream, self.at.position):
            if not await self.take(page, roster):
                break
            page = None
        return self.taken > taken

    async def take(self, page: list[SignedEntry], roster: Roster) -> bool:
        """Bring entries behind the cursor inside; tell whether there may be more."""
        self._version = roster.version
        page = [entry for entry in page if entry.position > self.at.position]
        if page and self.stopped is not None:
            page = await self._as_far_as_the_next_epoch(page)
        if not page:
            return False  # wiped since it was read: there is nothing to judge, and more to come
        previous = self.at.hash
        if not page[0].position.follows(self.at.position):
            if self.name.kind == "pub":
                return await self.load(roster)
            # Erased by its sender, or older than what a box keeps: the chain goes on from the hash that comes next.
            log.warning("box_has_a_gap", stream=self.stream, behind=str(self.at.position), at=str(page[0].position))
            previous = None
        now = self._in.clock.now()
        page = unbroken(page)
        checked = check_page(
            roster, self.stream, previous, self.at.position, page, now, genuine=self._in.genuine
        )  # fmt: skip
        if not await self._bring_in(checked):
            return self.stopped is None
        if checked.refused is not None:
            await self._refuse(checked.refused, Refusal(checked.code, checked.reason))
        return checked.refused is None

    async def load(self, roster: Roster) -> bool:
        """Take the newest of each key as the writer signed it, and stand at the stream's end: for who comes late."""
        self._version = roster.version
        found = await load_state(self.stream, self._in, self.at.position, roster)
        if isinstance(found, Refusal):
            self._stop(found)
        elif isinstance(found, tuple):
            await self._refuse(*found)
        elif found is not None:
            return await self._stand_at_the_end(found)
        return False

    async def _stand_at_the_end(self, loaded: Loaded) -> bool:
        entry = Entry(loaded.end.position, loaded.end.payload, loaded.end.hash(self.stream))
        if not await self._append([entry], _newest([entry])):
            return False
        if not await loaded.is_there(self.stream, self._in.local):
            self._stop(Refusal("state_lost", "the node's Redis lost the state before the end of the stream came"))
            return False
        await self._move(Down(entry.position, entry.hash, entry.position, entry.hash))
        self.taken += 1
        return True

    async def check(self, roster: Roster, end: Position, inside: Position) -> bool:
        """Look whether the hub shows all, and the stream inside still has what was brought there; True if some came."""
        taken = self.taken
        async with self._lock:
            if inside < self.at.local:
                # Asked again: it may have grown since.
                [inside] = await self._in.local.heads([self.stream])
            if inside < self.at.local:
                await self.go_back(inside)
            if self.stopped is not None and end <= self.at.position:
                await self._go_on_without()
            # A stream without entries whose end lies behind us wakes nobody: all that is left of it is its state.
            public = self.name.kind == "pub"
            if public and end > self.at.position and self.wants(roster) and not await self._shows_more():
                await self.load(roster)
        if public:
            await self._listen(roster, end)
        return self.taken > taken

    async def _listen(self, roster: Roster, end: Position) -> None:
        at = self.at
        if end < at.position:
            # Asked for all streams at once, and more has come since.
            [end] = await self._in.hub.heads([self.stream])
        await self.listener.listen(roster, end, at)

    async def go_back(self, inside: Position) -> None:
        """Take again what the node's Redis lost."""
        last = await self._in.local.read(self.stream, before(inside), 1) if inside != START else []
        known = last[0].hash if last and last[0].position == inside else None
        there = Down(inside, known if self.name.kind == "pub" else None, inside, known)
        log.warning("stream_inside_lost", stream=self.stream, had=str(self.at.local), has=str(inside))
        await self._move(NOTHING_TAKEN if inside == START else there)
        self.listener.rest()

    async def _shows_more(self) -> bool:
        return bool(await self._in.hub.read(self.stream, self.at.position, 1))

    async def _as_far_as_the_next_epoch(self, page: list[SignedEntry]) -> list[SignedEntry]:
        """Read on where the writer went on in a new epoch behind what is refused; the border must see its begin."""
        [end] = await self._in.hub.heads([self.stream])
        if page[-1].position.epoch == end.epoch:
            return page
        return await self._in.hub.read(self.stream, self.at.position, FAR)

    async def _bring_in(self, checked: Checked) -> bool:
        """Append what was accepted; False where the stream inside is not where it was left."""
        for entry, why in checked.passed_over:
            await self._in.store.put_aside(self.stream, entry, why, self._in.clock.now(), waits=False)
        passed = [entry for entry, _ in checked.passed_over]
        taken = sorted([*checked.accepted, *passed], key=lambda entry: entry.position)
        if not taken:
            return True
        entries = await self._opened(checked.accepted)
        to = replace(self.at, position=taken[-1].position, hash=taken[-1].hash(self.stream))
        if entries:
            state = _newest(entries) if self.name.kind == "pub" else {}
            if not await self._append(entries, state):
                return False
            to = replace(to, local=entries[-1].position, local_hash=entries[-1].hash)
        await self._move(to)
        self.taken += len(entries)
        return True

    async def _opened(self, accepted: list[SignedEntry]) -> list[Entry]:
        """Give entries as they stand inside: of a box the CloudEvent that was sealed, with a chain of its own."""
        if self.name.to is None:
            return [Entry(entry.position, entry.payload, entry.hash(self.stream)) for entry in accepted]
        previous = self.at.local_hash or GENESIS
        entries: list[Entry] = []
        for entry in accepted:
            try:
                payload = read_box(self._in.box_keys, self.name.to, self.name.writer, entry.position, entry.payload)
            except BoxRefused as error:
                # Its sender hears no answer and may send again; nothing behind it has to wait for that.
                await self._in.store.put_aside(self.stream, entry, error.refusal, self._in.clock.now(), waits=False)
                log.warning("box_not_opened", stream=self.stream, position=str(entry.position), code=error.code)
            else:
                previous = chain(previous, self.stream, entry.position, payload)
                entries.append(Entry(entry.position, payload, previous))
        return entries

    async def _append(self, entries: list[Entry], state: dict[str, Entry]) -> bool:
        """Append inside; where the stream ends elsewhere, find out why. False where it has to be read again."""
        if await self._in.local.append(self.stream, self.at.local, entries, state) is not None:
            return True
        [inside] = await self._in.local.heads([self.stream])
        if inside < self.at.local:
            await self.go_back(inside)
            return False
        if not await self._are_there(entries):
            return False
        rest = [entry for entry in entries if entry.position > inside]
        newest = {key: entry for key, entry in state.items() if entry.position > inside}
        return not rest or await self._in.local.append(self.stream, inside, rest, newest) is not None

    async def _are_there(self, entries: list[Entry]) -> bool:
        """Tell whether what the stream inside holds already is the same; stop where it is not."""
        found = await self._in.local.read(self.stream, before(entries[0].position), len(entries))
        there = {entry.position: entry.hash for entry in found}
        wrong = [one for one in entries if there.get(one.position, one.hash) != one.hash]
        if wrong:
            at = wrong[0].position
            hint = "is its institution in ALBUM_HOSTED?"
            self._stop(Refusal("written_inside", f"the stream inside holds another message at {at}: {hint}"))
        return not wrong

    async def _move(self, to: Down) -> None:
        await self._in.store.keep_down(self.stream, to)
        self.at = to
        self._go_on()

    async def _go_on_without(self) -> None:
        """Wait for nothing any more where what was refused is not on the hub any more."""
        await self._in.store.nothing_waits(self.stream)
        self._go_on()

    def _go_on(self) -> None:
        if self.stopped is not None:
            log.info("stream_goes_on", stream=self.stream, at=str(self.at.position))
        self.stopped = None
        self._tries = 0

    async def _refuse(self, entry: SignedEntry, why: Refusal) -> None:
        await self._in.store.put_aside(self.stream, entry, why, self._in.clock.now(), waits=True)
        self._stop(why)

    def fail(self, error: Exception) -> None:
        """Stop at what nobody expected; it is tried again like anything that is refused."""
        log.error("foreign_stream_fault", stream=self.stream, exc_info=error)
        self._stop(Refusal("fault", f"the link has a fault with this stream: {type(error).__name__}"))

    def _stop(self, why: Refusal) -> None:
        if why != self.stopped:
            log.error("foreign_stream_waits", stream=self.stream, code=why.code, reason=why.reason)
        self.stopped = why
        self._stopped_under = self._version
        wait = SOONEST + full_jitter(self._in.random, self._tries, base=SOONEST, cap=LATEST - SOONEST)
        self._tries += 1
        self._retry_at = self._in.clock.monotonic() + wait


def _newest(entries: list[Entry]) -> dict[str, Entry]:
    return {str(from_json(entry.payload).get("subject", "")): entry for entry in entries}
