"""What is demanded after the chaos: each kind of harm is found and named."""

from typing import Any

from deploy.chaos.__main__ import _new_epochs
from deploy.chaos.demands import Verdict, _look_at, compare
from deploy.chaos.writer import Ledger
from shared.contract import members
from shared.contract.envelope import encode
from shared.contract.words import InstitutionState
from shared.kit.clock import SystemClock
from shared.kit.streams import Position

PUB = "album:1:pub:{office}:members"


def _ledger() -> Ledger:
    ledger = Ledger()
    ledger.note("kargah", "run", "run_1", 3, "Deutsch")
    return ledger


def _seen(version: int = 3, title: str = "Deutsch") -> dict[str, dict[str, Any]]:
    return {"run_1": {"institution": "kargah", "version": version, "run": {"run_id": "run_1", "title": title}}}


def _wrong(**pictures: dict[str, dict[str, Any]]) -> dict[str, int]:
    verdict = Verdict()
    compare(pictures, _ledger(), verdict)
    return {name: count for name, count in verdict.counts().items() if count}


def _payload(id_: str, version: int) -> bytes:
    picture = members.InstitutionPicture(slug="awo", name="AWO", state=InstitutionState.ACTIVE)
    message = members.InstitutionChanged(institution="office", version=version, picture=picture)
    return encode(message, id=id_, time=SystemClock().now())


def _stream(*entries: tuple[int, int, str, int]) -> dict[str, int]:
    verdict = Verdict()
    _look_at("hub", PUB, [(Position(epoch, seq), _payload(id_, v)) for epoch, seq, id_, v in entries], verdict)
    return {name: count for name, count in verdict.counts().items() if count}


def test_equal_tables_that_hold_all_that_was_acknowledged_are_well() -> None:
    """Nothing is wrong where nothing is."""
    assert _wrong(office=_seen(), kargah=_seen()) == {}


def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    """A thing that lacks, an older version, and other words under the same version."""
    assert _wrong(office={}, kargah={}) == {"lost": 2}
    assert _wrong(office=_seen(2), kargah=_seen(2)) == {"lost": 2}
    assert _wrong(office=_seen(title="Englisch"), kargah=_seen(title="Englisch")) == {"lost": 2}


def test_a_version_that_nobody_asked_for_is_wrong_unless_an_answer_never_came() -> None:
    """More versions than commands are a command that was done twice."""
    assert _wrong(office=_seen(4), kargah=_seen(4)) == {"lost": 2}
    ledger, verdict = _ledger(), Verdict()
    ledger.open["run_1"] += 1
    compare({"office": _seen(4), "kargah": _seen(4)}, ledger, verdict)
    assert verdict.words == []


def test_nodes_that_see_different_things_are_named() -> None:
    """Equal means equal in every field."""
    assert _wrong(office=_seen(), kargah={**_seen(), "run_2": _seen()["run_1"]}) == {"unequal": 1}


def test_gaps_doubles_and_falling_versions_are_found_in_a_stream() -> None:
    """A new epoch begins with 1 and is no gap."""
    assert _stream((1, 1, "a", 1), (1, 2, "b", 2), (2, 1, "c", 3)) == {}
    assert _stream((1, 1, "a", 1), (1, 3, "b", 2)) == {"gaps": 1}
    assert _stream((1, 1, "a", 1), (1, 2, "a", 1)) == {"doubled": 1}
    assert _stream((1, 1, "a", 2), (1, 2, "b", 1)) == {"doubled": 1}


def test_a_restored_stream_that_goes_on_in_its_old_epoch_is_named() -> None:
    """One that told nothing since may stand where it stood."""
    rounds = [{"fault": "restore_backup", "ends": {PUB: "1-9"}}]
    for end, count in (("1-9", 0), ("2-1", 0), ("1-12", 1)):
        verdict = Verdict()
        _new_epochs(rounds, {PUB: end}, verdict)
        assert len(verdict.gaps) == count
