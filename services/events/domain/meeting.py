"""Series and meetings: how a meeting lives, and what everybody may see of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from services.events.domain.refusal import Misfit, Refused
from shared.contract.events import MeetingPicture
from shared.contract.words import FIRST_MOMENT, Availability, MeetingKind, MeetingState, Place, WaitingBand
from shared.seats.rule import Seats

Step = Literal["publish", "postpone", "cancel", "hold"]
State = MeetingState

STEPS: Mapping[Step, tuple[frozenset[MeetingState], MeetingState]] = MappingProxyType(
    {
        "publish": (frozenset({State.DRAFT}), State.PUBLISHED),
        "postpone": (frozenset({State.PUBLISHED}), State.POSTPONED),
        "cancel": (frozenset({State.PUBLISHED, State.POSTPONED}), State.CANCELLED),
        "hold": (frozenset({State.PUBLISHED}), State.HELD),
    }
)
OVER = frozenset({State.HELD, State.CANCELLED})
MATTERING = ("title", "starts", "ends", "place")
USUAL_LENGTH = timedelta(hours=3)
"""How long a meeting is taken to last where nobody said when it ends."""
NOWHERE = Place()


@dataclass(frozen=True)
class Series:
    """Meetings that belong together, such as the Diversity network's."""

    id: str
    institution: str
    title: str
    kind: MeetingKind


@dataclass(frozen=True)
class Meeting:
    """Something people attend; `limit` is how many of the seats are given here, None for all of them."""

    id: str
    institution: str
    kind: MeetingKind
    title: str
    starts: datetime
    capacity: int
    limit: int | None = None
    state: MeetingState = MeetingState.DRAFT
    series_id: str | None = None
    series_title: str | None = None
    description: str | None = None
    ends: datetime | None = None
    place: Place = NOWHERE
    interests: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    reason: str | None = None
    taken: int = 0
    held: int = 0
    waiting: int = 0
    counted_at: datetime | None = None
    version: int = 0

    @property
    def seats_given(self) -> int:
        """Give how many seats people may have."""
        return self.capacity if self.limit is None else min(self.limit, self.capacity)

    @property
    def ends_at(self) -> datetime:
        """Give when the meeting is over."""
        return self.ends or self.starts + USUAL_LENGTH


def planned(meeting: Meeting) -> Meeting:
    """Give the meeting if its plan is possible; raises Misfit, or Refused where seats are given away already."""
    if meeting.ends is not None and meeting.ends <= meeting.starts:
        raise Misfit("meeting_ends_before_it_starts", "the meeting ends before it has started")
    if meeting.capacity < 1:
        raise Misfit("no_seats", "a meeting needs at least one seat")
    if meeting.limit is not None and not 1 <= meeting.limit <= meeting.capacity:
        raise Misfit("limit_beyond_capacity", "the limit lies between one and the capacity")
    given_away = meeting.taken + meeting.held
    if meeting.seats_given < given_away:
        raise Refused("seats_are_taken", f"{given_away} seats are given away already; there cannot be fewer")
    return meeting


def step(meeting: Meeting, name: Step, now: datetime, reason: str | None = None) -> Meeting:
    """Take the meeting one step on in its life; raises Refused with `meeting_is_<state>` or a code for its time."""
    before, after = STEPS[name]
    if meeting.state not in before:
        sentence = f"the meeting is {meeting.state}; '{name}' is not possible any more or not yet"
        raise Refused(f"meeting_is_{meeting.state}", sentence)
    if name == "publish":
        _check_ahead(meeting, now)
    if name == "hold" and now < meeting.starts:
        raise Refused("meeting_is_ahead", "the meeting has not begun; it cannot have been held")
    if name == "cancel":
        return replace(meeting, state=after, reason=reason, taken=0, held=0, waiting=0)
    if name == "hold":
        return replace(meeting, state=after, held=0, waiting=0)
    return replace(meeting, state=after, reason=reason)


def at_new_time(meeting: Meeting, starts: datetime, ends: datetime | None, now: datetime) -> Meeting:
    """Publish a postponed meeting again at another time, as long as before where no end is given."""
    if meeting.state is not State.POSTPONED:
        raise Refused(f"meeting_is_{meeting.state}", f"the meeting is {meeting.state} and not postponed")
    if ends is None and meeting.ends is not None:
        ends = starts + (meeting.ends - meeting.starts)
    moved = planned(replace(meeting, state=State.PUBLISHED, starts=starts, ends=ends, reason=None))
    _check_ahead(moved, now)
    return moved


def change(meeting: Meeting, values: Mapping[str, Any], now: datetime) -> Meeting:
    """Give the meeting with other plans; raises Refused once it is over."""
    if meeting.state in OVER:
        raise Refused(f"meeting_is_{meeting.state}", f"the meeting is {meeting.state} and stays as it was")
    changed = planned(replace(meeting, **values))
    if changed.state is State.PUBLISHED and changed.starts != meeting.starts:
        _check_ahead(changed, now)
    return changed


def _check_ahead(meeting: Meeting, now: datetime) -> None:
    if now >= meeting.starts:
        raise Refused("meeting_is_in_the_past", "the meeting starts in the past; nobody could come any more")


def is_alive(meeting: Meeting, now: datetime) -> bool:
    """Tell whether places can still be taken up or given back: it is ahead, or waits for another time."""
    return meeting.state is State.POSTPONED or is_askable(meeting, now)


def is_askable(meeting: Meeting, now: datetime) -> bool:
    """Tell whether somebody can ask for a seat."""
    return meeting.state is State.PUBLISHED and now < meeting.starts


def check_askable(meeting: Meeting, now: datetime) -> None:
    """Raise Refused where nobody can ask for a seat."""
    if meeting.state is not State.PUBLISHED:
        raise Refused(f"meeting_is_{meeting.state}", f"the meeting is {meeting.state}; nobody can ask for a seat")
    if not is_askable(meeting, now):
        raise Refused("meeting_has_begun", "the meeting has begun; nobody can ask for a seat any more")


def seats_of(meeting: Meeting, now: datetime) -> Seats:
    """Give the meeting's seats; no offer lasts beyond the start."""
    return Seats(
        limit=meeting.seats_given,
        taken=meeting.taken,
        held=meeting.held,
        waiting=meeting.waiting,
        open=is_askable(meeting, now),
        ends=meeting.starts,
    )


def with_seats(meeting: Meeting, seats: Seats) -> Meeting:
    """Give the meeting with other counts of people."""
    return replace(meeting, taken=seats.taken, held=seats.held, waiting=seats.waiting)


def most_unconfirmed(meeting: Meeting) -> int:
    """Give how many people may have asked without confirming: a flood of addresses must not fill the database."""
    return 20 * meeting.capacity + 200


def crowd(meeting: Meeting) -> tuple[int, WaitingBand]:
    """Give what the public sees of the seats: how many are free, and about how many people wait."""
    free = max(0, meeting.seats_given - meeting.taken - meeting.held) if meeting.state is State.PUBLISHED else 0
    return free, WaitingBand.of(meeting.waiting)


def picture(meeting: Meeting, now: datetime) -> MeetingPicture:
    """Give what everybody may see; `now` stands where nobody has counted yet."""
    free, waiting = crowd(meeting)
    return MeetingPicture(
        meeting_id=meeting.id,
        series_id=meeting.series_id,
        series_title=meeting.series_title,
        kind=meeting.kind,
        state=meeting.state,
        title=meeting.title,
        description=meeting.description,
        starts=meeting.starts,
        ends=meeting.ends,
        place=meeting.place,
        interests=meeting.interests,
        languages=meeting.languages,
        capacity=meeting.capacity,
        availability=Availability(free=free, waiting=waiting, as_of=meeting.counted_at or now),
        reason=meeting.reason,
    )


def meeting_as_told(told: MeetingPicture, institution: str, version: int, kept: Meeting | None) -> Meeting:
    """Give the meeting that the network was told of; what it was not told of stays as it is kept."""
    before = kept or Meeting(told.meeting_id, institution, told.kind, told.title, told.starts, told.capacity)
    return replace(
        before,
        kind=told.kind,
        title=told.title,
        state=told.state,
        series_id=told.series_id,
        series_title=told.series_title,
        description=told.description,
        starts=told.starts,
        ends=told.ends,
        place=told.place,
        interests=told.interests,
        languages=told.languages,
        capacity=told.capacity,
        reason=told.reason,
        version=version,
    )


def is_visible_change(before: Meeting, after: Meeting) -> bool:
    """Tell whether the public sees a difference beyond the seats."""

    def without_seats(meeting: Meeting) -> MeetingPicture:
        return picture(replace(meeting, taken=0, held=0, waiting=0, limit=None, counted_at=FIRST_MOMENT), FIRST_MOMENT)

    return without_seats(before) != without_seats(after)


def matters_to_people(before: Meeting, after: Meeting) -> bool:
    """Tell whether those who have a place must hear of the change."""
    return any(getattr(before, name) != getattr(after, name) for name in MATTERING)
