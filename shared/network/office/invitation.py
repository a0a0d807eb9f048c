"""The one-time code with which the office invites, and what the invited node answers on the hub."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from shared.network import strict
from shared.network.identity import Identity, PublicKeys
from shared.network.names import is_slug
from shared.network.refusal import Refused
from shared.network.signing import join_is_genuine, rotate_is_genuine, sign_join, sign_rotate

_MARK = "album1."


class CodeRefused(Refused):
    """A code or a request that is not what the protocol says."""


@dataclass(frozen=True)
class Invitation:
    """All that a node needs to join: where the hub is, the secret that works once, and the roots to believe."""

    hub: str
    slug: str
    office: str
    secret: str = field(repr=False)
    roots: str
    ca: str | None = None

    @property
    def code(self) -> str:
        """Give the code as it is handed over."""
        body = {name: value for name, value in vars(self).items() if value is not None}
        return _MARK + base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")

    @classmethod
    def read(cls, code: str) -> "Invitation":
        """Read a code as somebody typed or pasted it; raises CodeRefused."""
        code = "".join(code.split())
        if not code.startswith(_MARK):
            raise CodeRefused("not_a_code", "an invitation begins with 'album1.'; was it copied whole?")
        try:
            said = strict.parse(base64.urlsafe_b64decode(code[len(_MARK) :] + "=" * (-len(code[len(_MARK) :]) % 4)))
            found = cls(
                **{name: str(said[name]) for name in ("hub", "slug", "office", "secret", "roots")}, ca=said.get("ca")
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CodeRefused("not_a_code", "the invitation is damaged; was it copied whole?") from error
        if not is_slug(found.slug) or not found.hub.startswith(("rediss://", "redis://")):
            raise CodeRefused("not_a_code", "the invitation names no institution or no hub")
        return found


@dataclass(frozen=True)
class JoinRequest:
    """The keys of a node that wants to join, proven to be held by who got the invitation."""

    slug: str
    keys: PublicKeys
    password_sha256: bytes
    proof: bytes

    @classmethod
    def of(cls, identity: Identity, secret: str) -> "JoinRequest":
        """Make the request of a node."""
        return cls(identity.slug, identity.public, identity.password_sha256, sign_join(identity, secret))

    @classmethod
    def read(cls, slug: str, document: bytes, secret_sha256: bytes) -> "JoinRequest":
        """Read and verify what stands on the hub; raises CodeRefused."""
        said = _fields(document, ("slug", "ed25519", "x25519", "password_sha256", "proof"))
        found = cls(
            said["slug"],
            PublicKeys(_hex(said["ed25519"]), _hex(said["x25519"])),
            _hex(said["password_sha256"]),
            _hex(said["proof"]),
        )
        genuine = join_is_genuine(slug, found.keys, found.password_sha256, secret_sha256, found.proof)
        if found.slug != slug or len(found.password_sha256) != sha256().digest_size or not genuine:
            raise CodeRefused(
                "not_proven", f"the request of '{slug}' does not prove that its keys are held by who was invited"
            )
        return found

    @property
    def document(self) -> bytes:
        """Give the JSON that stands on the hub."""
        return _json(
            slug=self.slug,
            ed25519=self.keys.ed25519,
            x25519=self.keys.x25519,
            password_sha256=self.password_sha256,
            proof=self.proof,
        )


@dataclass(frozen=True)
class RotateRequest:
    """New keys of a member, signed by the old and by the new."""

    slug: str
    keys: PublicKeys
    old: str
    proof: bytes
    signature: bytes

    @classmethod
    def of(cls, old: Identity, new: Identity) -> "RotateRequest":
        """Make the request of a node."""
        proof, signature = sign_rotate(old, new)
        return cls(old.slug, new.public, old.kid, proof, signature)

    @classmethod
    def read(cls, slug: str, document: bytes, known: Mapping[str, PublicKeys]) -> "RotateRequest":
        """Read and verify what stands on the hub; `known` are the member's keys by id; raises CodeRefused."""
        said = _fields(document, ("ed25519", "x25519", "proof", "old", "signature"))
        keys = PublicKeys(_hex(said["ed25519"]), _hex(said["x25519"]))
        found = cls(slug, keys, said["old"], _hex(said["proof"]), _hex(said["signature"]))
        old = known.get(found.old)
        if old is None or not rotate_is_genuine(old.ed25519, slug, keys, found.proof, found.signature):
            raise CodeRefused("not_proven", f"the new keys of '{slug}' are not signed by both a known and the new key")
        return found

    @property
    def document(self) -> bytes:
        """Give the JSON that stands on the hub."""
        keys = {"ed25519": self.keys.ed25519, "x25519": self.keys.x25519}
        return _json(**keys, proof=self.proof, old=self.old, signature=self.signature)


def _json(**fields: str | bytes) -> bytes:
    return json.dumps({name: one.hex() if isinstance(one, bytes) else one for name, one in fields.items()}).encode()


def _fields(document: bytes, names: tuple[str, ...]) -> dict[str, str]:
    try:
        said: Any = strict.parse(document)
        return {name: _text(said[name]) for name in names}
    except (strict.JsonRefused, KeyError, TypeError) as error:
        raise CodeRefused("not_a_request", "the request on the hub is of another form") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise CodeRefused("not_a_request", "a key or a signature in the request is no hexadecimal text") from error
