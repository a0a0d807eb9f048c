"""Offers and their dated editions, the runs: how a run lives, and what everybody may see of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any, Literal

from services.courses.domain.refusal import Misfit, Refused
from shared.contract.courses import RunPicture
from shared.contract.words import (
    FIRST_MOMENT,
    Availability,
    FieldOfAction,
    Level,
    Place,
    RunKind,
    RunState,
    Session,
    WaitingBand,
)
from shared.contract.zone import BERLIN
from shared.seats.rule import Seats

Step = Literal["publish", "confirm", "start", "complete", "cancel"]

STEPS: Mapping[Step, tuple[frozenset[RunState], RunState]] = MappingProxyType(
    {
        "publish": (frozenset({RunState.DRAFT}), RunState.PUBLISHED),
        "confirm": (frozenset({RunState.PUBLISHED}), RunState.CONFIRMED),
        "start": (frozenset({RunState.CONFIRMED}), RunState.RUNNING),
        "complete": (frozenset({RunState.RUNNING}), RunState.COMPLETED),
        "cancel": (frozenset({RunState.PUBLISHED, RunState.CONFIRMED}), RunState.CANCELLED),
    }
)
ASKABLE = frozenset({RunState.PUBLISHED, RunState.CONFIRMED, RunState.RUNNING})
OVER = frozenset({RunState.COMPLETED, RunState.CANCELLED})
NOWHERE = Place()
FIELDS: Mapping[RunKind, FieldOfAction] = MappingProxyType(
    {
        RunKind.DEUFOEV_BASIS: FieldOfAction.LANGUAGE_SUPPORT,
        RunKind.DEUFOEV_SPECIAL: FieldOfAction.LANGUAGE_SUPPORT,
        RunKind.DEUFOEV_JOB_BSK: FieldOfAction.LANGUAGE_SUPPORT,
        RunKind.DEUTSCH_360: FieldOfAction.LANGUAGE_SUPPORT,
    }
)
"""The field of action of a run that names none; a course of another kind may belong anywhere."""
MATTERING = ("title", "sessions", "place")


@dataclass(frozen=True)
class Offer:
    """A course as it is described, without dates."""

    id: str
    institution: str
    title: str
    kind: RunKind
    from_level: Level | None = None
    to_level: Level | None = None
    ue: int = 0
    description: str | None = None


@dataclass(frozen=True)
class Run:
    """One dated edition of an offer; `registered_elsewhere` are people whom the institution's own software seated."""

    id: str
    institution: str
    offer_id: str
    number: str
    title: str
    kind: RunKind
    capacity: int
    state: RunState = RunState.DRAFT
    description: str | None = None
    field_of_action: FieldOfAction | None = None
    from_level: Level | None = None
    to_level: Level | None = None
    ue: int = 0
    starts_on: date | None = None
    ends_on: date | None = None
    sessions: tuple[Session, ...] = ()
    place: Place = NOWHERE
    part_time: bool = False
    mornings: bool = False
    childcare: bool = False
    minimum: int = 0
    registered_elsewhere: int = 0
    cancelled_reason: str | None = None
    taken: int = 0
    held: int = 0
    waiting: int = 0
    counted_at: datetime | None = None
    version: int = 0

    @property
    def limit(self) -> int:
        """Give how many seats this network may give: what is not taken elsewhere."""
        return max(0, self.capacity - self.registered_elsewhere)

    @property
    def starts_at(self) -> datetime | None:
        """Give when the first session starts."""
        if self.sessions:
            return self.sessions[0].starts
        return _midnight(self.starts_on) if self.starts_on else None

    @property
    def ends_at(self) -> datetime | None:
        """Give when the last session ends."""
        if self.sessions:
            return max(session.ends for session in self.sessions)
        last = self.ends_on or self.starts_on
        return _midnight(last + timedelta(days=1)) if last else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), BERLIN)


def planned(run: Run) -> Run:
    """Give the run with its sessions in order and its days taken from them; raises Misfit for impossible times."""
    if any(session.ends <= session.starts for session in run.sessions):
        raise Misfit("session_ends_before_it_starts", "a session ends before it has started")
    sessions = tuple(sorted(run.sessions, key=lambda session: (session.starts, session.ends)))
    if sessions:
        first, last = sessions[0].starts, max(session.ends for session in sessions)
        days = first.astimezone(BERLIN).date(), last.astimezone(BERLIN).date()
        return replace(run, sessions=sessions, starts_on=days[0], ends_on=days[1])
    if run.starts_on and run.ends_on and run.ends_on < run.starts_on:
        raise Misfit("run_ends_before_it_starts", "the run ends before it has started")
    return run


def step(run: Run, name: Step, reason: str | None = None) -> Run:
    """Take the run one step on in its life; raises Refused with `run_is_<state>` where the step leads nowhere."""
    before, after = STEPS[name]
    if run.state not in before:
        raise Refused(f"run_is_{run.state}", f"the run is {run.state}; '{name}' is not possible any more or not yet")
    if name != "cancel":
        return replace(run, state=after)
    return replace(run, state=after, cancelled_reason=reason, taken=0, held=0, waiting=0)


def change(run: Run, values: Mapping[str, Any]) -> Run:
    """Give the run with other plans; raises Refused once it is over."""
    if run.state in OVER:
        raise Refused(f"run_is_{run.state}", f"the run is {run.state} and stays as it was")
    return planned(replace(run, **values))


def is_over(run: Run, now: datetime) -> bool:
    """Tell whether the last session lies behind us."""
    return run.ends_at is not None and now >= run.ends_at


def seats_of(run: Run, now: datetime) -> Seats:
    """Give the run's seats; before the start no offer lasts beyond it, afterwards none beyond the end."""
    begun = run.starts_at is not None and now >= run.starts_at
    return Seats(
        limit=run.limit,
        taken=run.taken,
        held=run.held,
        waiting=run.waiting,
        open=run.state in ASKABLE and not is_over(run, now),
        ends=run.ends_at if begun else run.starts_at,
    )


def with_seats(run: Run, seats: Seats) -> Run:
    """Give the run with other counts of people."""
    return replace(run, taken=seats.taken, held=seats.held, waiting=seats.waiting)


def check_askable(run: Run, now: datetime) -> None:
    """Raise Refused where nobody can ask for a seat."""
    if run.state not in ASKABLE:
        raise Refused(f"run_is_{run.state}", f"the run is {run.state}; nobody can ask for a seat")
    if is_over(run, now):
        raise Refused("run_is_over", "the last session of the run is over; nobody can ask for a seat")


def reaches_minimum(run: Run, now: datetime) -> bool:
    """Tell whether a published run has enough people to take place; what is over needs no confirmation."""
    enough = 0 < run.minimum <= run.taken + run.registered_elsewhere
    return run.state is RunState.PUBLISHED and enough and not is_over(run, now)


def free_of(run: Run) -> int:
    """Give how many seats somebody could have at once."""
    return max(0, run.limit - run.taken - run.held) if run.state in ASKABLE else 0


def crowd(run: Run) -> tuple[int, WaitingBand]:
    """Give what the public sees of the seats: how many are free, and about how many people wait."""
    return free_of(run), WaitingBand.of(run.waiting)


def picture(run: Run, now: datetime) -> RunPicture:
    """Give what everybody may see; `now` stands where nobody has counted yet."""
    free, waiting = crowd(run)
    return RunPicture(
        run_id=run.id,
        offer_id=run.offer_id,
        number=run.number,
        title=run.title,
        description=run.description,
        kind=run.kind,
        field_of_action=run.field_of_action or FIELDS.get(run.kind),
        state=run.state,
        from_level=run.from_level,
        to_level=run.to_level,
        ue=run.ue,
        starts_on=run.starts_on,
        ends_on=run.ends_on,
        sessions=run.sessions,
        place=run.place,
        part_time=run.part_time,
        mornings=run.mornings,
        childcare=run.childcare,
        minimum=run.minimum,
        capacity=run.capacity,
        availability=Availability(free=free, waiting=waiting, as_of=run.counted_at or now),
        cancelled_reason=run.cancelled_reason,
    )


def run_as_told(told: RunPicture, institution: str, version: int, kept: Run | None) -> Run:
    """Give the run that the network was told of; what it was not told of stays as it is kept."""
    before = kept or Run(told.run_id, institution, told.offer_id, told.number, told.title, told.kind, told.capacity)
    return replace(
        before,
        number=told.number,
        title=told.title,
        description=told.description,
        kind=told.kind,
        field_of_action=told.field_of_action,
        state=told.state,
        from_level=told.from_level,
        to_level=told.to_level,
        ue=told.ue,
        starts_on=told.starts_on,
        ends_on=told.ends_on,
        sessions=told.sessions,
        place=told.place,
        part_time=told.part_time,
        mornings=told.mornings,
        childcare=told.childcare,
        minimum=told.minimum,
        capacity=told.capacity,
        cancelled_reason=told.cancelled_reason,
        version=version,
    )


def first_day(told: RunPicture) -> date | None:
    """Give the day on which a run of anybody's begins, where that is told."""
    if told.starts_on is not None or not told.sessions:
        return told.starts_on
    return min(session.starts for session in told.sessions).astimezone(BERLIN).date()


def is_visible_change(before: Run, after: Run) -> bool:
    """Tell whether the public sees a difference beyond the seats."""
    same = {"taken": 0, "held": 0, "waiting": 0, "registered_elsewhere": 0, "counted_at": FIRST_MOMENT}
    was, becomes = (picture(replace(run, **same), FIRST_MOMENT) for run in (before, after))  # type: ignore[arg-type]  # the names decide the types
    return was != becomes


def matters_to_people(before: Run, after: Run) -> bool:
    """Tell whether those who have a place must hear of the change."""
    return any(getattr(before, name) != getattr(after, name) for name in MATTERING)
