"""What is signed, byte for byte, and the check of it; libsodium verifies, because it refuses keys of small order.

Under such a key one signature fits every message; the package `cryptography` accepts it.
"""

from hashlib import sha256

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_scalarmult,
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from shared.kit.streams import Position
from shared.network.entries import SignedBeat, SignedEntry
from shared.network.identity import Identity, PublicKeys
from shared.network.packed import packed

_KEY = 32
_ANY_SCALAR = b"\x01" * _KEY


def is_genuine(ed25519: bytes, said: bytes, signature: bytes) -> bool:
    """Tell whether the holder of a key signed these bytes (RFC 8032, with libsodium's refusals)."""
    if len(ed25519) != _KEY or len(signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(signature + said, ed25519)
    except CryptoError:
        return False
    return True


def sign(signing_key: bytes, said: bytes) -> bytes:
    """Sign bytes with libsodium's 64-byte form of a private key."""
    return crypto_sign(said, signing_key)[:crypto_sign_BYTES]


def sign_with_seed(seed: bytes, said: bytes) -> tuple[bytes, bytes]:
    """Sign bytes with a key's seed of 32 bytes; gives the public key and the signature."""
    public, secret = crypto_sign_seed_keypair(seed)
    return public, sign(secret, said)


def keys_are_sound(keys: PublicKeys) -> bool:
    """Tell whether both keys are points that honest generation can give, none of small order."""
    if len(keys.ed25519) != _KEY or len(keys.x25519) != _KEY or not ed25519_is_sound(keys.ed25519):
        return False
    try:
        crypto_scalarmult(_ANY_SCALAR, keys.x25519)
    except (CryptoError, RuntimeError):  # a point of small order leaves nothing of the secret
        return False
    return True


def ed25519_is_sound(key: bytes) -> bool:
    """Tell whether a key for signatures is a point that honest generation can give."""
    return len(key) == _KEY and crypto_core_ed25519_is_valid_point(key)


def sign_entry(identity: Identity, stream: str, position: Position, previous: bytes, payload: bytes) -> SignedEntry:
    """Sign an entry for its place in its stream."""
    said = _entry_said(stream, position, previous, identity.kid, payload)
    return SignedEntry(position, payload, identity.kid, previous, sign(identity.signing_key, said))


def entry_is_genuine(ed25519: bytes, stream: str, entry: SignedEntry) -> bool:
    """Tell whether the holder of a key signed this entry for this place in this stream."""
    said = _entry_said(stream, entry.position, entry.previous, entry.kid, entry.payload)
    return is_genuine(ed25519, said, entry.signature)


def _entry_said(stream: str, position: Position, previous: bytes, kid: str, payload: bytes) -> bytes:
    return packed("album/1", stream, position.epoch, position.seq, previous, kid, sha256(payload).digest())


def sign_beat(identity: Identity, stream: str, payload: bytes) -> SignedBeat:
    """Sign a heartbeat of a stream."""
    return SignedBeat(payload, identity.kid, sign(identity.signing_key, _beat_said(stream, identity.kid, payload)))


def beat_is_genuine(ed25519: bytes, stream: str, beat: SignedBeat) -> bool:
    """Tell whether the holder of a key signed this heartbeat of this stream."""
    return is_genuine(ed25519, _beat_said(stream, beat.kid, beat.payload), beat.signature)


def _beat_said(stream: str, kid: str, payload: bytes) -> bytes:
    return packed("album/1 heartbeat", stream, kid, sha256(payload).digest())


def sign_join(identity: Identity, secret: str) -> bytes:
    """Prove that the keys in a request to join are held by who got the secret of the invitation."""
    said = _join_said(identity.slug, identity.public, identity.password_sha256, sha256(secret.encode()).digest())
    return sign(identity.signing_key, said)


def join_is_genuine(slug: str, keys: PublicKeys, password_sha256: bytes, secret_sha256: bytes, proof: bytes) -> bool:
    """Tell whether a request to join proves its keys; the office knows the secret by its SHA-256 only."""
    said = _join_said(slug, keys, password_sha256, secret_sha256)
    return keys_are_sound(keys) and is_genuine(keys.ed25519, said, proof)


def _join_said(slug: str, keys: PublicKeys, password_sha256: bytes, secret_sha256: bytes) -> bytes:
    return packed("album/1 join", slug, keys.ed25519, keys.x25519, password_sha256, secret_sha256)


def sign_rotate(old: Identity, new: Identity) -> tuple[bytes, bytes]:
    """Sign a change of keys; gives the proof of the new key and the signature of the old one, over the same bytes."""
    said = _rotate_said(old.slug, new.public)
    return sign(new.signing_key, said), sign(old.signing_key, said)


def rotate_is_genuine(old_ed25519: bytes, slug: str, new: PublicKeys, proof: bytes, signature: bytes) -> bool:
    """Tell whether both the old and the new key signed the change of keys."""
    said = _rotate_said(slug, new)
    sound = keys_are_sound(new) and is_genuine(new.ed25519, said, proof)
    return sound and is_genuine(old_ed25519, said, signature)


def _rotate_said(slug: str, keys: PublicKeys) -> bytes:
    return packed("album/1 rotate", slug, keys.ed25519, keys.x25519)
