"""The roster: which institution holds which keys, and from where to where in each stream each key speaks.

Validity is by position, never by time: a clock that is wrong changes nothing about who said what.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType

from shared.kit.streams import START, Position
from shared.network.identity import PublicKeys
from shared.network.packed import packed
from shared.network.refusal import Refusal

Positions = Mapping[str, Position]
NOWHERE: Positions = MappingProxyType({})


class Status(StrEnum):
    """Whether what an institution says now is taken."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class RootKey:
    """A key with which the office signs rosters."""

    ed25519: bytes

    @property
    def kid(self) -> str:
        """Give the key's id: 16 hexadecimal digits."""
        return sha256(self.ed25519).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Roots:
    """The office's keys, and how many of them must have signed a roster."""

    threshold: int
    keys: tuple[RootKey, ...]

    @property
    def digest(self) -> str:
        """Give the hash that an invitation carries, in hexadecimal."""
        return sha256(packed(self.threshold, *(key.ed25519 for key in self.keys))).hexdigest()


@dataclass(frozen=True, slots=True)
class RosterKey:
    """A pair of public keys of an institution, and where in each stream it speaks."""

    keys: PublicKeys
    begins: Positions = field(default_factory=dict)
    revoked_from: Positions | None = None

    @property
    def kid(self) -> str:
        """Give the pair's id."""
        return self.keys.kid

    @property
    def ed25519(self) -> bytes:
        """Give the key that verifies."""
        return self.keys.ed25519

    @property
    def x25519(self) -> bytes:
        """Give the key to seal for."""
        return self.keys.x25519

    def speaks_at(self, stream: str, position: Position) -> bool:
        """Tell whether an entry at this position may be signed with this key."""
        if position < self.begins.get(stream, START):
            return False
        return self.revoked_from is None or position < self.revoked_from.get(stream, START)


@dataclass(frozen=True, slots=True)
class Member:
    """An institution in the roster; `cut` says from where on its streams are not taken while it is not active."""

    slug: str
    status: Status
    keys: tuple[RosterKey, ...]
    cut: Positions = field(default_factory=dict)

    def key(self, kid: str) -> RosterKey | None:
        """Give the pair with this id."""
        return next((key for key in self.keys if key.kid == kid), None)

    @property
    def box_key(self) -> RosterKey | None:
        """Give the pair to seal for: the newest one that is not revoked."""
        return next((key for key in reversed(self.keys) if key.revoked_from is None), None)


@dataclass(frozen=True)
class Roster:
    """Who is who, as the office signed it; `institutions` keep the order in which they were admitted."""

    version: int
    issued: datetime
    expires: datetime
    office: str
    roots: Roots
    institutions: tuple[Member, ...] = ()
    _by_slug: dict[str, Member] = field(init=False, repr=False, compare=False, default_factory=dict)
    _by_key: dict[tuple[str, str], RosterKey] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Index once what is asked for every entry."""
        self._by_slug.update((one.slug, one) for one in self.institutions)
        self._by_key.update(((one.slug, key.kid), key) for one in self.institutions for key in one.keys)

    def member(self, slug: str) -> Member | None:
        """Give an institution."""
        return self._by_slug.get(slug)

    def expired(self, now: datetime) -> bool:
        """Tell whether nothing new of others is taken until a newer document comes."""
        return now >= self.expires

    def key_for(self, slug: str, kid: str, stream: str, position: Position) -> RosterKey | Refusal:
        """Give the key with which an institution speaks at a position, or say why it does not."""
        key = self.known_key(slug, kid)
        if isinstance(key, Refusal):
            return key
        if not key.speaks_at(stream, position):
            return Refusal("key_not_valid_here", f"the key {kid} of '{slug}' does not speak at {position}")
        cut = self.cut_of(slug, stream)
        if cut is not None and position >= cut:
            return Refusal("institution_not_active", f"'{slug}' is {self._by_slug[slug].status}, cut at {cut}")
        return key

    def cut_of(self, slug: str, stream: str) -> Position | None:
        """Give the position from which on a stream is not taken; None where its institution is active."""
        member = self._by_slug.get(slug)
        if member is None:
            return START
        return None if member.status is Status.ACTIVE else member.cut.get(stream, START)

    def known_key(self, slug: str, kid: str) -> RosterKey | Refusal:
        """Give a key of an institution wherever it speaks, or say that there is none."""
        key = self._by_key.get((slug, kid))
        if key is not None:
            return key
        if slug not in self._by_slug:
            return Refusal("unknown_institution", f"'{slug}' is not in version {self.version} of the roster")
        return Refusal("unknown_key", f"version {self.version} of the roster knows no such key of '{slug}'")
