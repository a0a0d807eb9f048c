"""Signatures: what libsodium accepts is what the protocol signs, and nothing else."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.kit.streams import GENESIS, Position
from shared.network.entries import SignedBeat
from shared.network.identity import PublicKeys
from shared.network.packed import packed
from shared.network.signing import (
    beat_is_genuine,
    entry_is_genuine,
    is_genuine,
    join_is_genuine,
    keys_are_sound,
    rotate_is_genuine,
    sign_beat,
    sign_entry,
    sign_join,
    sign_rotate,
)
from tests.unit.network.network_sample import AWO, STREAM, VHS, identity, written

VECTORS = json.loads((Path(__file__).parent / "vectors" / "ed25519_wycheproof.json").read_text("utf-8"))
NEUTRAL = bytes([1]) + bytes(31)
FITS_ALL = NEUTRAL + bytes(32)
SMALL_ORDER = [
    NEUTRAL.hex(),
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
]


def test_every_vector_of_wycheproof_is_judged_as_it_should_be() -> None:
    """All valid signatures are accepted and all invalid ones refused."""
    judged = {"valid": 0, "invalid": 0}
    for group in VECTORS["testGroups"]:
        for test in group["tests"]:
            key, said, signature = (bytes.fromhex(part) for part in (group["pk"], test["msg"], test["sig"]))
            expected = test["result"] == "valid"
            assert is_genuine(key, said, signature) is expected, f"{test['tcId']}: {test['comment']}"
            judged[test["result"]] += 1
    assert judged == {"valid": 88, "invalid": 63}
    assert sum(judged.values()) == VECTORS["numberOfTests"]


@pytest.mark.parametrize("said", [b"", b"anything", b"and anything else"])
def test_one_signature_for_every_message_is_refused_here_and_accepted_elsewhere(said: bytes) -> None:
    """The package `cryptography` takes the small-order key (the control); that is why libsodium verifies."""
    Ed25519PublicKey.from_public_bytes(NEUTRAL).verify(FITS_ALL, said)
    assert not is_genuine(NEUTRAL, said, FITS_ALL)


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_keys_of_small_order_are_not_sound(key: str) -> None:
    """Such keys enter no roster and no request to join."""
    good = identity(AWO).public
    assert keys_are_sound(good)
    assert not keys_are_sound(replace(good, ed25519=bytes.fromhex(key)))
    assert not keys_are_sound(replace(good, x25519=bytes(32)))
    assert not keys_are_sound(PublicKeys(good.ed25519[:31], good.x25519))


def test_an_entry_is_signed_over_the_bytes_of_the_protocol() -> None:
    """A second implementation, written from section 2 of docs/protocol.md, verifies the signature and the hash."""
    who = identity(AWO)
    first, second = written(who, count=2)
    digest = sha256(second.payload).digest()
    said = packed("album/1", STREAM, 1, 2, second.previous, who.kid, digest)
    Ed25519PublicKey.from_public_bytes(who.public.ed25519).verify(second.signature, said)
    line = first.previous + STREAM.encode() + b"\n1-1\n" + sha256(first.payload).digest()
    assert second.previous == sha256(line).digest()
    assert first.previous == GENESIS
    assert who.kid == sha256(who.public.ed25519 + who.public.x25519).hexdigest()[:16]


def test_a_signature_made_elsewhere_is_accepted() -> None:
    """Another implementation of Ed25519 can take part."""
    who = identity(AWO)
    entry = written(who, count=1)[0]
    said = packed("album/1", STREAM, 1, 1, GENESIS, who.kid, sha256(entry.payload).digest())
    made = Ed25519PrivateKey.from_private_bytes(who.ed25519_seed).sign(said)
    assert entry_is_genuine(who.public.ed25519, STREAM, replace(entry, signature=made))


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    """Bytes cannot be moved between signature and message."""
    who = identity(AWO)
    entry = written(who, count=1)[0]
    cut = (entry.signature + entry.payload)[:length]
    assert not entry_is_genuine(who.public.ed25519, STREAM, replace(entry, signature=cut))


def test_an_entry_belongs_to_its_place() -> None:
    """Another stream, position, predecessor, key id or payload is another signature."""
    who = identity(AWO)
    entry = sign_entry(who, STREAM, Position(1, 2), bytes(32), b"{}")
    key = who.public.ed25519
    assert entry_is_genuine(key, STREAM, entry)
    assert not entry_is_genuine(key, STREAM + "x", entry)
    for change in (
        {"position": Position(2, 1)},
        {"previous": b"\1" * 32},
        {"kid": "0" * 16},
        {"payload": b"[]"},
    ):
        assert not entry_is_genuine(key, STREAM, replace(entry, **change))


def test_a_heartbeat_is_no_entry_and_belongs_to_its_stream() -> None:
    """A signature over a heartbeat fits nothing else, and no other key or stream."""
    who = identity(AWO)
    beat = sign_beat(who, STREAM, b"{}")
    assert beat_is_genuine(who.public.ed25519, STREAM, beat)
    assert not beat_is_genuine(who.public.ed25519, STREAM + "x", beat)
    assert not beat_is_genuine(identity(VHS).public.ed25519, STREAM, beat)
    assert not beat_is_genuine(who.public.ed25519, STREAM, SignedBeat(b"[]", beat.kid, beat.signature))


def test_a_request_to_join_proves_key_and_invitation() -> None:
    """Another secret, password, name or key makes the proof worthless; without the check any key would do."""
    who, other = identity(AWO), identity(VHS)
    proof = sign_join(who, "secret")
    secret = sha256(b"secret").digest()
    good = (AWO, who.public, who.password_sha256, secret)
    assert join_is_genuine(*good, proof)
    assert not join_is_genuine(AWO, who.public, who.password_sha256, sha256(b"another").digest(), proof)
    assert not join_is_genuine(VHS, who.public, who.password_sha256, secret, proof)
    assert not join_is_genuine(AWO, who.public, other.password_sha256, secret, proof)
    assert not join_is_genuine(AWO, replace(who.public, x25519=other.public.x25519), who.password_sha256, secret, proof)
    assert not join_is_genuine(AWO, other.public, who.password_sha256, secret, proof)
    assert not join_is_genuine(AWO, replace(who.public, ed25519=NEUTRAL), who.password_sha256, secret, FITS_ALL)


def test_a_change_of_keys_is_signed_by_the_old_and_the_new_one() -> None:
    """Neither a thief without the old key nor an owner without the new one changes keys."""
    old, new, thief = identity(AWO), identity(AWO, 1), identity(AWO, 2)
    proof, signature = sign_rotate(old, new)
    assert rotate_is_genuine(old.public.ed25519, AWO, new.public, proof, signature)
    assert not rotate_is_genuine(old.public.ed25519, VHS, new.public, proof, signature)
    assert not rotate_is_genuine(old.public.ed25519, AWO, new.public, signature, signature)
    stolen = sign_rotate(thief, new)
    assert not rotate_is_genuine(old.public.ed25519, AWO, new.public, *stolen)


def test_the_control_of_these_tests_can_fail() -> None:
    """The judge of other tests refuses a changed signature, too."""
    entry = written(identity(AWO), count=1)[0]
    said = packed("album/1", STREAM, 1, 1, GENESIS, entry.kid, sha256(entry.payload).digest())
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(identity(VHS).public.ed25519).verify(entry.signature, said)
