"""The hub's streams in memory: the same rules and walls as on Redis, for tests of rules and for the simulation."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

from shared.kit.streams import START, Position
from shared.network.entries import SignedBeat, SignedEntry, state_value
from shared.network.hub.streams import HubRefuses, entry_in_state, is_newer
from shared.network.names import ROSTER, hub_stream

_PAGE = 200


class MemoryHub:
    """What lies on the hub; `as_user` gives it as one institution's user sees it."""

    def __init__(self) -> None:
        self.documents: dict[int, tuple[bytes, bytes]] = {}
        self.asked: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.walls = True
        self.wipe()

    def wipe(self) -> None:
        """Forget all that institutions wrote, as a Redis does whose disk is lost; the office's rosters stay."""
        self.entries: dict[str, list[SignedEntry]] = defaultdict(list)
        self.ends: dict[str, Position] = {}
        self.states: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.beats: dict[str, SignedBeat] = {}
        self.notes: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.changed = asyncio.Event()

    def put_roster(self, version: int, document: bytes, signatures: bytes) -> None:
        """Publish a roster, as the office does."""
        self.documents[version] = (document, signatures)
        self.ends[ROSTER] = Position(1, version)
        self.wake()

    def wake(self) -> None:
        """Wake all who wait for something new."""
        self.changed.set()
        self.changed = asyncio.Event()

    def as_user(self, user: str) -> "MemoryHubStreams":
        """Give the hub as an institution's user sees it."""
        return MemoryHubStreams(self, user)


class MemoryHubStreams:
    """The hub as one user sees it."""

    def __init__(self, hub: MemoryHub, user: str) -> None:
        self._hub = hub
        self._user = user

    async def append(
        self, stream: str, after: Position, entries: list[SignedEntry], state: dict[str, SignedEntry]
    ) -> Position | None:
        """Append the entries and keep the newest of each key; None, and nothing done, if the stream ends elsewhere."""
        self._may_write(stream, public=bool(state))
        if self._hub.ends.get(stream, START) != after:
            return None
        self._hub.entries[stream] += entries
        self._hub.ends[stream] = entries[-1].position
        self._hub.states[stream].update((key, state_value(entry)) for key, entry in state.items())
        self._hub.wake()
        return entries[-1].position

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream, though its entry may be trimmed."""
        for stream in streams:
            self._may_read(stream)
        return [self._hub.ends.get(stream, START) for stream in streams]

    async def read(self, stream: str, after: Position, count: int) -> list[SignedEntry]:
        """Give up to `count` entries behind a position."""
        self._may_read(stream)
        return [entry for entry in self._hub.entries[stream] if entry.position > after][:count]

    async def read_many(self, after: dict[str, Position], count: int, block_ms: int) -> dict[str, list[SignedEntry]]:
        """Give up to `count` entries of each stream behind its position; wait up to `block_ms` until there is one."""
        found = self._new(after, count)
        if not found and block_ms:
            try:
                async with asyncio.timeout(block_ms / 1000):
                    await self._hub.changed.wait()
            except TimeoutError:
                return {}
            found = self._new(after, count)
        return found

    def _new(self, after: dict[str, Position], count: int) -> dict[str, list[SignedEntry]]:
        found: dict[str, list[SignedEntry]] = {}
        for stream, position in after.items():
            self._may_read(stream)
            if stream == ROSTER and self._hub.ends.get(ROSTER, START) > position:
                found[stream] = [SignedEntry(self._hub.ends[ROSTER], b"", "", b"", b"")]
            elif page := [entry for entry in self._hub.entries[stream] if entry.position > position][:count]:
                found[stream] = page
        return found

    async def state(self, stream: str) -> dict[str, SignedEntry]:
        """Give the newest entry of every key."""
        self._may_read(stream)
        return {key: entry_in_state(value) for key, value in self._hub.states[stream].items()}

    async def state_pages(self, stream: str) -> AsyncIterator[dict[str, SignedEntry]]:
        """Give the state page by page."""
        everything = list((await self.state(stream)).items())
        for start in range(0, len(everything), _PAGE):
            yield dict(everything[start : start + _PAGE])

    async def state_size(self, stream: str) -> int:
        """Give the number of keys in the state."""
        self._may_read(stream)
        return len(self._hub.states[stream])

    async def keep_state(self, stream: str, state: dict[str, SignedEntry]) -> None:
        """Set the newest entries of some keys; an older one than is there is left out, though it comes late."""
        self._may_write(stream, public=True)
        there = self._hub.states[stream]
        for key, entry in state.items():
            if is_newer(entry, there.get(key)):
                there[key] = state_value(entry)

    async def beat(self, stream: str, beat: SignedBeat) -> None:
        """Leave the writer's heartbeat."""
        self._may_write(stream, public=True)
        self._hub.beats[stream] = beat

    async def heartbeat(self, stream: str) -> SignedBeat | None:
        """Give the writer's last heartbeat."""
        self._may_read(stream)
        return self._hub.beats.get(stream)

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position."""
        self._may_write(stream)
        self._hub.entries[stream] = [entry for entry in self._hub.entries[stream] if entry.position >= below]

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Drop single entries of an own box."""
        self._may_write(stream)
        if hub_stream(stream).kind != "box":
            raise HubRefuses(f"{self._user} may not remove single entries of {stream}")
        self._hub.entries[stream] = [entry for entry in self._hub.entries[stream] if entry.position not in positions]

    async def note_taken(self, slug: str, notes: dict[str, bytes]) -> None:
        """Leave notes for senders, by their names, of how far the boxes to an institution are taken."""
        if self._hub.walls and slug != self._user:
            raise HubRefuses(f"{self._user} may not write what {slug} has taken")
        self._hub.notes[slug].update(notes)

    async def taken(self, slug: str, sender: str) -> bytes | None:
        """Give the note that an institution left for a sender."""
        return self._hub.notes[slug].get(sender)

    async def ask(self, slug: str, field: str, document: bytes) -> None:
        """Leave something for the office to decide, as an institution."""
        if self._hub.walls and slug != self._user:
            raise HubRefuses(f"{self._user} may not ask for {slug}")
        self._hub.asked[slug][field] = document

    async def rosters(self, after_version: int) -> list[tuple[bytes, bytes]]:
        """Give document and signatures of every roster behind a version, in order."""
        return [self._hub.documents[version] for version in sorted(self._hub.documents) if version > after_version]

    def _may_write(self, stream: str, *, public: bool = False) -> None:
        name = None if stream == ROSTER else hub_stream(stream)
        if self._hub.walls and (name is None or name.writer != self._user or (public and name.kind != "pub")):
            raise HubRefuses(f"{self._user} may not write {stream}")

    def _may_read(self, stream: str) -> None:
        name = None if stream == ROSTER else hub_stream(stream)
        mine = name is None or name.kind == "pub" or self._user in {name.writer, name.to}
        if self._hub.walls and not mine:
            raise HubRefuses(f"{self._user} may not read {stream}")
