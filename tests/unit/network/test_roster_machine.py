"""Rosters as they come and change: an office, two writers, readers that lag, and a hub that lies, in any order.

The model keeps for each version, in plain numbers, from where to where each key speaks; readers are the real code.
`ALBUM_TEST_ROSTERS=1000` plays more than the hundred networks of every run.
"""

import json
import os
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.kit.streams import GENESIS, START, Position
from shared.network import changes, held
from shared.network.border import check_page
from shared.network.entries import SignedEntry
from shared.network.held import Held, accept, sign_roster
from shared.network.identity import Identity
from shared.network.names import pub_stream
from shared.network.roster_document import RosterRefused, document_of
from shared.network.signing import sign_entry
from tests.unit.network.network_sample import AWO, NOW, ROOT_SEEDS, VHS, event, identity, roots

SLUGS = (AWO, VHS)
NEVER = 10**9
SEEDS = [*ROOT_SEEDS, b"\5" * 32, b"\6" * 32]
WHO = st.sampled_from(SLUGS)


@dataclass
class Said:
    """What the model knows of an institution in one version: where keys speak, and where it is cut."""

    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    cut: int = NEVER

    def takes(self, kid: str, seq: int) -> bool:
        begin, end = self.spans.get(kid, (NEVER, NEVER))
        return begin <= seq < min(end, self.cut)


@dataclass
class Version:
    """A version of the roster as it was issued, with what the model says of it."""

    document: bytes
    signatures: bytes
    signers: set[int]
    roots: tuple[int, set[int]]
    expires: int
    model: dict[str, Said]


@dataclass
class Reader:
    """A node that holds a roster and has read each stream up to a place."""

    held: Held
    version: int = 0
    taken: dict[str, list[SignedEntry]] = field(default_factory=lambda: {slug: [] for slug in SLUGS})


class Rosters(RuleBasedStateMachine):
    """The office changes, the institutions write, the readers take; a hub offers what it should not."""

    seen: ClassVar[Counter[str]] = Counter()

    @initialize(threshold=st.sampled_from([1, 2]))
    def begin(self, threshold: int) -> None:
        self.day = 0
        self.root_set = (threshold, {0, 1, 2})
        self.roster = changes.first_roster("office", roots(threshold), NOW)
        self.model: dict[str, Said] = {}
        self.keys: dict[str, list[Identity]] = {}
        self.using: dict[str, int] = dict.fromkeys(SLUGS, 0)
        self.streams: dict[str, list[SignedEntry]] = {slug: [] for slug in SLUGS}
        for slug in SLUGS:
            self.keys[slug] = [identity(slug)]
            self.roster = changes.admit(self.roster, slug, identity(slug).public)
            self.model[slug] = Said({identity(slug).kid: (0, NEVER)})
        self.versions: list[Version] = []
        self._publish(self.root_set[1])
        self.readers = [Reader(Held(self.roster.roots)), Reader(Held(self.roster.roots))]

    # The office.

    def _issue(self) -> None:
        """Sign the next version with the root keys of the one before."""
        signers = self.versions[-1].roots[1]
        self.roster = changes.issue(self.roster, NOW + timedelta(days=self.day))
        self._publish(signers)

    def _publish(self, signers: set[int]) -> None:
        document = document_of(self.roster)
        signatures = sign_roster(document, [SEEDS[number] for number in sorted(signers)])
        model = deepcopy(self.model)
        self.versions.append(Version(document, signatures, signers, self.root_set, self.day + 14, model))

    def _heads(self, slug: str) -> dict[str, Position]:
        return {pub_stream(slug, "courses"): self._head(slug)}

    def _head(self, slug: str) -> Position:
        return self.streams[slug][-1].position if self.streams[slug] else START

    @rule()
    def sign_anew(self) -> None:
        self._issue()

    @precondition(lambda self: all(len(keys) < 5 for keys in self.keys.values()))
    @rule(slug=WHO)
    def rotate(self, slug: str) -> None:
        new = identity(slug, len(self.keys[slug]))
        self.keys[slug].append(new)
        self.roster = changes.rotate(self.roster, slug, new.public, self._heads(slug))
        self.model[slug].spans[new.kid] = (self._head(slug).seq + 1 if self.streams[slug] else 0, NEVER)
        self._issue()

    @rule(slug=WHO)
    def writer_takes_up_its_newest_key(self, slug: str) -> None:
        self.using[slug] = len(self.keys[slug]) - 1

    @precondition(lambda self: any(self.using.values()))
    @rule(slug=WHO)
    def revoke_the_keys_before_the_one_in_use(self, slug: str) -> None:
        for old in self.keys[slug][: self.using[slug]]:
            begin, end = self.model[slug].spans[old.kid]
            self.roster = changes.revoke(self.roster, slug, old.kid, self._heads(slug))
            self.model[slug].spans[old.kid] = (begin, min(end, self._head(slug).seq + 1))
        self._issue()

    @precondition(lambda self: all(len(keys) < 5 for keys in self.keys.values()))
    @rule(slug=WHO)
    def change_keys_at_once(self, slug: str) -> None:
        """As after a theft: new key, taken up, old ones ended."""
        self.rotate(slug)
        self.writer_takes_up_its_newest_key(slug)
        self.revoke_the_keys_before_the_one_in_use(slug)

    @rule(slug=WHO)
    def suspend(self, slug: str) -> None:
        self.roster = changes.suspend(self.roster, slug, self._heads(slug))
        self.model[slug].cut = min(self.model[slug].cut, self._head(slug).seq + 1)
        self._issue()

    @rule(slug=WHO)
    def reinstate(self, slug: str) -> None:
        self.roster = changes.reinstate(self.roster, slug)
        self.model[slug].cut = NEVER
        self._issue()

    @rule(threshold=st.sampled_from([1, 2]), chosen=st.sets(st.integers(0, 4), min_size=2, max_size=3))
    def change_the_roots(self, threshold: int, chosen: set[int]) -> None:
        self.roster = changes.with_roots(self.roster, roots(threshold, [SEEDS[number] for number in sorted(chosen)]))
        self.root_set = (threshold, chosen)
        self._issue()

    # The institutions, and a thief.

    @rule(slug=WHO, count=st.integers(1, 3))
    def write(self, slug: str, count: int) -> None:
        for _ in range(count):
            self._append(slug, self.keys[slug][self.using[slug]])

    def _append(self, slug: str, who: Identity) -> None:
        self.streams[slug].append(self._next(slug, who))

    def _next(self, slug: str, who: Identity) -> SignedEntry:
        stream, seq = pub_stream(slug, "courses"), len(self.streams[slug]) + 1
        previous = self.streams[slug][-1].hash(stream) if self.streams[slug] else GENESIS
        return sign_entry(who, stream, Position(1, seq), previous, event(f"/{slug}/courses", str(seq)))

    @precondition(lambda self: any(self.using.values()))
    @rule(slug=WHO, number=st.integers(0, 1), which=st.integers(0, 4))
    def a_thief_writes_with_an_older_key(self, slug: str, number: int, which: int) -> None:
        """What a key says behind its end is refused by everybody whose roster names that end."""
        reader = self.readers[number]
        self.take_the_next_rosters(number, len(self.versions))
        self.read(number, slug)
        if self.using[slug] and len(reader.taken[slug]) == len(self.streams[slug]):
            thief = self.keys[slug][which % self.using[slug]]
            self._reads(reader, slug, [self._next(slug, thief)], keep=False)

    # The readers.

    @rule(number=st.integers(0, 1), count=st.integers(1, 4))
    def take_the_next_rosters(self, number: int, count: int) -> None:
        reader = self.readers[number]
        for version in self.versions[reader.version : reader.version + count]:
            self._takes(reader, version)

    @rule(number=st.integers(0, 1))
    def is_offered_the_newest_roster_at_once(self, number: int) -> None:
        """A jump is taken exactly if enough roots of the version that is held signed it."""
        reader = self.readers[number]
        if reader.version < len(self.versions):
            threshold, known = self.versions[max(reader.version - 1, 0)].roots
            if len(self.versions[-1].signers & known) >= threshold:
                self._takes(reader, self.versions[-1])
            else:
                self._refuses(reader, self.versions[-1], "too_few_signatures")

    def _takes(self, reader: Reader, version: Version) -> None:
        reader.held = accept(reader.held, version.document, version.signatures)
        reader.version = self.versions.index(version) + 1
        assert reader.held.version == reader.version
        self.seen["roster_taken"] += 1

    def _refuses(self, reader: Reader, version: Version, *codes: str) -> None:
        with pytest.raises(RosterRefused) as refused:
            accept(reader.held, version.document, version.signatures)
        assert refused.value.code in codes
        self.seen[refused.value.code] += 1

    @rule(number=st.integers(0, 1), which=st.integers(0, 30))
    def is_offered_an_older_roster(self, number: int, which: int) -> None:
        reader = self.readers[number]
        if reader.version:
            self._refuses(reader, self.versions[which % reader.version], "not_newer", "too_few_signatures")

    @rule(number=st.integers(0, 1), at=st.integers(0, 10**6), signer=st.integers(0, 4))
    def is_offered_a_roster_that_nobody_signed(self, number: int, at: int, signer: int) -> None:
        """Changed by a bit; signed by a stranger; with signatures of two documents; by one root twice."""
        reader, newest = self.readers[number], self.versions[-1]
        changed = bytearray(newest.document)
        changed[at % len(changed)] ^= 1
        again = document_of(changes.issue(self.roster, NOW + timedelta(days=900)))
        stranger = sign_roster(again, [b"\x77" * 32])
        one = json.loads(sign_roster(again, [SEEDS[signer]]))
        mixed = json.dumps(json.loads(newest.signatures) + json.loads(stranger)).encode()
        offers = [(bytes(changed), newest.signatures), (again, stranger), (again, mixed)]
        if reader.held.roots.threshold == 2:
            offers.append((again, json.dumps(one * 2 + json.loads(newest.signatures)).encode()))
        for document, signatures in offers:
            with pytest.raises(RosterRefused) as refused:
                accept(reader.held, document, signatures)
            assert refused.value.code == "too_few_signatures"

    @rule(days=st.sampled_from([1, 5, 15]))
    def days_pass(self, days: int) -> None:
        self.day += days

    @rule(number=st.integers(0, 1), slug=WHO)
    def read(self, number: int, slug: str) -> None:
        reader = self.readers[number]
        if reader.version:
            self._reads(reader, slug, self.streams[slug][len(reader.taken[slug]) :], keep=True)

    def _reads(self, reader: Reader, slug: str, entries: list[SignedEntry], *, keep: bool) -> None:
        """Compare what the border takes with what the model says of the version that the reader holds."""
        stream, taken = pub_stream(slug, "courses"), reader.taken[slug]
        previous, at = (taken[-1].hash(stream), taken[-1].position) if taken else (GENESIS, START)
        assert reader.held.roster is not None
        now = NOW + timedelta(days=self.day)
        checked = check_page(reader.held.roster, stream, previous, at, entries, now)
        version = self.versions[reader.version - 1]
        expected: list[SignedEntry] = []
        for entry in entries:
            if self.day >= version.expires or not version.model[slug].takes(entry.kid, entry.position.seq):
                break
            expected.append(entry)
        assert checked.accepted == expected
        assert (checked.refused is None) is (len(expected) == len(entries))
        self.seen[checked.code or "all_taken"] += 1
        if keep:
            taken += expected

    @invariant()
    def nobody_goes_back(self) -> None:
        """A reader's version never falls, and its roots are those of the version it holds."""
        for reader in self.readers if hasattr(self, "readers") else []:
            assert reader.held.version == reader.version
            if reader.held.roster:
                assert reader.held.roots == reader.held.roster.roots

    def teardown(self) -> None:
        """In the end all are reinstated, everybody takes every roster, and all that was written is taken."""
        if not hasattr(self, "readers"):
            return
        for slug in SLUGS:
            self.reinstate(slug)
        for reader in self.readers:
            for version in self.versions[reader.version :]:
                self._takes(reader, version)
            for slug in SLUGS:
                self._reads(reader, slug, self.streams[slug][len(reader.taken[slug]) :], keep=True)
                assert reader.taken[slug] == self.streams[slug]


SETTINGS = settings(
    max_examples=int(os.environ.get("ALBUM_TEST_ROSTERS", "100")),
    phases=[Phase.generate],
    stateful_step_count=30,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_any_order_of_changes_writes_and_lies_ends_as_the_model_says() -> None:
    """Rotation loses nothing, what is revoked or cut is refused, and no reader goes back or takes a forged roster."""
    Rosters.seen.clear()
    run_state_machine_as_test(Rosters, settings=SETTINGS)
    # A machine that never came to one of these has shown nothing about it.
    assert {"roster_taken", "not_newer", "too_few_signatures", "all_taken", "key_not_valid_here"} <= Rosters.seen.keys()


def test_the_machine_finds_a_reader_that_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with the versions uncompared, an older roster is taken, and the machine says so."""

    def careless(before: Held, document: bytes, signatures: bytes) -> Held:
        return held.accept(Held(before.roots), document, signatures)

    monkeypatch.setattr("tests.unit.network.test_roster_machine.accept", careless)
    with pytest.raises(pytest.fail.Exception):
        run_state_machine_as_test(Rosters, settings=SETTINGS)


def test_the_machine_finds_a_revocation_without_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with revoked keys speaking on, the machine says so."""
    monkeypatch.setattr("shared.network.roster.RosterKey.speaks_at", lambda *_: True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Rosters, settings=SETTINGS)
