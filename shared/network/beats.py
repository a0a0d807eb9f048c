"""What a heartbeat says of its stream, so that a state that is forged or withheld in part is seen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from shared.kit.streams import Position
from shared.network import strict
from shared.network.entries import SignedEntry
from shared.network.names import read_position
from shared.network.refusal import Refused


class BeatRefused(Refused):
    """A heartbeat that says something else than heartbeats do."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The last entry with its chain hash, and number and digest of the state there."""

    head: Position
    hash: bytes
    keys: int
    digest: str
    at: datetime

    def fits(self, hashes: Mapping[str, bytes]) -> bool:
        """Tell whether these are the chain hashes of the whole state at the head, nothing more and nothing less."""
        return len(hashes) == self.keys and digest_of(hashes) == self.digest


def hashes_of(stream: str, state: Mapping[str, SignedEntry]) -> dict[str, bytes]:
    """Give the chain hash of each entry of a state."""
    return {name: entry.hash(stream) for name, entry in state.items()}


def state_digest(stream: str, state: Mapping[str, SignedEntry]) -> str:
    """Give the digest over a state: its names in the order of their bytes, each with the hash of its entry."""
    return digest_of(hashes_of(stream, state))


def digest_of(hashes: Mapping[str, bytes]) -> str:
    """Give the digest over a state of which only the chain hashes are at hand."""
    digest = sha256()
    for name, value in sorted((name.encode(), value) for name, value in hashes.items()):
        digest.update(name + b"\n" + value)
    return digest.hexdigest()


def beat_payload(beat: Beat) -> bytes:
    """Write a heartbeat; the bytes are what is signed."""
    said = {
        "head": str(beat.head),
        "hash": beat.hash.hex(),
        "keys": beat.keys,
        "digest": beat.digest,
        "at": beat.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(said, separators=(",", ":")).encode()


def read_beat(payload: bytes) -> Beat:
    """Read a heartbeat; raises BeatRefused."""
    try:
        said: Any = strict.parse(payload)
        at = datetime.fromisoformat(said["at"])
        beat = Beat(read_position(said["head"]), bytes.fromhex(said["hash"]), said["keys"], said["digest"], at)
    except (strict.JsonRefused, KeyError, TypeError, ValueError) as error:
        raise BeatRefused("not_a_heartbeat", "a part of it is missing or of another form") from error
    if type(beat.keys) is not int or not isinstance(beat.digest, str) or at.tzinfo is None:
        raise BeatRefused("not_a_heartbeat", "a part of it is of another form")
    return beat
