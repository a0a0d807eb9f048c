"""Streams as the kit needs them: entries with positions that the producer chooses, appended only where they belong."""

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol


class Position(NamedTuple):
    """Where an entry stands in its stream; it is the entry's id in Redis, too."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str | bytes) -> "Position":
        """Read a position from the id of an entry."""
        epoch, seq = text.split(b"-") if isinstance(text, bytes) else text.split("-")
        return cls(int(epoch), int(seq))

    def follows(self, other: "Position") -> bool:
        """Tell whether nothing can stand between the other position and this one."""
        return (self.epoch == other.epoch and self.seq == other.seq + 1) or (self.epoch > other.epoch and self.seq == 1)


START = Position(0, 0)
GENESIS = bytes(32)


class Entry(NamedTuple):
    """One entry of a stream: the exact bytes of the message, and the hash of the chain up to and with it."""

    position: Position
    payload: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the writer of a stream says of it, so that a lost tail and a withheld key are seen."""

    head: Position
    keys: int
    digest: str
    at: str


def chain(previous: bytes, stream: str, position: Position, payload: bytes) -> bytes:
    """Give the hash of an entry: it binds the place, the bytes, and all that came before."""
    return sha256(previous + f"{stream}\n{position}\n".encode() + sha256(payload).digest()).digest()


class Streams(Protocol):
    """The fast lane between services; Redis in life, a dictionary under simulation."""

    async def append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        """Append the entries and keep the newest of each key; None, and nothing done, if the stream ends elsewhere."""
        ...

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream; START where there is nothing."""
        ...

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position."""
        ...

    async def state(self, stream: str) -> dict[str, Entry]:
        """Give the newest entry of every key."""
        ...

    async def state_index(self, stream: str) -> dict[str, Entry]:
        """Give the newest entry of every key without its payload: what is needed to put a large state in order."""
        ...

    async def state_of(self, stream: str, keys: list[str]) -> dict[str, Entry]:
        """Give the newest entry of some keys; one that is not there is left out."""
        ...

    async def state_size(self, stream: str) -> int:
        """Give the number of keys in the state."""
        ...

    async def keep_state(self, stream: str, state: dict[str, Entry]) -> None:
        """Set the newest entries of some keys; an older one than is there is left out."""
        ...

    async def beat(self, stream: str, heartbeat: Heartbeat) -> None:
        """Leave the writer's heartbeat."""
        ...

    async def heartbeat(self, stream: str) -> Heartbeat | None:
        """Give the writer's last heartbeat."""
        ...

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position."""
        ...

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Take single entries out of a stream; its end stays where it is."""
        ...

    async def forget(self, stream: str) -> None:
        """Drop a stream with its state and heartbeat, so that its writer fills it anew."""
        ...
