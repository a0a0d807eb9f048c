"""A node joins: it makes its keys and its password, proves the keys with the code, and waits to be admitted.

Each step can be repeated: the keys are on disk before anything is sent, so that a second run goes on with them.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.network.held import Held, accept, pin
from shared.network.identity import Identity, RandomBytes
from shared.network.office.invitation import CodeRefused, Invitation, JoinRequest, RotateRequest
from shared.network.roster_document import parse_roster


class Counter(Protocol):
    """What a node may do on the hub before it is admitted, and to change its keys."""

    async def ask(self, slug: str, field: str, document: bytes) -> None:
        """Write what the node asks."""
        ...

    async def rosters(self, after_version: int) -> list[tuple[bytes, bytes]]:
        """Give the rosters behind a version, in order: document and signatures."""
        ...


Sleep = Callable[[float], Awaitable[None]]
ASK_EACH = 2.0


@dataclass(frozen=True)
class Joined:
    """A node that is in: its keys, and the roster with which it begins."""

    identity: Identity
    held: Held


def identity_path(folder: Path, slug: str) -> Path:
    """Give the file with an institution's keys."""
    return folder / f"{slug}.json"


def keys_for(invitation: Invitation, folder: Path, random: RandomBytes = os.urandom) -> Identity:
    """Give the keys of an interrupted run, or make and keep new ones."""
    path = identity_path(folder, invitation.slug)
    if path.exists():
        return Identity.load(path)
    identity = Identity.make(invitation.slug, random)
    identity.save(path)
    return identity


async def ask_to_join(invitation: Invitation, identity: Identity, counter: Counter) -> None:
    """Put the proven keys where the office finds them."""
    await counter.ask(invitation.slug, "request", JoinRequest.of(identity, invitation.secret).document)


async def look_for_admission(invitation: Invitation, identity: Identity, counter: Counter) -> Joined | None:
    """Look once whether the office has admitted the keys; raises CodeRefused where the hub shows another network."""
    held: Held | None = None
    while page := await counter.rosters(held.version if held else 0):
        for document, signatures in page:
            held = _next(held, document, signatures, invitation.roots)
        if held is None:
            raise CodeRefused("other_roots", "the hub's roster is not signed by the office that invited")
    member = held.roster.member(invitation.slug) if held and held.roster else None
    if held is None or member is None or member.key(identity.kid) is None:
        return None
    return Joined(identity, held)


def _next(held: Held | None, document: bytes, signatures: bytes, digest: str) -> Held | None:
    """Pin the first roster with the invited roots; what came before it was signed by roots of an earlier time."""
    if held is not None:
        return accept(held, document, signatures)
    return pin(document, signatures, digest) if parse_roster(document).roots.digest == digest else None


async def ask_for_new_keys(old: Identity, folder: Path, counter: Counter, random: RandomBytes = os.urandom) -> Identity:
    """Make new keys, keep them beside the old ones, and ask the office to name them."""
    path = next_path(folder, old.slug)
    new = Identity.load(path) if path.exists() else old.with_new_keys(random)
    if not path.exists():
        new.save(path)
    await counter.ask(old.slug, "rotate", RotateRequest.of(old, new).document)
    return new


def next_path(folder: Path, slug: str) -> Path:
    """Give the file with the keys that the office has not named yet."""
    return folder / f"{slug}.next"


def take_new_keys(folder: Path, slug: str) -> Identity:
    """Use the new keys from now on; the old box keys stay with them."""
    new = Identity.load(next_path(folder, slug))
    new.replace(identity_path(folder, slug))
    next_path(folder, slug).unlink()
    return new
