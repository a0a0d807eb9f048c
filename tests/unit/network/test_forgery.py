"""A hundred thousand entries that nobody said: none is taken, and without the signature check some would be.

Everything is signed once and changed from a seed; each row of the table says what is changed and what may catch it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from shared.kit.streams import GENESIS, START, Position
from shared.network.border import Genuine, check_page, check_state
from shared.network.entries import SignedEntry
from shared.network.signing import entry_is_genuine, sign_entry
from tests.unit.network.network_sample import AWO, KARGAH, NOW, STREAM, VHS, event, identity, network, written

ROSTER = network(AWO, VHS)
ME, OTHER, STRANGER = identity(AWO), identity(VHS), identity(AWO, 7)
GENUINE = written(ME, count=40)
HASHES = [entry.hash(STREAM) for entry in GENUINE]
ELSEWHERE = written(ME, STREAM.replace("courses", "events"), 40, source="/awo/courses")
THEIRS = written(OTHER, count=40, source="/awo/courses")
FORGED = [
    sign_entry(STRANGER, STREAM, one.position, one.previous, event("/awo/courses", f"run_{one.position.seq}", free=0))
    for one in GENUINE
]
SHARE = 100_000


Forge = Callable[[Random, int], SignedEntry]


def _flipped(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed) if bytes(changed) != data else _flipped(random, data)


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data))] if random.random() < 0.5 else data[random.randrange(1, len(data)) :]


def _another(random: Random, index: int) -> int:
    return (index + random.randrange(1, len(GENUINE))) % len(GENUINE)


TABLE: dict[str, tuple[float, Forge, set[str]]] = {
    "a bit of the payload": (
        0.25,
        lambda random, at: replace(GENUINE[at], payload=_flipped(random, GENUINE[at].payload)),
        {"not_genuine"},
    ),
    "a bit of the signature": (
        0.2,
        lambda random, at: replace(GENUINE[at], signature=_flipped(random, GENUINE[at].signature)),
        {"not_genuine"},
    ),
    "a bit of the previous hash": (
        0.08,
        lambda random, at: replace(GENUINE[at], previous=_flipped(random, GENUINE[at].previous)),
        {"wrong_previous"},
    ),
    "a bit of the key id": (
        0.05,
        lambda random, at: replace(GENUINE[at], kid=_flipped(random, GENUINE[at].kid.encode()).decode("latin-1")),
        {"unknown_key"},
    ),
    "a part cut off": (
        0.07,
        lambda random, at: random.choice(
            [
                replace(GENUINE[at], payload=_cut(random, GENUINE[at].payload)),
                replace(GENUINE[at], signature=_cut(random, GENUINE[at].signature)),
                replace(GENUINE[at], previous=_cut(random, GENUINE[at].previous)),
            ]
        ),
        {"not_genuine", "wrong_previous"},
    ),
    "said before (replayed at its old place)": (
        0.05,
        lambda random, at: GENUINE[random.randrange(at)] if at else replace(GENUINE[0], position=Position(1, 0)),
        {"gap"},
    ),
    "moved to another place with all its fields": (
        0.06,
        lambda random, at: replace(GENUINE[_another(random, at)], position=GENUINE[at].position),
        {"wrong_previous"},
    ),
    "moved to another place with the hash that fits": (
        0.06,
        lambda random, at: replace(
            GENUINE[_another(random, at)], position=GENUINE[at].position, previous=GENUINE[at].previous
        ),
        {"not_genuine"},
    ),
    "moved from another stream of the same writer": (
        0.06,
        lambda _, at: replace(ELSEWHERE[at], previous=GENUINE[at].previous),
        {"not_genuine"},
    ),
    "said by another institution": (0.03, lambda _, at: THEIRS[at], {"unknown_key"}),
    "said by another institution under this one's key id": (
        0.05,
        lambda _, at: replace(THEIRS[at], kid=ME.kid, previous=GENUINE[at].previous),
        {"not_genuine"},
    ),
    "forged by a stranger under this one's key id": (
        0.04,
        lambda _, at: replace(FORGED[at], kid=ME.kid),
        {"not_genuine"},
    ),
}


def _tried(genuine: Genuine, scale: float) -> tuple[Counter[str], Counter[str]]:
    """Offer every kind of forgery; give how many of each were offered and how many were taken."""
    random = Random(20261120)
    offered: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for name, (share, forge, codes) in TABLE.items():
        for number in range(round(SHARE * share * scale)):
            at = number % len(GENUINE)
            entry = forge(random, at)
            previous, place = (HASHES[at - 1], GENUINE[at - 1].position) if at else (GENESIS, START)
            checked = check_page(ROSTER, STREAM, previous, place, [entry], NOW, genuine=genuine)
            offered[name] += 1
            taken[name] += len(checked.accepted)
            if genuine is entry_is_genuine:
                assert checked.code in codes, name
    return offered, taken


def test_none_of_a_hundred_thousand_forged_entries_is_taken() -> None:
    """Every row of the table is refused for its own reason, and the genuine entries are taken."""
    offered, taken = _tried(entry_is_genuine, 1)
    assert (offered.total(), taken.total()) == (SHARE, 0)
    assert set(offered) == set(TABLE)
    assert check_page(ROSTER, STREAM, GENESIS, START, GENUINE, NOW).accepted == GENUINE


def test_without_the_signature_check_forged_entries_are_taken() -> None:
    """The control: with the check off, messages of strangers pass, and so does what was moved to another place."""
    _, taken = _tried(lambda *_: True, 0.02)
    for name in (
        "a bit of the signature",
        "moved to another place with the hash that fits",
        "moved from another stream of the same writer",
        "said by another institution under this one's key id",
        "forged by a stranger under this one's key id",
    ):
        assert taken[name] > 0, name


def test_every_bit_of_an_entry_counts() -> None:
    """Each bit of payload, signature, previous hash and key id, turned alone, is refused; so is each length."""
    entry = GENUINE[3]
    before = GENUINE[2]
    tried = 0
    parts: tuple[tuple[bytes, Callable[[bytes], SignedEntry]], ...] = (
        (entry.payload, lambda data: replace(entry, payload=data)),
        (entry.signature, lambda data: replace(entry, signature=data)),
        (entry.previous, lambda data: replace(entry, previous=data)),
        (entry.kid.encode(), lambda data: replace(entry, kid=data.decode("latin-1"))),
    )
    for data, changed_in in parts:
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << (bit % 8)
            forged = changed_in(bytes(changed))
            assert check_page(ROSTER, STREAM, HASHES[2], before.position, [forged], NOW).accepted == []
            tried += 1
    assert tried == 8 * (len(entry.payload) + 64 + 32 + 16)


def test_every_other_place_is_refused() -> None:
    """Under each of many positions, in each stream of the sample, the entry is taken at its own place only."""
    entry = GENUINE[3]
    taken = []
    for epoch in range(4):
        for seq in range(50):
            moved = replace(entry, position=Position(epoch, seq))
            if check_page(ROSTER, STREAM, HASHES[2], GENUINE[2].position, [moved], NOW).accepted:
                taken.append(moved.position)
    assert taken == [entry.position]
    for stream in (STREAM.replace("courses", "events"), STREAM.replace(AWO, VHS), STREAM.replace(AWO, KARGAH)):
        assert check_page(ROSTER, stream, HASHES[2], GENUINE[2].position, [entry], NOW).accepted == []


def test_a_state_takes_no_entry_under_another_name() -> None:
    """Every entry under every other entry's name is refused; under its own it is taken."""
    for entry in GENUINE[:12]:
        state = {f"run_{other.position.seq}": entry for other in GENUINE[:12]}
        checked = check_state(ROSTER, STREAM, state, NOW)
        assert list(checked.accepted) == [f"run_{entry.position.seq}"]
        assert {refusal.code for refusal in checked.refused.values()} == {"wrong_subject"}
