"""The state of a public stream as somebody loads it who joins late, or who fell behind what the stream still has."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.kit.errors import Transient
from shared.kit.outbox import digest
from shared.kit.paging import PageSize
from shared.kit.streams import Entry, Position, Streams


@dataclass(frozen=True)
class Snapshot:
    """The end of a stream as it was noted, and which keys have their newest message where, in order.

    What the messages hold is fetched page by page: all of it is as large as the state, hundreds of megabytes.
    """

    stream: str
    head: Position
    keys: list[tuple[Position, str]]

    async def pages(self, streams: Streams, size: PageSize) -> AsyncIterator[list[Entry]]:
        """Give the newest messages in order; raises Transient where the state was lost meanwhile.

        A key that moved on is left out: the tail brings it, and would bring it a second time.
        """
        done = 0
        while done < len(self.keys):
            part = self.keys[done : done + size.count]
            done += len(part)
            found = await streams.state_of(self.stream, [key for _, key in part])
            if any(key not in found or found[key].position < position for position, key in part):
                raise Transient(f"the state of {self.stream} changed while it was read")
            page = [found[key] for position, key in part if found[key].position == position]
            size.saw(page)
            yield page


async def snapshot_of(streams: Streams, stream: str, after: Position) -> Snapshot:
    """Note the end of a stream and the keys whose newest message lies behind a position; raises Transient."""
    [head] = await streams.heads([stream])
    state = await streams.state_index(stream)
    beat = await streams.heartbeat(stream)
    moved = any(entry.position > head for entry in state.values())
    if beat and beat.head == head and not moved and (beat.keys, beat.digest) != (len(state), digest(state)):
        raise Transient(f"the state of {stream} is not what its writer's heartbeat says")
    if head < after or (beat is not None and head < beat.head):
        raise Transient(f"{stream} ends at {head}: its writer has not refilled it yet")
    [end] = await streams.heads([stream])
    size = await streams.state_size(stream)
    lost = end < head or size < len(state) or (end == head and size > len(state))
    # Wiped after the end was noted, the state was empty or half refilled, though it is whole by now.
    if lost or (size > len(state) and await _misses(streams, stream, head, state)):
        raise Transient(f"the state of {stream} changed while it was read")
    # What came behind the noted end is not loaded: the tail brings it, and would bring it a second time.
    keys = sorted((entry.position, key) for key, entry in state.items() if after < entry.position <= head)
    return Snapshot(stream, head, keys)


async def _misses(streams: Streams, stream: str, head: Position, state: dict[str, Entry]) -> bool:
    """Tell whether something that was told up to the noted end was not there when the state was read."""
    now = await streams.state_index(stream)
    return any(entry.position <= head and key not in state for key, entry in now.items())
