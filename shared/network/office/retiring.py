"""An old key ends by itself: its owner says that all it signed with it is on the hub, and the office revokes it there.

Revoked by heads alone it could end before an entry that is signed and still under way; that one would never be taken.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from shared.kit.streams import START, Position
from shared.network import strict
from shared.network.identity import Identity
from shared.network.names import hub_stream, read_position
from shared.network.office.invitation import CodeRefused
from shared.network.packed import packed
from shared.network.roster import Member, RosterKey
from shared.network.signing import is_genuine, sign

Heads = Mapping[str, Position]


@dataclass(frozen=True)
class Retirement:
    """A key that is done with, and where each stream of its owner ends; signed with the owner's newest key."""

    slug: str
    old: str
    heads: Heads
    signature: bytes

    @classmethod
    def of(cls, newest: Identity, old: str, heads: Heads) -> "Retirement":
        """Make the request of a node."""
        return cls(newest.slug, old, heads, sign(newest.signing_key, _said(newest.slug, old, heads)))

    @classmethod
    def read(cls, member: Member, document: bytes) -> "Retirement":
        """Read and verify what stands on the hub; raises CodeRefused."""
        try:
            said = strict.parse(document)
            heads = {_own(member, stream): read_position(at) for stream, at in said["heads"].items()}
            found = cls(member.slug, str(said["old"]), heads, bytes.fromhex(said["signature"]))
        except (strict.JsonRefused, KeyError, TypeError, AttributeError, ValueError) as error:
            raise CodeRefused("not_a_request", "the request on the hub is of another form") from error
        newest = newest_of(member)
        if newest is None or newest.kid == found.old:
            raise CodeRefused("newest_key", f"'{member.slug}' has no newer key than {found.old}")
        if not is_genuine(newest.ed25519, _said(found.slug, found.old, found.heads), found.signature):
            raise CodeRefused("not_proven", f"the request of '{member.slug}' is not signed with its newest key")
        return found

    @property
    def document(self) -> bytes:
        """Give the JSON that stands on the hub."""
        heads = {stream: str(at) for stream, at in self.heads.items()}
        return json.dumps({"old": self.old, "heads": heads, "signature": self.signature.hex()}).encode()

    def behind(self, there: Heads) -> Heads:
        """Give the end of each stream, as its owner says and as the hub has it, whichever is farther.

        A hub that was wiped a moment ago has less than was signed, and gets all of it again.
        """
        names = self.heads.keys() | there.keys()
        return {name: max(self.heads.get(name, START), there.get(name, START)) for name in names}


def newest_of(member: Member) -> RosterKey | None:
    """Give the newest key that is not revoked."""
    return member.box_key


def old_keys(member: Member) -> list[str]:
    """Name the keys that are not revoked, though a newer one is there."""
    valid = [key.kid for key in member.keys if key.revoked_from is None]
    return valid[:-1]


def _own(member: Member, stream: str) -> str:
    if hub_stream(stream).writer != member.slug:
        raise ValueError("a stream of another institution")
    return stream


def _said(slug: str, old: str, heads: Heads) -> bytes:
    ends = [part for stream in sorted(heads) for part in (stream, str(heads[stream]))]
    return packed("album/1 retire", slug, old, *ends)
