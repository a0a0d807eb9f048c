"""What the receiver of a box says it has taken, told to the box's sender alone: until then the sender trims nothing.

The note lies in a hash of the receiver's, under the sender's name, where everybody may read: so it is sealed.
"""

from collections.abc import Mapping
from hashlib import sha256

from shared.kit.streams import Position
from shared.network.boxes import BoxRefused, open_, seal
from shared.network.identity import Identity
from shared.network.names import read_position
from shared.network.packed import packed, unpacked
from shared.network.refusal import Refused
from shared.network.roster import Roster
from shared.network.signing import is_genuine, sign

_PARTS = 4


class NoteRefused(Refused):
    """A note that its receiver did not sign, or that is not for us."""


def taken_hash(slug: str) -> str:
    """Name the hash in which an institution notes how far it has taken the boxes to it."""
    return f"album:1:pub:{{{slug}}}:boxes:taken"


def note(identity: Identity, sender: str, kid: str, x25519: bytes, taken: Position) -> bytes:
    """Write how far the boxes of a sender are taken, sealed for the key `kid` of that sender."""
    # Numbers of eight bytes: its length must not tell how much was taken.
    sealed = seal(x25519, _info(identity.slug, sender), packed(taken.epoch, taken.seq))
    signature = sign(identity.signing_key, _said(identity.slug, sender, identity.kid, sealed))
    return packed(kid, identity.kid, signature, sealed)


def read_note(roster: Roster, keys: Mapping[str, bytes], receiver: str, sender: str, written: bytes) -> Position:
    """Read a note of a receiver to us, the sender, whose private box keys these are, by id; raises NoteRefused."""
    try:
        ours, theirs, signature, sealed = unpacked(written, _PARTS)
        mine, kid = ours.decode("ascii"), theirs.decode("ascii")
    except ValueError as error:
        raise NoteRefused("not_a_note", "the note is not of the form of notes") from error
    member = roster.member(receiver)
    key = member.key(kid) if member else None
    if key is None or key.revoked_from is not None:
        raise NoteRefused("unknown_key", f"the key of the note is none of '{receiver}' that is valid")
    if not is_genuine(key.ed25519, _said(receiver, sender, kid, sealed), signature):
        raise NoteRefused("not_genuine", "the note is not signed by whose it is")
    try:
        epoch, seq = unpacked(open_(keys[mine], _info(receiver, sender), sealed), 2)
        return read_position(f"{int.from_bytes(epoch)}-{int.from_bytes(seq)}")
    except (KeyError, BoxRefused, ValueError) as error:
        raise NoteRefused("cannot_open", "the note is not sealed for a key that is held here") from error


def _info(receiver: str, sender: str) -> bytes:
    return packed("album/1 taken", receiver, sender)


def _said(receiver: str, sender: str, kid: str, sealed: bytes) -> bytes:
    return packed("album/1 taken", receiver, sender, kid, sha256(sealed).digest())
