"""A participant's way through a run: how its states stand to seats, and which step leads where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from services.courses.domain.refusal import Refused
from services.courses.domain.run import ASKABLE, Run, is_over
from shared.contract.courses import EnrolmentChanged
from shared.contract.words import EnrolmentState
from shared.seats.rule import Place, PlaceState, Priority

State = EnrolmentState
Leaving = Literal["withdraw", "reject", "drop"]
Onward = Literal["attend", "complete"]
LinkPurpose = Literal["accept", "decline", "cancel", "again"]
LinkOutcome = Literal["done", "already_done", "too_late", "full"]

PLACES: Mapping[EnrolmentState, PlaceState] = MappingProxyType(
    {
        State.WAITING: PlaceState.WAITING,
        State.OFFERED: PlaceState.OFFERED,
        State.ENROLLED: PlaceState.SEATED,
        State.ATTENDING: PlaceState.SEATED,
        State.EXPIRED: PlaceState.EXPIRED,
    }
)
_STATES = {
    PlaceState.WAITING: State.WAITING,
    PlaceState.OFFERED: State.OFFERED,
    PlaceState.SEATED: State.ENROLLED,
    PlaceState.EXPIRED: State.EXPIRED,
}
SEATED = frozenset({State.ENROLLED, State.ATTENDING})
UNSEATED = frozenset({State.WAITING, State.OFFERED})
OPEN = SEATED | UNSEATED
# Whoever completed a run, or went to another provider, does not come back by asking twice.
COMES_BACK = frozenset({State.WITHDRAWN, State.EXPIRED, State.DROPPED, State.REJECTED})

LEAVING: Mapping[Leaving, tuple[frozenset[EnrolmentState], EnrolmentState]] = MappingProxyType(
    {
        "withdraw": (OPEN, State.WITHDRAWN),
        "reject": (UNSEATED, State.REJECTED),
        "drop": (SEATED, State.DROPPED),
    }
)
ONWARD: Mapping[Onward, tuple[frozenset[EnrolmentState], EnrolmentState]] = MappingProxyType(
    {
        "attend": (frozenset({State.ENROLLED}), State.ATTENDING),
        "complete": (SEATED, State.COMPLETED),
    }
)


@dataclass(frozen=True)
class Enrolment:
    """One participant in one run; `since` orders the queue within a priority."""

    id: str
    institution: str
    run_id: str
    participant_id: str
    priority: Priority
    since: datetime
    state: EnrolmentState = EnrolmentState.APPLIED
    offered_until: datetime | None = None
    entitlement_id: str | None = None
    referral_id: str | None = None
    reason: str | None = None
    version: int = 0


def enrolment_as_told(told: EnrolmentChanged, asked: datetime, kept: Enrolment) -> Enrolment:
    """Give the enrolment that was told; what was not told of it stays, and who began to wait waits since `asked`."""
    began = told.state is State.WAITING and not (kept.version and kept.state is State.WAITING)
    return replace(
        kept,
        state=told.state,
        since=asked if began else kept.since,
        offered_until=told.offered_until,
        reason=told.reason,
        version=told.version,
    )


def place_of(enrolment: Enrolment) -> Place:
    """Give the place that an enrolment is; what has ended and may come back is gone."""
    state = PLACES.get(enrolment.state, PlaceState.GONE)
    return Place(enrolment.id, state, enrolment.priority, enrolment.since, enrolment.offered_until)


def with_place(enrolment: Enrolment, place: Place, left_as: EnrolmentState = State.WITHDRAWN) -> Enrolment:
    """Give the enrolment as its place is now; `left_as` names how somebody left."""
    return replace(
        enrolment,
        state=_STATES.get(place.state, left_as),
        priority=place.priority,
        since=place.since,
        offered_until=place.offered_until,
    )


def check_leaving(enrolment: Enrolment, way: Leaving) -> EnrolmentState:
    """Give the state after leaving; raises Refused with `enrolment_is_<state>`."""
    return _next(enrolment, way, *LEAVING[way])


def progress(enrolment: Enrolment, way: Onward) -> Enrolment:
    """Take an enrolment on without touching seats; raises Refused with `enrolment_is_<state>`."""
    return replace(enrolment, state=_next(enrolment, way, *ONWARD[way]))


def _next(enrolment: Enrolment, way: str, before: frozenset[EnrolmentState], after: EnrolmentState) -> EnrolmentState:
    if enrolment.state not in before:
        raise Refused(f"enrolment_is_{enrolment.state}", f"the enrolment is {enrolment.state}; '{way}' is not possible")
    return after


def outlook(purpose: LinkPurpose, enrolment: Enrolment, run: Run, now: datetime) -> LinkOutcome | None:
    """Tell what a link would come to where asking makes no sense any more, or None where it does."""
    place = place_of(enrolment).state
    if _is_done(purpose, place):
        return "already_done"
    if run.state not in ASKABLE or is_over(run, now):
        return "too_late"
    if purpose in ("accept", "decline"):
        offered = place is PlaceState.OFFERED and enrolment.offered_until is not None and now < enrolment.offered_until
        return None if offered else "too_late"
    if purpose == "cancel":
        return None if enrolment.state in OPEN else "too_late"
    return None if enrolment.state in (State.EXPIRED, State.WITHDRAWN) else "too_late"


def _is_done(purpose: LinkPurpose, place: PlaceState) -> bool:
    return {
        "accept": place is PlaceState.SEATED,
        "decline": place is PlaceState.GONE,
        "cancel": place is PlaceState.GONE,
        "again": place in (PlaceState.WAITING, PlaceState.OFFERED, PlaceState.SEATED),
    }[purpose]
