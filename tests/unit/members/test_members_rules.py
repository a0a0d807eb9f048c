"""The rules of members: how institutions and projects live, and what a key is."""

from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import product
from typing import Any

import pytest

from services.members.domain import institution, key, project
from services.members.domain.refusal import Misfit, Refused
from shared.contract.words import FieldOfAction, InstitutionState, ProjectState

NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
PLAN: dict[str, Any] = {
    "title": "Wir leben in Hannover",
    "field_of_action": FieldOfAction.DIALOGUE,
    "starts_on": date(2027, 1, 1),
}
STEPS = {
    (InstitutionState.APPLIED, InstitutionState.ADMITTED),
    (InstitutionState.ADMITTED, InstitutionState.ACTIVE),
    (InstitutionState.ACTIVE, InstitutionState.SUSPENDED),
    (InstitutionState.SUSPENDED, InstitutionState.ACTIVE),
    (InstitutionState.APPLIED, InstitutionState.LEFT),
    (InstitutionState.ADMITTED, InstitutionState.LEFT),
    (InstitutionState.ACTIVE, InstitutionState.LEFT),
    (InstitutionState.SUSPENDED, InstitutionState.LEFT),
}


@pytest.mark.parametrize(("before", "after"), list(product(InstitutionState, InstitutionState)))
def test_an_institution_takes_the_steps_of_its_life_alone(before: InstitutionState, after: InstitutionState) -> None:
    """All pairs of states: the known steps grow the version, the others are refused."""
    one = institution.new("kargah", {"name": "kargah e.V."}, before)
    if (before, after) in STEPS:
        moved = institution.move(one, after)
        assert (moved.picture.state, moved.version) == (after, 2)
        return
    with pytest.raises(Refused):
        institution.move(one, after)


def test_a_quarter_lies_in_its_district() -> None:
    """The district is filled in, the right one is taken, a wrong one is refused; without a quarter any is fine."""
    one = institution.new("kargah", {"name": "k", "quarter": "Zoo"})
    assert one.picture.district == "Mitte"
    assert institution.change_profile(one, {"district": "Mitte"}).picture.quarter == "Zoo"
    with pytest.raises(Misfit, match="does not lie in"):
        institution.change_profile(one, {"district": "Nord"})
    assert institution.change_profile(one, {"district": "Nord", "quarter": None}).picture.district == "Nord"


def test_who_left_changes_nothing_any_more() -> None:
    """Neither the profile nor the statute."""
    gone = institution.new("kargah", {"name": "k"}, InstitutionState.LEFT)
    with pytest.raises(Refused):
        institution.change_profile(gone, {"about": "x"})
    with pytest.raises(Refused):
        institution.accept_statute(gone, "2021", NOW.date())


@pytest.mark.parametrize(("before", "after"), list(product(ProjectState, ProjectState)))
def test_a_project_is_started_and_ended_in_this_order(before: ProjectState, after: ProjectState) -> None:
    """All pairs of states."""
    one = project.new("project_00000000", "kargah", PLAN)
    one = project.Project("kargah", one.picture.model_copy(update={"state": before}), 1)
    if (before, after) in {(ProjectState.PLANNED, ProjectState.RUNNING), (ProjectState.RUNNING, ProjectState.ENDED)}:
        assert project.move(one, after).version == 2
        return
    with pytest.raises(Refused):
        project.move(one, after)


def test_a_project_may_end_on_the_day_it_starts_and_not_before() -> None:
    """The period is checked when it is planned and when it changes."""
    one = project.new("project_00000000", "kargah", PLAN | {"ends_on": PLAN["starts_on"]})
    with pytest.raises(Misfit, match="before it starts"):
        project.change(one, {"ends_on": date(2026, 12, 31)})
    with pytest.raises(Misfit, match="title"):
        project.change(one, {"title": None})


def test_a_key_is_kept_as_its_hash_with_its_scopes_in_order() -> None:
    """What is shown once cannot be made from what is kept."""
    kept, secret = key.issue("key_00000000", "kargah", ["write", "read", "write"], "r" * 43, "office", NOW)
    assert secret == f"album_key_00000000_{'r' * 43}"
    assert kept.sha256 == sha256(secret.encode()).hexdigest()
    assert kept.scopes == ("read", "write")
    revoked = key.revoke(kept, NOW)
    assert (revoked.revoked_at, revoked.version) == (NOW, 2)
    with pytest.raises(Refused):
        key.revoke(revoked, NOW)
    with pytest.raises(Misfit):
        key.issue("key_00000000", "kargah", ["office"], "r" * 43, "office", NOW)
