"""Accepting a roster: signed by the roots that are held, read strictly, never backwards."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.kit.streams import Position
from shared.network import changes, held
from shared.network.held import Held, accept, pin, sign_roster, with_signature
from shared.network.refusal import Refusal
from shared.network.roster import Roster, Status
from shared.network.roster_document import RosterRefused, document_of, parse_roster
from tests.unit.network.network_sample import (
    AWO,
    KARGAH,
    NOW,
    ROOT_SEEDS,
    STREAM,
    VHS,
    holding,
    identity,
    network,
    roots,
    signed,
)

STRANGER = b"\7" * 32


def _code(do: Callable[[], object]) -> str:
    with pytest.raises(RosterRefused) as refused:
        do()
    return refused.value.code


def test_a_roster_comes_back_from_its_document() -> None:
    """Members, keys, positions and dates are as they were."""
    roster = changes.rotate(network(AWO, VHS), AWO, identity(AWO, 1).public, {STREAM: Position(1, 17)})
    roster = changes.revoke(roster, AWO, identity(AWO).kid, {STREAM: Position(1, 20)})
    roster = changes.suspend(roster, VHS, {})
    assert parse_roster(document_of(roster)) == roster
    assert json.loads(document_of(roster))["institutions"][0]["keys"][0]["revoked_from"] == {STREAM: "1-21"}


@pytest.mark.parametrize(("threshold", "signers"), [(1, 1), (1, 3), (2, 2), (2, 3)])
def test_enough_signatures_of_held_roots_are_accepted(threshold: int, signers: int) -> None:
    """One or two of three, as the office's network wants it."""
    roster = network(AWO, threshold=threshold)
    assert accept(Held(roster.roots), *signed(roster, ROOT_SEEDS[:signers])).roster == roster


def test_too_few_signatures_are_refused_whoever_gives_them() -> None:
    """One root twice, a stranger, a signature over another document, or none are not two of three."""
    roster = network(AWO, threshold=2)
    document, one = signed(roster, ROOT_SEEDS[:1])
    other = document_of(changes.issue(roster, NOW))
    twice = json.dumps(json.loads(one) * 2).encode()
    mixed = json.dumps(json.loads(one) + json.loads(sign_roster(other, ROOT_SEEDS[1:2]))).encode()
    renamed = json.loads(one)[0] | {"root": roster.roots.keys[1].kid}
    for signatures in (
        one,
        twice,
        mixed,
        sign_roster(document, [ROOT_SEEDS[0], STRANGER]),
        json.dumps([*json.loads(one), renamed]).encode(),
        b"[]",
    ):
        refused = _code(lambda signatures=signatures: accept(Held(roster.roots), document, signatures))  # type: ignore[misc] # bound in the loop
        assert refused == "too_few_signatures"
    assert accept(Held(roster.roots), document, with_signature(document, one, ROOT_SEEDS[2])).roster == roster


def test_with_the_count_off_a_strangers_roster_would_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the check of signatures, anybody is the office."""
    roster = network(AWO)
    document, signatures = signed(changes.issue(roster, NOW), [STRANGER])
    assert _code(lambda: accept(holding(roster), document, signatures)) == "too_few_signatures"
    monkeypatch.setattr(held, "is_genuine", lambda *_: True)
    forged = json.dumps([{"root": roster.roots.keys[0].kid, "signature": "00" * 64}]).encode()
    assert accept(holding(roster), document, forged).version == 2


def test_a_node_never_goes_back_and_never_takes_the_same_again() -> None:
    """A hub that offers an older roster, such as the one before a revocation, is refused."""
    first = network(AWO)
    second = changes.issue(changes.suspend(first, AWO, {}), NOW)
    now_held = accept(holding(first), *signed(second))
    assert _code(lambda: accept(now_held, *signed(first))) == "not_newer"
    assert _code(lambda: accept(now_held, *signed(second))) == "not_newer"
    assert now_held.roster == second


def test_a_jump_of_versions_is_taken_when_it_is_signed() -> None:
    """The office may number as it likes upwards; a stranger may not."""
    roster = replace(network(AWO), version=4_000_000)
    assert accept(holding(network(AWO)), *signed(roster)).version == 4_000_000
    assert _code(lambda: accept(holding(network(AWO)), *signed(roster, [STRANGER]))) == "too_few_signatures"


def test_new_roots_are_signed_by_the_ones_before_and_count_from_then_on() -> None:
    """A stolen old root is worth nothing behind the change; new roots are worth nothing before it."""
    first = network(AWO)
    new_seeds = [b"\1" * 32, b"\2" * 32]
    second = changes.issue(changes.with_roots(first, roots(2, new_seeds)), NOW)
    third = changes.issue(second, NOW)
    assert _code(lambda: accept(holding(first), *signed(second, new_seeds))) == "too_few_signatures"
    moved = accept(holding(first), *signed(second))
    assert moved.roots == second.roots
    assert _code(lambda: accept(moved, *signed(third, ROOT_SEEDS))) == "too_few_signatures"
    assert accept(moved, *signed(third, new_seeds)).version == 3


def test_the_first_roster_is_pinned_by_the_digest_of_the_invitation() -> None:
    """A hub cannot give a newcomer another office."""
    roster = network(AWO)
    digest = roster.roots.digest
    assert pin(*signed(roster), digest).roots == roster.roots
    foreign = replace(roster, roots=roots(1, [STRANGER]))
    assert _code(lambda: pin(*signed(foreign, [STRANGER]), digest)) == "other_roots"
    assert _code(lambda: pin(*signed(roster, [STRANGER]), digest)) == "too_few_signatures"
    assert _code(lambda: pin(*signed(replace(roster, roots=roots(2)), ROOT_SEEDS), digest)) == "other_roots"


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    said = json.loads(document_of(network(AWO, VHS)))
    change(said)
    return json.dumps(said).encode()


def _key(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = said["institutions"][0]["keys"][0]
    return found


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("wrong_key_id", lambda said: _key(said).update(kid="0" * 16)),
    ("wrong_key_id", lambda said: said["roots"]["keys"][0].update(kid="0" * 16)),
    ("unsound_key", lambda said: _key(said).update(ed25519="01" + "00" * 31)),
    ("unsound_key", lambda said: _key(said).update(x25519="00" * 32)),
    ("unsound_key", lambda said: _key(said).update(x25519="00")),
    ("unknown_status", lambda said: said["institutions"][0].update(status="banned")),
    ("unknown_status", lambda said: said["institutions"][0].update(status=None)),
    ("named_twice", lambda said: said["institutions"].append(said["institutions"][0])),
    ("named_twice", lambda said: said["institutions"][1]["keys"].append(_key(said))),
    ("wrong_roots", lambda said: said["roots"].update(threshold=4)),
    ("wrong_roots", lambda said: said["roots"]["keys"].append(said["roots"]["keys"][0])),
    ("not_a_roster", lambda said: said["roots"].update(threshold=0)),
    ("not_a_roster", lambda said: said.update(version=True)),
    ("not_a_roster", lambda said: said.update(version=0)),
    ("not_a_roster", lambda said: said.update(version="2")),
    ("not_a_roster", lambda said: said.update(expires="2026-12-04T08:00:00")),
    ("not_a_roster", lambda said: said.update(expires="2026-11-20T08:00:00Z")),
    ("not_a_roster", lambda said: said.update(expires=1)),
    ("not_a_roster", lambda said: said.pop("institutions")),
    ("not_a_roster", lambda said: said["institutions"][0].update(slug="../x")),
    ("not_a_roster", lambda said: said["institutions"][0].update(cut={STREAM: "1_0-1"})),
    ("not_a_roster", lambda said: _key(said).update({"from": []})),
    ("not_a_roster", lambda said: _key(said).pop("from")),
    ("not_a_roster", lambda said: _key(said).pop("revoked_from")),
    ("not_a_roster", lambda said: _key(said).update(ed25519="zz" * 32)),
]


@pytest.mark.parametrize(("code", "change"), CHANGES, ids=range(len(CHANGES)))
def test_a_document_of_another_form_is_refused_even_when_signed(
    code: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """An office with a fault in its software cannot lead nodes to read two things."""
    document = _changed(change)
    assert _code(lambda: accept(Held(roots()), document, sign_roster(document, ROOT_SEEDS))) == code


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "not_json"),
        (b"[]", "not_a_roster"),
        (document_of(network(AWO)).replace(b'{"version":1', b'{"version":1,"version":2'), "name_twice"),
        (document_of(network(AWO)).replace(b'"version":1', b'"version":NaN'), "not_finite"),
        (document_of(network(AWO)) + b" " * 1024 * 1024, "too_large"),
    ],
)
def test_a_document_that_is_no_strict_json_is_refused(document: bytes, code: str) -> None:
    """Two readers never understand a roster differently."""
    assert _code(lambda: parse_roster(document)) == code


def test_names_of_a_later_version_are_passed_over() -> None:
    """A field may be added one day without a new protocol."""
    document = _changed(lambda said: (said.update(more=1), _key(said).update(more=[])))
    assert parse_roster(document) == network(AWO, VHS)


@pytest.mark.parametrize(
    "signatures", [b"", b"{}x", b"[1]", b'[{"root": 1}]', b'[{"root": "a", "signature": "zz"}]', b"1"]
)
def test_signatures_of_another_form_are_refused(signatures: bytes) -> None:
    """Whatever stands beside a document raises one kind of error."""
    document, _ = signed(network(AWO))
    assert _code(lambda: accept(Held(roots()), document, signatures)) == "not_signatures"


def test_a_roster_expires_after_two_weeks_and_a_new_one_begins_anew() -> None:
    """The moment itself counts as expired."""
    roster = network(AWO)
    assert not roster.expired(NOW + timedelta(days=14, microseconds=-1))
    assert roster.expired(NOW + timedelta(days=14))
    assert not changes.issue(roster, NOW + timedelta(days=13)).expired(NOW + timedelta(days=20))


def _refusal(roster: Roster, kid: str, at: Position, slug: str = AWO) -> str:
    found = roster.key_for(slug, kid, STREAM, at)
    return found.code if isinstance(found, Refusal) else "valid"


def test_a_key_speaks_from_its_beginning_to_its_end() -> None:
    """Positions decide: the old key to its end, the new one from its beginning, both in between."""
    old, new = identity(AWO), identity(AWO, 1)
    roster = changes.rotate(network(AWO, VHS), AWO, new.public, {STREAM: Position(1, 17)})
    assert _refusal(roster, new.kid, Position(1, 17)) == "key_not_valid_here"
    assert _refusal(roster, new.kid, Position(1, 18)) == _refusal(roster, old.kid, Position(1, 19)) == "valid"
    roster = changes.revoke(roster, AWO, old.kid, {STREAM: Position(1, 20)})
    assert _refusal(roster, old.kid, Position(1, 20)) == _refusal(roster, new.kid, Position(2, 1)) == "valid"
    for at in (Position(1, 21), Position(2, 1)):
        assert _refusal(roster, old.kid, at) == "key_not_valid_here"
    assert _refusal(roster, identity(VHS).kid, Position(1, 1)) == "unknown_key"
    assert _refusal(roster, identity(KARGAH).kid, Position(1, 1), KARGAH) == "unknown_institution"


def test_a_revoked_key_opens_no_new_stream() -> None:
    """A stream that the revocation does not name ends at its very beginning for the old key."""
    old = identity(AWO)
    roster = changes.rotate(network(AWO), AWO, identity(AWO, 1).public, {})
    roster = changes.revoke(roster, AWO, old.kid, {})
    assert _refusal(roster, old.kid, Position(1, 1)) == "key_not_valid_here"
    assert _refusal(roster, identity(AWO, 1).kid, Position(1, 1)) == "valid"


def test_a_second_revocation_never_makes_a_key_speak_longer() -> None:
    """Ended stays ended, whatever the heads are by then; an earlier end is taken."""
    kid = identity(AWO).kid
    roster = changes.revoke(network(AWO), AWO, kid, {STREAM: Position(1, 5)})
    later = changes.revoke(roster, AWO, kid, {STREAM: Position(1, 9), STREAM + "x": Position(1, 9)})
    assert later == roster
    earlier = changes.revoke(roster, AWO, kid, {STREAM: Position(1, 2)})
    assert _refusal(earlier, kid, Position(1, 3)) == "key_not_valid_here"


def test_who_is_suspended_or_left_keeps_what_was_said_and_says_nothing_new() -> None:
    """Behind the cut nothing is taken until the institution is active again."""
    kid = identity(AWO).kid
    for change, status in ((changes.suspend, Status.SUSPENDED), (changes.leave, Status.LEFT)):
        roster = change(network(AWO), AWO, {STREAM: Position(1, 5)})
        member = roster.member(AWO)
        assert member is not None
        assert member.status is status
        assert _refusal(roster, kid, Position(1, 5)) == "valid"
        assert (
            _refusal(roster, kid, Position(1, 6)) == _refusal(roster, kid, Position(2, 1)) == "institution_not_active"
        )
        assert _refusal(changes.reinstate(roster, AWO), kid, Position(1, 6)) == "valid"
    nothing_said = changes.suspend(network(AWO), AWO, {})
    assert _refusal(nothing_said, kid, Position(1, 1)) == "institution_not_active"


def test_who_left_comes_back_with_new_keys() -> None:
    """The keys from before do not speak again, in no stream, and what they said stays."""
    gone = changes.leave(network(AWO), AWO, {STREAM: Position(1, 5)})
    with pytest.raises(changes.ChangeRefused):
        changes.admit(network(AWO), AWO, identity(AWO, 1).public)
    back = changes.admit(gone, AWO, identity(AWO, 1).public, {STREAM: Position(1, 5)})
    assert _refusal(back, identity(AWO).kid, Position(1, 5)) == "valid"
    assert _refusal(back, identity(AWO).kid, Position(1, 6)) == "key_not_valid_here"
    assert _refusal(back, identity(AWO, 1).kid, Position(1, 6)) == "valid"


def test_boxes_are_sealed_for_the_newest_key_that_is_not_revoked() -> None:
    """Also while both keys of a rotation speak; for nobody where all keys are revoked."""
    old, new = identity(AWO), identity(AWO, 1)

    def sealed_for(roster: Roster) -> str | None:
        member = roster.member(AWO)
        assert member is not None
        return member.box_key.kid if member.box_key else None

    roster = network(AWO)
    rotated = changes.rotate(roster, AWO, new.public, {})
    assert (sealed_for(roster), sealed_for(rotated)) == (old.kid, new.kid)
    assert sealed_for(changes.revoke(rotated, AWO, new.kid, {})) == old.kid
    assert sealed_for(changes.revoke(roster, AWO, old.kid, {})) is None


def test_changes_of_what_is_not_there_are_refused() -> None:
    """The office's commands say what is wrong instead of changing nothing."""
    attempts: tuple[Callable[[], Roster], ...] = (
        lambda: changes.suspend(network(AWO), VHS, {}),
        lambda: changes.revoke(network(AWO), AWO, "0" * 16, {}),
        lambda: changes.rotate(network(AWO, VHS), AWO, identity(VHS).public, {}),
    )
    for do in attempts:
        with pytest.raises(changes.ChangeRefused):
            do()
