"""Signatures by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), and secrets sealed for the database."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import datetime
from random import Random

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.notifications.domain.webhook import Signing

_HMAC, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_SECRET_BYTES = 32
_NONCE_BYTES = 12


class Unreadable(Exception):  # noqa: N818 - what it is: the node's secret is another one than when it was sealed
    """A sealed secret cannot be opened."""


def new_secret(signing: Signing, random: Random) -> str:
    """Make a secret in the form of the specification: `whsec_…`, or `whsk_…` for a private Ed25519 key."""
    prefix = _HMAC if signing is Signing.hmac else _PRIVATE
    return prefix + b64encode(random.randbytes(_SECRET_BYTES)).decode()


def public_key_of(secret: str) -> str | None:
    """Give `whpk_…` for a private key; None for a secret that both sides have."""
    if not secret.startswith(_PRIVATE):
        return None
    key = Ed25519PrivateKey.from_private_bytes(b64decode(secret.removeprefix(_PRIVATE)))
    return _PUBLIC + b64encode(key.public_key().public_bytes_raw()).decode()


def headers(message_id: str, at: datetime, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """Give the three headers of an attempt; with several secrets there are several signatures, the newest first."""
    timestamp = str(int(at.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = " ".join(_signature(secret, signed) for secret in secrets)
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signatures}


def _signature(secret: str, signed: bytes) -> str:
    if secret.startswith(_PRIVATE):
        key = Ed25519PrivateKey.from_private_bytes(b64decode(secret.removeprefix(_PRIVATE)))
        return "v1a," + b64encode(key.sign(signed)).decode()
    return "v1," + b64encode(hmac.digest(b64decode(secret.removeprefix(_HMAC)), signed, "sha256")).decode()


def seal(secret: str, webhook_id: str, node_secret: str, random: Random) -> bytes:
    """Encrypt a secret for the database (AES-256-GCM); it opens only for the same webhook and node secret."""
    nonce = random.randbytes(_NONCE_BYTES)
    return nonce + AESGCM(_key(node_secret)).encrypt(nonce, secret.encode(), webhook_id.encode())


def unseal(sealed: bytes, webhook_id: str, node_secret: str) -> str:
    """Decrypt a secret; raises Unreadable where the node's secret has changed."""
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(_key(node_secret)).decrypt(nonce, rest, webhook_id.encode()).decode()
    except InvalidTag as error:
        raise Unreadable("the secret of this webhook was sealed with another ALBUM_SECRET") from error


def _key(node_secret: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"album/1/webhook").derive(node_secret.encode())
