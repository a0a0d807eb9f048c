"""Participant files and entitlements: how fresh they are, and what consent means."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.courses.domain import entitlement as entitlements
from services.courses.domain import participant as files
from services.courses.domain.enrolment import Enrolment, LinkOutcome, LinkPurpose, outlook
from services.courses.domain.entitlement import Entitlement, EntitlementState
from services.courses.domain.participant import Assessed, DayTime, FileState, Participant, Skill
from services.courses.domain.periods import level_valid_months, months_later
from services.courses.domain.refusal import Misfit, Refused
from services.courses.domain.run import Run
from shared.contract.words import EnrolmentState, Level, RunKind, RunState
from shared.seats.rule import Priority

TODAY = date(2027, 1, 11)
NOW = datetime(2027, 1, 11, 8, tzinfo=UTC)
BLANK = Participant("participant_00000001", "vhs-nord", "ar")
FILLED = {"name": "Ada", "goal": "Pflege", "availability": (DayTime.MORNING,)}


def _skills(on: date) -> dict[str, object]:
    return {"skills": tuple((skill, Assessed(Level.B1, on)) for skill in Skill)}


def test_a_file_is_complete_then_current_then_stale() -> None:
    """Without levels it is complete, with four fresh ones current, after six months stale, on the day itself."""
    draft = files.change(BLANK, {}, 6, TODAY)
    complete = files.change(BLANK, FILLED, 6, TODAY)
    current = files.change(complete, _skills(date(2026, 7, 12)), 6, TODAY)
    assert (draft.state, complete.state, current.state) == ("intake_draft", "complete", "current")
    assert files.assessed(current, 6, date(2027, 1, 11)).state is FileState.CURRENT
    assert files.assessed(current, 6, date(2027, 1, 12)).state is FileState.STALE


def test_three_of_four_skills_are_not_enough() -> None:
    """A missing skill leaves the file complete, not current."""
    skills = tuple((skill, Assessed(Level.B1, TODAY)) for skill in list(Skill)[:3])
    assert files.change(BLANK, {**FILLED, "skills": skills}, 6, TODAY).state is FileState.COMPLETE


@pytest.mark.parametrize("contact", [{"mail": "a@example.org"}, {"phone": "0511 1"}])
def test_phone_and_mail_need_consent(contact: dict[str, str]) -> None:
    """Without the consent flag neither is kept; with it both are; taking it back drops them."""
    with pytest.raises(Misfit) as misfit:
        files.change(BLANK, contact, 6, TODAY)
    assert misfit.value.code == "consent_missing"
    kept = files.change(BLANK, {**contact, "contact_consent": True}, 6, TODAY)
    assert (kept.mail or kept.phone) is not None
    dropped = files.change(kept, {"contact_consent": False}, 6, TODAY)
    assert (dropped.mail, dropped.phone) == (None, None)


def test_erasing_leaves_the_id_and_nothing_personal() -> None:
    """Every field but id, institution, version and state is as in a blank file."""
    full = files.change(BLANK, {**FILLED, **_skills(TODAY), "profession": "Bäcker"}, 6, TODAY)
    erased = files.erase(full)
    same = {"id", "institution", "version", "state", "language"}
    assert all(getattr(erased, f.name) == f.default for f in fields(Participant) if f.name not in same)
    assert (erased.id, erased.state, erased.language) == (full.id, FileState.ERASED, "und")
    with pytest.raises(Refused):
        files.change(erased, {"name": "Ada"}, 6, TODAY)


def test_a_closed_file_stays_closed_until_it_is_opened() -> None:
    """The calendar does not move a closed file."""
    closed = files.close(files.change(BLANK, FILLED, 6, TODAY))
    assert files.assessed(closed, 6, TODAY).state is FileState.CLOSED
    assert files.reopen(closed, 6, TODAY).state is FileState.COMPLETE


def test_the_period_of_a_level_is_data() -> None:
    """Six months since 2016 (DeuFöV § 8); a month later than the 31st is the last day of a shorter month."""
    assert level_valid_months(TODAY) == 6
    assert months_later(date(2026, 8, 31), 6) == date(2027, 2, 28)


ENTITLEMENT = Entitlement(
    "entitlement_00000001", "vhs-nord", "participant_00000001", "Jobcenter", True, date(2027, 1, 1), date(2027, 1, 31)
)


@pytest.mark.parametrize(
    ("today", "state"),
    [
        (date(2026, 12, 31), EntitlementState.RECORDED),
        (date(2027, 1, 1), EntitlementState.VALID),
        (date(2027, 1, 31), EntitlementState.VALID),
        (date(2027, 2, 1), EntitlementState.EXPIRED),
    ],
)
def test_an_entitlement_counts_from_its_first_to_its_last_day(today: date, state: EntitlementState) -> None:
    """Both ends belong to it."""
    assert entitlements.dated(ENTITLEMENT, today).state is state


def test_the_best_entitlement_decides_the_class() -> None:
    """One that obliges comes first; what is not valid on the day does not count."""
    free = replace(ENTITLEMENT, id="entitlement_00000002", obliged=False, valid_until=date(2027, 12, 31))
    assert entitlements.best([free, ENTITLEMENT], TODAY) == ENTITLEMENT
    assert entitlements.priority_of(entitlements.best([free, ENTITLEMENT], date(2027, 2, 1))) is Priority.ENTITLED
    assert entitlements.priority_of(entitlements.best([], TODAY)) is Priority.OTHER


def test_an_entitlement_is_used_once_and_comes_back_with_a_cancelled_run() -> None:
    """Used, then valid again; a revoked one stays revoked and is not revoked twice."""
    used = entitlements.use(entitlements.dated(ENTITLEMENT, TODAY))
    assert used.state is EntitlementState.USED
    assert entitlements.give_back(used, TODAY).state is EntitlementState.VALID
    revoked = entitlements.revoke(ENTITLEMENT)
    assert entitlements.use(revoked) == revoked
    with pytest.raises(Refused):
        entitlements.revoke(revoked)


S = EnrolmentState


@pytest.mark.parametrize(
    ("purpose", "state", "outcome"),
    [
        ("accept", S.OFFERED, None),
        ("accept", S.ENROLLED, "already_done"),
        ("accept", S.EXPIRED, "too_late"),
        ("accept", S.WAITING, "too_late"),
        ("decline", S.OFFERED, None),
        ("decline", S.WITHDRAWN, "already_done"),
        ("decline", S.ENROLLED, "too_late"),
        ("cancel", S.ENROLLED, None),
        ("cancel", S.WAITING, None),
        ("cancel", S.WITHDRAWN, "already_done"),
        ("again", S.EXPIRED, None),
        ("again", S.WITHDRAWN, None),
        ("again", S.WAITING, "already_done"),
        ("again", S.REJECTED, "too_late"),
    ],
)
def test_a_link_says_what_it_would_come_to(purpose: LinkPurpose, state: S, outcome: LinkOutcome | None) -> None:
    """Each purpose in each state is open, done already, or too late."""
    run = Run("run_00000001", "vhs-nord", "offer_00000001", "1", "D", RunKind.OTHER, 1, state=RunState.PUBLISHED)
    until = NOW + timedelta(hours=1) if state is S.OFFERED else None
    enrolment = Enrolment("enrolment_00000001", "vhs-nord", run.id, "p", Priority.OTHER, NOW, state, until)
    assert outlook(purpose, enrolment, run, NOW) == outcome
    if outcome is None:
        assert outlook(purpose, enrolment, replace(run, state=RunState.CANCELLED), NOW) == "too_late"
