"""Signed receipts: what an institution says it deleted, so that the one who asked can show it."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from nacl.bindings import crypto_sign_seed_keypair

from shared.network.identity import Identity
from shared.network.packed import packed
from shared.network.signing import is_genuine, sign_with_seed

SignedBy = Literal["institution", "node"]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature, the id of its key, and who knows that key: everybody by the roster, or the node alone."""

    by: SignedBy
    kid: str
    signature: bytes


@dataclass(frozen=True)
class Signer:
    """Signs for one institution: with its own keys where this node holds them, else with a key of the node for it.

    Institutions that live on one node without a hub have no keys. The node's key says that the node deleted something
    for this institution; it proves nothing to anybody outside.
    """

    seed: bytes
    kid: str
    by: SignedBy

    @classmethod
    def of(cls, institution: str, identities: Path, secret: str) -> "Signer":
        """Find the keys of an institution; raises PermissionError or ValueError for a file that is no good."""
        path = identities / f"{institution}.json"
        if path.exists():
            identity = Identity.load(path)
            return cls(identity.ed25519_seed, identity.kid, "institution")
        seed = hmac.new(secret.encode(), b"album/1 receipt\n" + institution.encode(), "sha256").digest()
        return cls(seed, sha256(crypto_sign_seed_keypair(seed)[0]).hexdigest()[:16], "node")

    @property
    def public(self) -> bytes:
        """Give the key that verifies."""
        public, _ = crypto_sign_seed_keypair(self.seed)
        return bytes(public)

    def sign(self, said: bytes) -> Signed:
        """Sign a receipt."""
        return Signed(self.by, self.kid, sign_with_seed(self.seed, said)[1])


def said_by_receipt(referral_id: str, institution: str, to: str, what: Iterable[str], at: datetime) -> bytes:
    """Give the bytes of a receipt that are signed; `at` is taken to the second, in UTC."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return packed("album/1 erasure", referral_id, institution, to, ",".join(what), moment)


def receipt_is_genuine(ed25519: bytes, said: bytes, signature: bytes) -> bool:
    """Tell whether the holder of a key signed this receipt."""
    return is_genuine(ed25519, said, signature)
