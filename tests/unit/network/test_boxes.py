"""Sealed boxes: the figures of RFC 9180, and nothing opened that was moved, changed or meant for others."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from shared.kit.streams import Position
from shared.network.boxes import BoxRefused, box_payload, open_, outside_of, read_box, seal
from shared.network.packed import packed, unpacked
from tests.unit.network.network_sample import AWO, KARGAH, VHS, event, identity

TYPE = "courses.referral.sent.v1"
AT = Position(1, 7)


class Vector(NamedTuple):
    """The figures of appendix A.2.1 that a receiver needs."""

    info: bytes
    skEm: bytes  # noqa: N815 - named as in the RFC
    pkEm: bytes  # noqa: N815 - as above
    skRm: bytes  # noqa: N815 - as above
    pkRm: bytes  # noqa: N815 - as above
    enc: bytes
    key: bytes
    base_nonce: bytes
    aad: bytes
    pt: bytes
    ct: bytes


def vector() -> Vector:
    """Read the vector."""
    kept = json.loads((Path(__file__).parent / "vectors" / "hpke_rfc9180_a2.json").read_text("utf-8"))
    return Vector(**{name: bytes.fromhex(kept[name]) for name in Vector._fields})


def test_the_vector_of_the_rfc_opens() -> None:
    """Our function finds the key and nonce that RFC 9180 prints for this receiver, `enc` and `info`.

    The RFC's own ciphertexts carry associated data, ours none: so the RFC's key and nonce, which its ciphertext
    confirms first, seal the RFC's plaintext without any.
    """
    rfc = vector()
    aead = ChaCha20Poly1305(rfc.key)
    assert aead.decrypt(rfc.base_nonce, rfc.ct, rfc.aad) == rfc.pt
    assert (crypto_scalarmult_base(rfc.skEm), crypto_scalarmult_base(rfc.skRm)) == (rfc.pkEm, rfc.pkRm)
    sealed = rfc.enc + aead.encrypt(rfc.base_nonce, rfc.pt, None)
    assert open_(rfc.skRm, rfc.info, sealed) == rfc.pt
    with pytest.raises(BoxRefused):
        open_(rfc.skRm, rfc.info, rfc.enc + rfc.ct)
    with pytest.raises(BoxRefused):
        open_(rfc.skRm, rfc.info + b"x", sealed)


def test_what_is_sealed_opens_for_its_receiver_only() -> None:
    """Sealing gives `enc`, then the ciphertext with 16 bytes more than the plaintext, new bytes each time."""
    rfc = vector()
    one, two = seal(rfc.pkRm, b"info", b"plain"), seal(rfc.pkRm, b"info", b"plain")
    assert one != two
    assert len(one) == 32 + 5 + 16
    assert open_(rfc.skRm, b"info", one) == open_(rfc.skRm, b"info", two) == b"plain"
    assert b"plain" not in one
    with pytest.raises(BoxRefused):
        open_(rfc.skEm, b"info", one)


def test_a_key_of_small_order_is_never_sealed_for() -> None:
    """Everybody could open what is sealed for it."""
    with pytest.raises(ValueError, match="shared key"):
        seal(bytes(32), b"", b"plain")
    with pytest.raises(RuntimeError):
        crypto_scalarmult(b"\1" * 32, bytes(32))


def _box(plaintext: bytes, type_word: str = TYPE, at: Position = AT, to: str = VHS) -> bytes:
    receiver = identity(to)
    return box_payload(receiver.public.x25519, receiver.kid, to, AWO, at, type_word, plaintext)


def _plain(type_word: str = TYPE, source: str = f"/{AWO}/courses") -> bytes:
    return event(source, "ref_1", type_word, name="Amina Test")


def test_a_box_is_read_where_it_was_sent() -> None:
    """The receiver gets the exact bytes; outside stand only the key, the type and the ciphertext."""
    payload = _box(_plain())
    assert read_box(identity(VHS).box_keys, VHS, AWO, AT, payload) == _plain()
    outside = outside_of(payload)
    assert (outside.kid, outside.type) == (identity(VHS).kid, TYPE)
    assert b"Amina" not in payload
    info = packed("album/1 box", VHS, AWO, 1, 7, TYPE)
    assert open_(identity(VHS).x25519_private, info, outside.sealed) == _plain()


def test_a_box_that_was_moved_stays_closed() -> None:
    """Another position, epoch, receiver or sender is another box."""
    payload = _box(_plain())
    keys = {**identity(VHS).box_keys, **identity(KARGAH).box_keys}
    for to, sender, at in [
        (VHS, AWO, Position(1, 8)),
        (VHS, AWO, Position(2, 7)),
        (KARGAH, AWO, AT),
        (VHS, KARGAH, AT),
    ]:
        with pytest.raises(BoxRefused, match="sealed for another"):
            read_box(keys, to, sender, at, payload)


def test_every_byte_of_a_box_counts() -> None:
    """No bit outside or inside can be turned without the box staying closed."""
    payload = _box(_plain())
    keys = identity(VHS).box_keys
    for index in range(len(payload)):
        changed = bytearray(payload)
        changed[index] ^= 1 << (index % 8)
        with pytest.raises(BoxRefused):
            read_box(keys, VHS, AWO, AT, bytes(changed))
    for length in range(len(payload)):
        with pytest.raises(BoxRefused):
            read_box(keys, VHS, AWO, AT, payload[:length])


@pytest.mark.parametrize(
    ("plaintext", "code"),
    [
        (_plain(type_word="courses.referral.recalled.v1"), "wrong_type"),
        (_plain(source="/kargah/courses"), "wrong_source"),
        (_plain(source="/awo-nord/courses"), "wrong_source"),
        (b'{"type": 1, "type": 2}', "name_twice"),
        (b"[]", "wrong_type"),
    ],
)
def test_what_is_inside_must_be_what_is_written_outside(plaintext: bytes, code: str) -> None:
    """A sender cannot hide one type behind another, nor speak for others."""
    with pytest.raises(BoxRefused) as refused:
        read_box(identity(VHS).box_keys, VHS, AWO, AT, _box(plaintext))
    assert refused.value.code == code


def test_a_box_for_an_older_key_is_read_as_long_as_the_key_is_kept() -> None:
    """Rotation loses no box under way; a key that was thrown away is said to be gone."""
    payload = _box(_plain())
    rotated = identity(VHS).with_new_keys(bytes([5]).__mul__)
    assert read_box(rotated.box_keys, VHS, AWO, AT, payload) == _plain()
    with pytest.raises(BoxRefused) as refused:
        read_box({rotated.kid: rotated.x25519_private}, VHS, AWO, AT, payload)
    assert refused.value.code == "key_gone"


def test_what_is_no_box_is_refused() -> None:
    """Another form, or another number of parts, is no box of this version."""
    form, *rest = unpacked(_box(_plain()), 4)
    for payload in (b"", _plain(), packed(b"box/2", *rest), packed(form, *rest, b"")):
        with pytest.raises(BoxRefused) as refused:
            outside_of(payload)
        assert refused.value.code == "not_a_box"
