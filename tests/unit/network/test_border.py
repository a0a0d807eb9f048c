"""The border: what comes from the hub is taken only when its writer said it, at this place, in this order."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.kit.streams import GENESIS, START, Position
from shared.network import changes
from shared.network.beats import Beat, beat_payload, hashes_of, state_digest
from shared.network.border import Checked, check_beat, check_page, check_state
from shared.network.boxes import box_payload
from shared.network.entries import SignedEntry
from shared.network.names import box_stream
from shared.network.refusal import Refusal
from shared.network.roster import Roster
from shared.network.signing import sign_beat, sign_entry
from tests.unit.network.network_sample import AWO, KARGAH, NOW, STREAM, VHS, event, identity, network, written

ME = identity(AWO)
ROSTER = network(AWO, VHS)
FIRST, SECOND, THIRD = written(ME)


def page(
    *entries: SignedEntry, roster: Roster = ROSTER, previous: bytes | None = GENESIS, at: Position = START
) -> Checked:
    """Check a page of the stream."""
    return check_page(roster, STREAM, previous, at, list(entries), NOW)


def test_a_whole_page_is_taken_and_the_chain_goes_on_behind_it() -> None:
    """The hash behind the page is what the next page is checked with."""
    checked = page(FIRST, SECOND)
    assert (checked.accepted, checked.refused, checked.hash) == ([FIRST, SECOND], None, SECOND.hash(STREAM))
    assert page(THIRD, previous=checked.hash, at=Position(1, 2)).accepted == [THIRD]
    assert page().accepted == []


def test_a_page_ends_at_the_first_entry_that_is_refused() -> None:
    """What lies behind it waits, though it is genuine."""
    broken = replace(SECOND, payload=SECOND.payload + b" ")
    checked = page(FIRST, broken, THIRD)
    assert (checked.accepted, checked.refused, checked.code) == ([FIRST], broken, "not_genuine")
    assert checked.hash == FIRST.hash(STREAM)
    assert "run_2" not in checked.reason


def _resigned(entry: SignedEntry, **change: object) -> SignedEntry:
    new = replace(entry, **change)  # type: ignore[arg-type] # fields by name
    return sign_entry(ME, STREAM, new.position, new.previous, new.payload)


REFUSED: list[tuple[str, Callable[[], Checked]]] = [
    ("unknown_key", lambda: page(replace(FIRST, kid=""))),
    ("unknown_key", lambda: page(*written(identity(VHS), count=1))),
    ("gap", lambda: page(SECOND)),
    ("gap", lambda: page(FIRST, FIRST)),
    ("gap", lambda: page(FIRST, SECOND, FIRST)),
    ("gap", lambda: page(FIRST, THIRD)),
    ("gap", lambda: page(_resigned(FIRST, position=Position(0, 1)))),
    ("gap", lambda: page(_resigned(FIRST, position=Position(0, 1)), previous=None)),
    ("gap", lambda: page(_resigned(FIRST, position=Position(1, 0)), previous=None)),
    ("gap", lambda: page(FIRST, previous=None, at=Position(1, 1))),
    ("gap", lambda: page(FIRST, _resigned(SECOND, position=Position(2, 2)))),
    ("wrong_previous", lambda: page(FIRST, _resigned(SECOND, previous=GENESIS))),
    ("wrong_previous", lambda: page(_resigned(FIRST, previous=b"\1" * 32), previous=None)),
    ("wrong_previous", lambda: page(_resigned(SECOND, previous=b"\1" * 31), previous=None)),
    ("not_genuine", lambda: page(replace(FIRST, signature=SECOND.signature))),
    ("not_genuine", lambda: page(replace(FIRST, signature=b""))),
    ("not_genuine", lambda: page(replace(FIRST, payload=b"{}"))),
    ("not_genuine", lambda: page(replace(written(identity(VHS), source="/awo/courses")[0], kid=ME.kid))),
    ("too_large", lambda: page(_resigned(FIRST, payload=b" " * 65_537))),
    ("not_json", lambda: page(_resigned(FIRST, payload=b"{"))),
    ("name_twice", lambda: page(_resigned(FIRST, payload=b'{"source":"/awo/courses","source":"/awo/courses"}'))),
    ("wrong_source", lambda: page(_resigned(FIRST, payload=event("/awo/events", "x")))),
    ("wrong_source", lambda: page(_resigned(FIRST, payload=event("/kargah/courses", "x")))),
    ("wrong_source", lambda: page(_resigned(FIRST, payload=b"[]"))),
]


@pytest.mark.parametrize(("code", "check"), REFUSED, ids=range(len(REFUSED)))
def test_each_refusal_has_its_code(code: str, check: Callable[[], Checked]) -> None:
    """One fault at a time, with everything else as it should be."""
    checked = check()
    assert checked.code == code
    assert checked.refused is not None


def test_a_trimmed_stream_is_taken_with_the_hash_it_carries() -> None:
    """Without a known hash the first entry stands anywhere behind the place; from there on the chain is checked."""
    assert page(SECOND, THIRD, previous=None).accepted == [SECOND, THIRD]
    assert page(THIRD, previous=None, at=Position(1, 1)).accepted == [THIRD]
    assert page(SECOND, FIRST, previous=None).code == "gap"


def test_an_entry_of_another_stream_or_institution_is_refused() -> None:
    """Neither the name of the stream nor the writer can be exchanged."""
    checked = check_page(ROSTER, STREAM.replace("courses", "events"), GENESIS, START, [FIRST], NOW)
    assert checked.code == "not_genuine"
    checked = check_page(ROSTER, STREAM.replace(AWO, VHS), GENESIS, START, [FIRST], NOW)
    assert checked.code == "unknown_key"
    checked = check_page(ROSTER, STREAM.replace(AWO, KARGAH), GENESIS, START, [FIRST], NOW)
    assert checked.code == "unknown_institution"
    with pytest.raises(ValueError, match="no stream"):
        check_page(ROSTER, "album:1:own:{awo}:courses", GENESIS, START, [FIRST], NOW)


def test_behind_its_expiry_a_roster_lets_nothing_in() -> None:
    """A hub that hides a revocation wins two weeks at most; the day before, the same page is taken."""
    late = NOW + timedelta(days=14)
    checked = check_page(ROSTER, STREAM, GENESIS, START, [FIRST], late)
    assert (checked.accepted, checked.code) == ([], "roster_expired")
    assert check_page(ROSTER, STREAM, GENESIS, START, [FIRST], late - timedelta(days=1)).accepted == [FIRST]
    assert check_state(ROSTER, STREAM, {"run_1": FIRST}, late).refused["run_1"].code == "roster_expired"
    assert check_beat(ROSTER, STREAM, sign_beat(ME, STREAM, b""), late) == Refusal("roster_expired", checked.reason)


def test_a_stream_goes_on_when_a_newer_roster_brings_the_key() -> None:
    """The same page, once with the roster from before a rotation and once with the one behind it."""
    new = identity(AWO, 1)
    second = written(new, count=1, after=FIRST)[0]
    checked = page(FIRST, second)
    assert (checked.accepted, checked.code) == ([FIRST], "unknown_key")
    newer = changes.rotate(ROSTER, AWO, new.public, {STREAM: FIRST.position})
    assert page(FIRST, second, roster=newer).accepted == [FIRST, second]


def test_a_suspended_institution_stops_at_the_cut_and_goes_on_where_it_waited() -> None:
    """What came before stays, what comes behind waits for the return."""
    suspended = changes.suspend(ROSTER, AWO, {STREAM: FIRST.position})
    checked = page(FIRST, SECOND, THIRD, roster=suspended)
    assert (checked.accepted, checked.code) == ([FIRST], "institution_not_active")
    back = changes.reinstate(suspended, AWO)
    assert page(SECOND, THIRD, roster=back, previous=checked.hash, at=FIRST.position).accepted == [SECOND, THIRD]


def _epoch(after: SignedEntry, who: str = AWO) -> SignedEntry:
    at = Position(after.position.epoch + 1, 1)
    return sign_entry(identity(who), STREAM, at, after.hash(STREAM), event("/awo/courses", "run_9"))


def test_a_new_epoch_follows_with_the_hash_of_the_old_one() -> None:
    """A restored writer goes on without a gap in the chain; another hash is refused."""
    assert page(FIRST, SECOND, _epoch(SECOND)).accepted == [FIRST, SECOND, _epoch(SECOND)]
    assert page(FIRST, SECOND, _epoch(FIRST)).code == "wrong_previous"
    assert page(FIRST, _resigned(_epoch(FIRST), position=Position(2, 2))).code == "gap"


@pytest.mark.parametrize(
    "bad",
    [
        replace(SECOND, payload=b"{}"),
        _resigned(SECOND, payload=b"no JSON"),
        replace(SECOND, previous=b"\1" * 32, signature=b""),
    ],
)
def test_a_new_epoch_leads_past_what_no_roster_will_heal(bad: SignedEntry) -> None:
    """The old epoch is finished as far as it is verified; the rest is set aside with its reason, then it goes on."""
    behind = sign_entry(ME, STREAM, THIRD.position, bad.hash(STREAM), THIRD.payload)
    new = _epoch(behind)
    checked = page(FIRST, bad, behind, new)
    assert (checked.accepted, checked.refused) == ([FIRST, new], None)
    assert [entry for entry, _ in checked.passed_over] == [bad, behind]
    assert checked.hash == new.hash(STREAM)
    assert page(FIRST, bad, behind).refused == bad


def test_a_new_epoch_leads_past_nothing_that_its_writer_did_not_see() -> None:
    """A hub that puts a forged entry in place of a genuine one cannot have a later epoch cover it."""
    bad = replace(SECOND, payload=b"{}")
    for pages in (
        (FIRST, bad, _epoch(SECOND)),
        (FIRST, bad, THIRD, _epoch(THIRD)),
        (FIRST, bad, replace(_epoch(bad), signature=b"")),
        (FIRST, replace(THIRD, payload=b"{}"), _epoch(replace(THIRD, payload=b"{}"))),
    ):
        assert page(*pages).accepted == [FIRST]


def test_a_new_epoch_does_not_lead_past_what_a_newer_roster_may_heal() -> None:
    """What was signed with a key that is not known yet is waited for, never lost."""
    waiting = written(identity(AWO, 1), count=1, after=FIRST)[0]
    checked = page(FIRST, waiting, _epoch(waiting))
    assert (checked.accepted, checked.code) == ([FIRST], "unknown_key")


def test_the_state_is_checked_entry_by_entry() -> None:
    """A forged one, one under another name, and one of another stream are refused; the others are taken."""
    elsewhere = written(ME, STREAM.replace("courses", "events"), 1)[0]
    state = {"run_1": FIRST, "run_2": replace(SECOND, payload=b"{}"), "run_x": THIRD, "run_4": elsewhere}
    checked = check_state(ROSTER, STREAM, state, NOW)
    assert checked.accepted == {"run_1": FIRST}
    codes = {name: refusal.code for name, refusal in checked.refused.items()}
    assert codes == {"run_2": "not_genuine", "run_x": "wrong_subject", "run_4": "not_genuine"}


def test_state_under_another_name_would_pass_as_an_entry() -> None:
    """The control: only the name of the field is wrong with it."""
    assert page(FIRST).accepted == [FIRST]
    assert check_state(ROSTER, STREAM, {"run_2": FIRST}, NOW).accepted == {}


def test_boxes_are_checked_like_streams_without_being_opened() -> None:
    """The sender signs; what is no sealed message is refused before anybody tries a key."""
    stream, receiver = box_stream(VHS, AWO), identity(VHS)
    payload = box_payload(receiver.public.x25519, receiver.kid, VHS, AWO, Position(1, 1), "x", b"{}")
    entry = sign_entry(ME, stream, Position(1, 1), GENESIS, payload)
    assert check_page(ROSTER, stream, GENESIS, START, [entry], NOW).accepted == [entry]
    moved = check_page(ROSTER, box_stream(KARGAH, AWO), GENESIS, START, [entry], NOW)
    assert moved.code == "not_genuine"
    other = check_page(ROSTER, box_stream(AWO, VHS), GENESIS, START, [entry], NOW)
    assert other.code == "unknown_key"
    plain = sign_entry(ME, stream, Position(1, 1), GENESIS, b"{}")
    assert check_page(ROSTER, stream, GENESIS, START, [plain], NOW).code == "not_a_box"
    large = sign_entry(ME, stream, Position(1, 1), GENESIS, bytes(66_561))
    assert check_page(ROSTER, stream, GENESIS, START, [large], NOW).code == "too_large"


def _beat(who: str = AWO, number: int = 0, head: Position = THIRD.position, stream: str = STREAM) -> Beat | Refusal:
    state = {"run_1": FIRST}
    beat = Beat(head, THIRD.hash(STREAM), 1, state_digest(STREAM, state), NOW)
    return check_beat(ROSTER, STREAM, sign_beat(identity(who, number), stream, beat_payload(beat)), NOW)


def test_a_heartbeat_is_its_writers_or_nobodys() -> None:
    """Another institution's, an unknown key's and another stream's heartbeat are refused."""
    good = _beat()
    assert isinstance(good, Beat)
    assert good.fits(hashes_of(STREAM, {"run_1": FIRST}))
    for bad, code in (
        (_beat(VHS), "unknown_key"),
        (_beat(number=1), "unknown_key"),
        (_beat(stream=STREAM + "x"), "not_genuine"),
        (check_beat(ROSTER, STREAM, sign_beat(ME, STREAM, b"{}"), NOW), "not_a_heartbeat"),
    ):
        assert isinstance(bad, Refusal)
        assert bad.code == code


def test_a_heartbeat_is_signed_with_the_key_for_what_comes_next() -> None:
    """A revoked key says nothing of the head at which it ended; the new one does."""
    new = identity(AWO, 1)
    rotated = changes.rotate(ROSTER, AWO, new.public, {STREAM: THIRD.position})
    revoked = changes.revoke(rotated, AWO, ME.kid, {STREAM: THIRD.position})
    payload = beat_payload(Beat(THIRD.position, THIRD.hash(STREAM), 0, "", NOW))
    old_one = check_beat(revoked, STREAM, sign_beat(ME, STREAM, payload), NOW)
    assert isinstance(old_one, Refusal)
    assert old_one.code == "key_not_valid_here"
    assert isinstance(check_beat(revoked, STREAM, sign_beat(new, STREAM, payload), NOW), Beat)
    assert isinstance(check_beat(rotated, STREAM, sign_beat(ME, STREAM, payload), NOW), Beat)
