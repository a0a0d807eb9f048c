"""Streams in memory: the same rules as on Redis, for tests of rules and for the simulation."""

from collections import defaultdict

from shared.kit.streams import START, Entry, Heartbeat, Position


class MemoryStreams:
    """Streams that live in this process."""

    def __init__(self) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Forget everything, as a Redis does whose disk is lost."""
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._ends: dict[str, Position] = {}
        self._state: dict[str, dict[str, Entry]] = defaultdict(dict)
        self._beats: dict[str, Heartbeat] = {}

    async def append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        """Append the entries and give the new end; None where the stream does not end at `after`."""
        [head] = await self.heads([stream])
        if head != after:
            return None
        self._entries[stream] += entries
        self._ends[stream] = entries[-1].position
        self._state[stream].update(state)
        return entries[-1].position

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream, though its entry may be trimmed."""
        return [self._ends.get(stream, START) for stream in streams]

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position; like Redis, none before the first place of an epoch."""
        if after.seq < 0:
            raise ValueError(f"{after} is no place in a stream")
        return [entry for entry in self._entries[stream] if entry.position > after][:count]

    async def state(self, stream: str) -> dict[str, Entry]:
        """Give the newest entry of every key."""
        return dict(self._state[stream])

    async def state_index(self, stream: str) -> dict[str, Entry]:
        """Give the newest entry of every key without its payload."""
        return {key: entry._replace(payload=b"") for key, entry in self._state[stream].items()}

    async def state_of(self, stream: str, keys: list[str]) -> dict[str, Entry]:
        """Give the newest entry of some keys."""
        return {key: self._state[stream][key] for key in keys if key in self._state[stream]}

    async def state_size(self, stream: str) -> int:
        """Give the number of keys in the state."""
        return len(self._state[stream])

    async def keep_state(self, stream: str, state: dict[str, Entry]) -> None:
        """Set the newest entries of some keys; an older one than is there is left out."""
        known = self._state[stream]
        known.update({k: e for k, e in state.items() if k not in known or e.position >= known[k].position})

    async def beat(self, stream: str, heartbeat: Heartbeat) -> None:
        """Leave the writer's heartbeat."""
        self._beats[stream] = heartbeat

    async def heartbeat(self, stream: str) -> Heartbeat | None:
        """Give the writer's last heartbeat."""
        return self._beats.get(stream)

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position."""
        self._entries[stream] = [entry for entry in self._entries[stream] if entry.position >= below]

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Take single entries out of a stream."""
        gone = set(positions)
        self._entries[stream] = [entry for entry in self._entries[stream] if entry.position not in gone]

    async def forget(self, stream: str) -> None:
        """Drop a stream with its state and heartbeat, so that its writer fills it anew."""
        for held in (self._entries, self._ends, self._state, self._beats):
            held.pop(stream, None)
