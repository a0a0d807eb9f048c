"""A person's way through a meeting: how its states stand to seats, and which step leads where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from services.events.domain.meeting import Meeting, is_alive, is_askable
from services.events.domain.refusal import Refused
from shared.contract.events import RegistrationChanged
from shared.contract.words import MeetingState, RegistrationState
from shared.seats.rule import Place, PlaceState, Priority

State = RegistrationState
Onward = Literal["attended", "no_show"]
LinkPurpose = Literal["accept", "decline", "cancel", "confirm", "again"]
LinkOutcome = Literal["done", "already_done", "too_late", "full"]

CONFIRM_TIME = timedelta(days=7)
ASK_AGAIN_AFTER = timedelta(minutes=10)
MOST_ASKED = 3
"""How often a registration is followed by a mail that asks to confirm it."""
MOST_UNCONFIRMED_OF_ONE = 5
"""At how many meetings of an institution one address may be unconfirmed: nobody's mailbox is filled by others."""

PLACES: Mapping[RegistrationState, PlaceState] = MappingProxyType(
    {
        State.WAITING: PlaceState.WAITING,
        State.OFFERED: PlaceState.OFFERED,
        State.REGISTERED: PlaceState.SEATED,
        State.ATTENDED: PlaceState.SEATED,
        State.NO_SHOW: PlaceState.SEATED,
        State.EXPIRED: PlaceState.EXPIRED,
    }
)
_STATES = {
    PlaceState.WAITING: State.WAITING,
    PlaceState.OFFERED: State.OFFERED,
    PlaceState.SEATED: State.REGISTERED,
    PlaceState.EXPIRED: State.EXPIRED,
    PlaceState.GONE: State.CANCELLED,
}
OPEN = frozenset({State.REGISTERED, State.WAITING, State.OFFERED})
QUEUED = frozenset({State.WAITING, State.OFFERED})
SEATED = frozenset({State.REGISTERED, State.ATTENDED, State.NO_SHOW})
CURRENT = OPEN | SEATED | {State.UNCONFIRMED}
"""While one of these holds, the same person cannot ask for the same meeting once more."""


@dataclass(frozen=True)
class Participant:
    """A person who asked to attend, and how to reach them: an address is one person within an institution."""

    id: str
    institution: str
    name: str
    mail: str
    language: str
    version: int = 1

    @property
    def mail_key(self) -> str:
        """Give the address as it is compared."""
        return mail_key(self.mail)


@dataclass(frozen=True)
class Registration:
    """One person at one meeting; `since` orders the queue, the counts of asking bound the mails to confirm."""

    id: str
    institution: str
    meeting_id: str
    participant_id: str
    since: datetime
    asked_at: datetime
    confirm_until: datetime
    asked: int = 1
    state: RegistrationState = RegistrationState.UNCONFIRMED
    offered_until: datetime | None = None
    company: str | None = None
    version: int = 0


def mail_key(mail: str) -> str:
    """Give an address as it is compared: nobody has two mailboxes that differ by capitals."""
    return mail.strip().casefold()


def new(id_: str, meeting: Meeting, participant_id: str, company: str | None, now: datetime) -> Registration:
    """Give a registration that counts for nothing until it is confirmed."""
    until = min(now + CONFIRM_TIME, meeting.starts)
    return Registration(id_, meeting.institution, meeting.id, participant_id, now, now, until, company=company)


def asked_again(registration: Registration, now: datetime) -> Registration | None:
    """Give the registration to be asked about once more, or None where the person must not get another mail."""
    if registration.state is not State.UNCONFIRMED or now >= registration.confirm_until:
        return None
    if registration.asked >= MOST_ASKED or now < registration.asked_at + ASK_AGAIN_AFTER:
        return None
    return replace(registration, asked=registration.asked + 1, asked_at=now)


def is_forgotten(registration: Registration, now: datetime) -> bool:
    """Tell whether nobody confirmed in time."""
    return registration.state is State.UNCONFIRMED and now >= registration.confirm_until


def registration_as_told(told: RegistrationChanged, asked: datetime, kept: Registration) -> Registration:
    """Give the registration that was told; what was not told of it stays, and who began to wait waits since `asked`."""
    began = told.state is State.WAITING and not (kept.version and kept.state is State.WAITING)
    return replace(
        kept,
        state=told.state,
        since=asked if began else kept.since,
        offered_until=told.offered_until,
        confirm_until=told.confirm_until or kept.confirm_until,
        version=told.version,
    )


def place_of(registration: Registration) -> Place:
    """Give the place that a registration is; everybody has the same priority at a meeting."""
    state = PLACES.get(registration.state, PlaceState.GONE)
    return Place(registration.id, state, Priority.OTHER, registration.since, registration.offered_until)


def with_place(registration: Registration, place: Place) -> Registration:
    """Give the registration as its place is now."""
    return replace(registration, state=_STATES[place.state], since=place.since, offered_until=place.offered_until)


def check_leaving(registration: Registration) -> None:
    """Raise Refused with `registration_is_<state>` where there is nothing to leave."""
    if registration.state not in OPEN:
        raise Refused(
            f"registration_is_{registration.state}",
            f"the registration is {registration.state}; there is no place to give back",
        )


def progress(registration: Registration, way: Onward, meeting: Meeting, now: datetime) -> Registration:
    """Note who came; raises Refused before the meeting or for somebody without a seat. A mistake can be put right."""
    if registration.state not in SEATED:
        raise Refused(
            f"registration_is_{registration.state}", f"the registration is {registration.state}, without a seat"
        )
    if now < meeting.starts or meeting.state not in (MeetingState.PUBLISHED, MeetingState.HELD):
        raise Refused("meeting_is_ahead", "the meeting has not begun; nobody can have come or stayed away")
    return replace(registration, state=State(way))


def outlook(purpose: LinkPurpose, registration: Registration, meeting: Meeting, now: datetime) -> LinkOutcome | None:
    """Tell what a link would come to where asking makes no sense any more, or None where it does."""
    if purpose == "confirm":
        return _confirming(registration, meeting, now)
    if _is_done(purpose, registration):
        return "already_done"
    if not is_alive(meeting, now):
        return "too_late"
    if purpose in ("accept", "decline"):
        until = registration.offered_until
        offered = registration.state is State.OFFERED and until is not None and now < until
        return None if offered else "too_late"
    if purpose == "cancel":
        return None if registration.state in OPEN else "too_late"
    comes_back = registration.state in (State.EXPIRED, State.CANCELLED) and is_askable(meeting, now)
    return None if comes_back else "too_late"


def _confirming(registration: Registration, meeting: Meeting, now: datetime) -> LinkOutcome | None:
    if registration.state is State.UNCONFIRMED:
        in_time = now < registration.confirm_until and is_askable(meeting, now)
        return None if in_time else "too_late"
    if registration.state in QUEUED:
        return "full"
    return "already_done" if registration.state in SEATED else "too_late"


def _is_done(purpose: LinkPurpose, registration: Registration) -> bool:
    if registration.state is State.UNCONFIRMED:
        return False
    place = place_of(registration).state
    if purpose == "accept":
        return place is PlaceState.SEATED
    if purpose == "again":
        return place in (PlaceState.WAITING, PlaceState.OFFERED, PlaceState.SEATED)
    return place is PlaceState.GONE
