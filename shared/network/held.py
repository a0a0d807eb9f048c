"""The roster that a node holds, and the one way to a newer one: signed by the roots that it holds, never backwards."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.network import strict
from shared.network.packed import packed
from shared.network.roster import Roots, Roster
from shared.network.roster_document import RosterRefused, parse_roster
from shared.network.signing import is_genuine, sign_with_seed


@dataclass(frozen=True)
class Held:
    """What a node trusts: the office's keys, and the last roster they signed with its very bytes."""

    roots: Roots
    roster: Roster | None = None
    document: bytes = b""
    signatures: bytes = b""

    @property
    def version(self) -> int:
        """Give the version that is held; 0 before the first."""
        return self.roster.version if self.roster else 0


def accept(held: Held, document: bytes, signatures: bytes) -> Held:
    """Take a newer roster; raises RosterRefused: `too_few_signatures`, `not_newer`, or what is wrong in it.

    The signatures are counted before the document is read. From then on its roots are the ones that count. One that
    has expired is taken, too: a reader goes through every version, and asks `expired` of the last one.
    """
    signed = count_signatures(held.roots, document, signatures)
    if signed < held.roots.threshold:
        raise RosterRefused("too_few_signatures", f"{signed} of {held.roots.threshold} signatures by roots held here")
    roster = parse_roster(document)
    if roster.version <= held.version:
        raise RosterRefused("not_newer", f"version {roster.version}, and {held.version} is held")
    return Held(roster.roots, roster, document, signatures)


def pin(document: bytes, signatures: bytes, digest: str) -> Held:
    """Take the first roster: its roots have the digest of the invitation, and signed it; raises RosterRefused."""
    roots = parse_roster(document).roots
    if roots.digest != digest:
        raise RosterRefused("other_roots", "the roster names other root keys than the invitation")
    return accept(Held(roots), document, signatures)


def count_signatures(roots: Roots, document: bytes, signatures: bytes) -> int:
    """Count the different root keys that signed a document; what is none of theirs counts nothing."""
    said = _said(document)
    known = {key.kid: key.ed25519 for key in roots.keys}
    signed = {kid for kid, signature in _pairs(signatures) if kid in known and is_genuine(known[kid], said, signature)}
    return len(signed)


def sign_roster(document: bytes, root_seeds: Iterable[bytes]) -> bytes:
    """Sign a document with root keys; gives the signatures as they stand beside it."""
    return _written(_signature(document, seed) for seed in root_seeds)


def with_signature(document: bytes, signatures: bytes, root_seed: bytes) -> bytes:
    """Add a signature to those of others, where root keys lie on different machines."""
    kid, hexed = _signature(document, root_seed)
    kept = [(root, signature.hex()) for root, signature in _pairs(signatures) if root != kid]
    return _written([*kept, (kid, hexed)])


def _signature(document: bytes, seed: bytes) -> tuple[str, str]:
    public, signature = sign_with_seed(seed, _said(document))
    return sha256(public).hexdigest()[:16], signature.hex()


def _written(pairs: Iterable[tuple[str, str]]) -> bytes:
    return json.dumps([{"root": kid, "signature": signature} for kid, signature in pairs]).encode()


def _said(document: bytes) -> bytes:
    return packed("album/1 roster", sha256(document).digest())


def _pairs(signatures: bytes) -> list[tuple[str, bytes]]:
    try:
        said: Any = strict.parse(signatures)
        return [(str(one["root"]), bytes.fromhex(one["signature"])) for one in said]
    except (strict.JsonRefused, KeyError, TypeError, ValueError) as error:
        raise RosterRefused("not_signatures", "the signatures are of another form") from error
