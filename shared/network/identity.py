"""An institution's own keys and its password on the hub: made on its node, kept in one file there, never sent."""

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from nacl.bindings import crypto_scalarmult_base, crypto_sign_seed_keypair

from shared.network.names import is_slug

RandomBytes = Callable[[int], bytes]
_SIZE = 32


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What others know of an institution's keys: one that verifies its signatures, one to seal messages for it."""

    ed25519: bytes
    x25519: bytes

    @property
    def kid(self) -> str:
        """Give the id of the pair: 16 hexadecimal digits."""
        return sha256(self.ed25519 + self.x25519).hexdigest()[:16]


@dataclass(frozen=True)
class Identity:
    """What an institution signs, opens and logs in with; older keys stay, for what was sealed or signed with them."""

    slug: str
    ed25519_seed: bytes = field(repr=False)
    x25519_private: bytes = field(repr=False)
    password: str = field(repr=False)
    older: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    older_seeds: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Derive once what is needed for every entry."""
        public, secret = crypto_sign_seed_keypair(self.ed25519_seed)
        keys = PublicKeys(public, crypto_scalarmult_base(self.x25519_private))
        object.__setattr__(self, "_signing_key", secret)
        object.__setattr__(self, "_public", keys)
        object.__setattr__(self, "_kid", keys.kid)

    @property
    def kid(self) -> str:
        """Give the id of the newest keys."""
        return self._kid  # type: ignore[attr-defined,no-any-return] # set in __post_init__, frozen afterwards

    @property
    def public(self) -> PublicKeys:
        """Give the public halves of the newest keys."""
        return self._public  # type: ignore[attr-defined,no-any-return] # as above

    @property
    def signing_key(self) -> bytes:
        """Give the 64 bytes with which libsodium signs."""
        return self._signing_key  # type: ignore[attr-defined,no-any-return] # as above

    @property
    def box_keys(self) -> dict[str, bytes]:
        """Give the private keys that open boxes, by key id: the newest and the older ones."""
        return {**self.older, self.kid: self.x25519_private}

    @property
    def password_sha256(self) -> bytes:
        """Give the only form of the password that leaves the node."""
        return sha256(self.password.encode()).digest()

    @classmethod
    def make(cls, slug: str, random: RandomBytes) -> "Identity":
        """Make new keys and a new password from a source of random bytes such as `os.urandom`."""
        if not is_slug(slug):
            raise ValueError(f"'{slug}' cannot be the short name of an institution")
        return cls(slug, random(_SIZE), random(_SIZE), _password(random))

    def with_new_keys(self, random: RandomBytes) -> "Identity":
        """Make new keys, keep the password, and keep what opens the boxes sealed so far."""
        seeds = {**self.older_seeds, self.kid: self.ed25519_seed}
        new = {"ed25519_seed": random(_SIZE), "x25519_private": random(_SIZE)}
        return Identity(self.slug, **new, password=self.password, older=self.box_keys, older_seeds=seeds)

    @property
    def former(self) -> tuple["Identity", ...]:
        """Give the pairs before this one, newest first: what stands where only they speak is signed with them again.

        Their signatures are taken nowhere behind the place at which they were revoked.
        """
        pairs = [(self.older_seeds[kid], self.older[kid]) for kid in self.older if kid in self.older_seeds]
        return tuple(Identity(self.slug, seed, private, self.password) for seed, private in reversed(pairs))

    def save(self, path: Path) -> None:
        """Write the file, for the owner's eyes only; raises FileExistsError rather than lose older keys."""
        temporary = self._written(path)
        try:
            os.link(temporary, path)  # unlike a rename, a link never takes the place of a file that is there
        finally:
            temporary.unlink()
        _flush_folder(path.parent)

    def replace(self, path: Path) -> None:
        """Write the file in place of the one before, at once or not at all."""
        self._written(path).replace(path)
        _flush_folder(path.parent)

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """Read the file; raises FileNotFoundError, PermissionError where others may read it, ValueError if damaged."""
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"others may read {path}: run `chmod 600 {path}`")
        try:
            kept = json.loads(path.read_text("utf-8"))
            older = {kid: bytes.fromhex(key) for kid, key in kept["older"].items()}
            seeds = {kid: bytes.fromhex(key) for kid, key in kept.get("older_seeds", {}).items()}
            seed, private = bytes.fromhex(kept["ed25519_seed"]), bytes.fromhex(kept["x25519_private"])
            return cls(kept["slug"], seed, private, kept["password"], older, seeds)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} holds no keys: {type(error).__name__}") from error

    def _written(self, path: Path) -> Path:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(self._document(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _document(self) -> dict[str, object]:
        return {
            "slug": self.slug,
            "kid": self.kid,
            "ed25519_seed": self.ed25519_seed.hex(),
            "x25519_private": self.x25519_private.hex(),
            "password": self.password,
            "older": {kid: key.hex() for kid, key in self.older.items()},
            "older_seeds": {kid: key.hex() for kid, key in self.older_seeds.items()},
        }


def _password(random: RandomBytes) -> str:
    return base64.urlsafe_b64encode(random(_SIZE)).decode().rstrip("=")


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
