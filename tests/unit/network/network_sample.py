"""A small network for tests: an office with three root keys, institutions with keys from a seed, their messages."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from random import Random

from shared.kit.streams import GENESIS, Position
from shared.network import changes, held
from shared.network.entries import SignedEntry
from shared.network.held import Held
from shared.network.identity import Identity
from shared.network.names import pub_stream
from shared.network.roster import RootKey, Roots, Roster
from shared.network.roster_document import document_of
from shared.network.signing import sign_entry, sign_with_seed

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
ROOT_SEEDS = [sha256(b"root %d" % number).digest() for number in range(3)]
AWO, VHS, KARGAH = "awo", "vhs-hannover", "kargah"
STREAM = pub_stream(AWO, "courses")


def identity(slug: str, number: int = 0) -> Identity:
    """Make the keys of an institution, the same ones for the same number."""
    return Identity.make(slug, Random(f"{slug} {number}").randbytes)


def roots(threshold: int = 1, seeds: list[bytes] | None = None) -> Roots:
    """Make the office's root keys."""
    found = [RootKey(sign_with_seed(seed, b"")[0]) for seed in seeds or ROOT_SEEDS]
    return Roots(threshold, tuple(found))


def network(*slugs: str, threshold: int = 1) -> Roster:
    """Make a roster of institutions with their first keys."""
    roster = changes.first_roster("office", roots(threshold), NOW)
    for slug in slugs:
        roster = changes.admit(roster, slug, identity(slug).public)
    return roster


def signed(roster: Roster, seeds: list[bytes] | None = None) -> tuple[bytes, bytes]:
    """Give a roster's document with its signatures."""
    document = document_of(roster)
    return document, held.sign_roster(document, ROOT_SEEDS if seeds is None else seeds)


def holding(roster: Roster) -> Held:
    """Give what a node holds that accepted this roster."""
    return held.accept(Held(roster.roots), *signed(roster))


def event(source: str, subject: str, type_word: str = "courses.run.published.v1", **data: object) -> bytes:
    """Make the bytes of a CloudEvent."""
    said = {"specversion": "1.0", "id": f"m{subject}", "source": source, "type": type_word, "subject": subject}
    return json.dumps({**said, "data": data}).encode()


def written(
    who: Identity, stream: str = STREAM, count: int = 3, *, after: SignedEntry | None = None, source: str | None = None
) -> list[SignedEntry]:
    """Sign some entries of a stream, behind another one or from its beginning."""
    entries: list[SignedEntry] = []
    previous, seq = (GENESIS, 0) if after is None else (after.hash(stream), after.position.seq)
    epoch = 1 if after is None else after.position.epoch
    for number in range(seq + 1, seq + 1 + count):
        payload = event(source or f"/{who.slug}/courses", f"run_{number}", version=number)
        entry = sign_entry(who, stream, Position(epoch, number), previous, payload)
        entries.append(entry)
        previous = entry.hash(stream)
    return entries
