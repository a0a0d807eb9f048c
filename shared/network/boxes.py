"""Sealed messages: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

What is sealed is bound to sender, receiver, place and type; whoever moves it makes it unreadable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from shared.kit.streams import Position
from shared.network import strict
from shared.network.packed import packed, unpacked
from shared.network.refusal import Refused

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_FORM = b"box/1"


class BoxRefused(Refused):
    """A sealed message that cannot be opened, or holds another one than it says."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What everybody can read of a sealed message: for which key it is, and of which type it says to be."""

    kid: str
    type: str
    sealed: bytes


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal bytes for the holder of an X25519 key; gives `enc || ciphertext`, other bytes each time.

    Raises ValueError for a key of small order.
    """
    return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info=info)


def open_(private: bytes, info: bytes, sealed: bytes) -> bytes:
    """Open `enc || ciphertext` with an X25519 key; raises BoxRefused (`cannot_open`)."""
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private), info=info)
    except (InvalidTag, ValueError) as error:
        raise BoxRefused(
            "cannot_open", "it was sealed for another key, another place, or changed on its way"
        ) from error


def box_payload(
    public: bytes, kid: str, to: str, sender: str, position: Position, type_word: str, plaintext: bytes
) -> bytes:
    """Make the payload of a box entry; `public` and `kid` are the receiver's newest key that is not revoked."""
    return packed(_FORM, kid, type_word, seal(public, _info(to, sender, position, type_word), plaintext))


def outside_of(payload: bytes) -> Outside:
    """Read what is written outside on a box; raises BoxRefused (`not_a_box`)."""
    try:
        form, kid, type_word, sealed = unpacked(payload, 4)
        outside = Outside(kid.decode("ascii"), type_word.decode("ascii"), sealed)
    except ValueError as error:
        raise BoxRefused("not_a_box", "the payload is not of the form of a sealed message") from error
    if form != _FORM:
        raise BoxRefused("not_a_box", "the payload is a sealed message of another form")
    return outside


def read_box(keys: Mapping[str, bytes], to: str, sender: str, position: Position, payload: bytes) -> bytes:
    """Open a box and give the CloudEvent inside; `keys` are the receiver's private ones, by key id.

    Raises BoxRefused: `not_a_box`, `key_gone` (sealed for a key that the receiver no longer holds), `cannot_open`,
    `wrong_source`, `wrong_type`, or what is wrong with the JSON inside.
    """
    outside = outside_of(payload)
    private = keys.get(outside.kid)
    if private is None:
        raise BoxRefused("key_gone", "it was sealed for a key that is not held here any more")
    plaintext = open_(private, _info(to, sender, position, outside.type), outside.sealed)
    try:
        event = strict.parse(plaintext)
    except strict.JsonRefused as error:
        raise BoxRefused(error.code, f"inside the box: {error}") from error
    _check_inside(event, sender, outside.type)
    return plaintext


def _check_inside(event: Any, sender: str, type_word: str) -> None:
    if not isinstance(event, dict) or event.get("type") != type_word:
        raise BoxRefused("wrong_type", "the message inside is of another type than is written outside")
    source = event.get("source")
    if not isinstance(source, str) or not source.startswith(f"/{sender}/"):
        raise BoxRefused("wrong_source", f"the message inside does not speak for '{sender}'")


def _info(to: str, sender: str, position: Position, type_word: str) -> bytes:
    return packed("album/1 box", to, sender, position.epoch, position.seq, type_word)
