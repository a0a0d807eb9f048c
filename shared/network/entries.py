"""Entries and heartbeats as they lie on the hub, signed."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.kit.streams import Position, chain
from shared.network.names import read_position
from shared.network.packed import packed, unpacked

_FIELDS = 5


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """One entry of a stream on the hub: the exact bytes, who signed them, and the hash of the chain before them."""

    position: Position
    payload: bytes
    kid: str
    previous: bytes
    signature: bytes

    def hash(self, stream: str) -> bytes:
        """Give the hash of the chain up to and with this entry; it is the `previous` of the next one."""
        return chain(self.previous, stream, self.position, self.payload)


@dataclass(frozen=True, slots=True)
class SignedBeat:
    """A heartbeat of a stream: what its writer says of it, signed."""

    payload: bytes
    kid: str
    signature: bytes


def entry_fields(entry: SignedEntry) -> dict[bytes, bytes]:
    """Give the fields of an entry on the hub."""
    return {b"p": entry.payload, b"k": entry.kid.encode(), b"h": entry.previous, b"s": entry.signature}


def entry_of(position: Position, fields: Mapping[bytes, bytes]) -> SignedEntry:
    """Make an entry of the fields on the hub; one that is missing is empty, so that the border refuses the entry."""
    payload, kid, previous, signature = (fields.get(name, b"") for name in (b"p", b"k", b"h", b"s"))
    return SignedEntry(position, payload, _text(kid), previous, signature)


def beat_fields(beat: SignedBeat) -> dict[bytes, bytes]:
    """Give the fields of the hash in which a heartbeat lies."""
    return {b"p": beat.payload, b"k": beat.kid.encode(), b"s": beat.signature}


def beat_of(fields: Mapping[bytes, bytes]) -> SignedBeat | None:
    """Make a heartbeat of the fields of its hash; None where there is none."""
    if not fields:
        return None
    return SignedBeat(fields.get(b"p", b""), _text(fields.get(b"k", b"")), fields.get(b"s", b""))


def state_value(entry: SignedEntry) -> bytes:
    """Give the bytes under which an entry stands in the hash `<stream>:state`."""
    return packed(str(entry.position), entry.kid, entry.previous, entry.signature, entry.payload)


def from_state_value(value: bytes) -> SignedEntry:
    """Read the bytes of an entry in the state; raises ValueError."""
    position, kid, previous, signature, payload = unpacked(value, _FIELDS)
    return SignedEntry(read_position(position), payload, _text(kid), previous, signature)


def _text(kid: bytes) -> str:
    return kid.decode("latin-1")  # never fails: what is no key id is unknown in the roster
