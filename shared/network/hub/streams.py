"""Streams as the hub has them: signed entries, their states and heartbeats, and the rosters of the office."""

from collections.abc import AsyncIterator
from typing import Protocol

from shared.kit.errors import Transient
from shared.kit.streams import START, Position
from shared.network.entries import SignedBeat, SignedEntry, from_state_value

_UNREADABLE = SignedEntry(START, b"", "", b"", b"")


class HubAway(Transient):
    """The hub does not answer, or not as it should; waiting helps."""


class HubRefuses(HubAway):
    """The hub does not let this user do that; waiting helps where the office is about to admit."""


class HubStreams(Protocol):
    """The hub as one institution's user sees it; Redis in life, a dictionary under simulation."""

    async def append(
        self, stream: str, after: Position, entries: list[SignedEntry], state: dict[str, SignedEntry]
    ) -> Position | None:
        """Append the entries and keep the newest of each key; None, and nothing done, if the stream ends elsewhere."""
        ...

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream; START where there is nothing."""
        ...

    async def read(self, stream: str, after: Position, count: int) -> list[SignedEntry]:
        """Give up to `count` entries behind a position."""
        ...

    async def read_many(self, after: dict[str, Position], count: int, block_ms: int) -> dict[str, list[SignedEntry]]:
        """Give up to `count` entries of each stream behind its position; wait up to `block_ms` until there is one."""
        ...

    async def state(self, stream: str) -> dict[str, SignedEntry]:
        """Give the newest entry of every key; one that cannot be read stands at START and is refused at the border."""
        ...

    def state_pages(self, stream: str) -> AsyncIterator[dict[str, SignedEntry]]:
        """Give the state page by page, so that a large one needs no large memory; a key may come twice."""
        ...

    async def state_size(self, stream: str) -> int:
        """Give the number of keys in the state."""
        ...

    async def keep_state(self, stream: str, state: dict[str, SignedEntry]) -> None:
        """Set the newest entries of some keys; an older one than is there is left out, though it comes late."""
        ...

    async def beat(self, stream: str, beat: SignedBeat) -> None:
        """Leave the writer's heartbeat."""
        ...

    async def heartbeat(self, stream: str) -> SignedBeat | None:
        """Give the writer's last heartbeat."""
        ...

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position."""
        ...

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Drop single entries of an own box: what it held of a person is erased."""
        ...

    async def note_taken(self, slug: str, notes: dict[str, bytes]) -> None:
        """Leave notes for senders, by their names, of how far the boxes to an institution are taken."""
        ...

    async def taken(self, slug: str, sender: str) -> bytes | None:
        """Give the note that an institution left for a sender."""
        ...

    async def ask(self, slug: str, field: str, document: bytes) -> None:
        """Leave something for the office to decide, as an institution."""
        ...

    async def rosters(self, after_version: int) -> list[tuple[bytes, bytes]]:
        """Give document and signatures of every roster behind a version, in order."""
        ...


def entry_in_state(value: bytes) -> SignedEntry:
    """Read an entry of a state; one that cannot be read stands at START, signed by nobody: the border refuses it."""
    try:
        return from_state_value(value)
    except ValueError:
        return _UNREADABLE


def is_newer(entry: SignedEntry, there: bytes | None) -> bool:
    """Tell whether an entry may take the place of what a state has: what cannot be read is older than anything."""
    return there is None or entry_in_state(there).position <= entry.position
