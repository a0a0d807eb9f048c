"""What the service events tells: meetings to the network; contacts and registrations inside an institution."""

from typing import ClassVar, Literal

from shared.contract.envelope import Message
from shared.contract.words import (
    Audience,
    Availability,
    Count,
    Frozen,
    Id,
    Language,
    Line,
    MeetingKind,
    MeetingState,
    Moment,
    Personal,
    Place,
    PlaceInQueue,
    Prose,
    RegistrationState,
    SeatCause,
    VersionOfOther,
)


class MeetingPicture(Frozen):
    """The whole public state of a meeting."""

    meeting_id: Id
    series_id: Id | None = None
    series_title: Line | None = None
    kind: MeetingKind
    state: MeetingState
    title: Line
    description: Prose | None = None
    starts: Moment
    ends: Moment | None = None
    place: Place = Place()
    interests: tuple[Line, ...] = ()
    languages: tuple[Language, ...] = ()
    capacity: Count
    availability: Availability
    reason: Line | None = None


class MeetingMessage(Message):
    """What every message about a meeting carries: its whole public state."""

    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "picture.meeting_id"
    picture: MeetingPicture


class MeetingPublished(MeetingMessage):
    """A meeting can be seen by everybody from now on."""

    type: Literal["events.meeting.published.v1"] = "events.meeting.published.v1"


class MeetingChanged(MeetingMessage):
    """Something of a published meeting changed."""

    type: Literal["events.meeting.changed.v1"] = "events.meeting.changed.v1"


class MeetingPostponed(MeetingMessage):
    """A meeting will take place later; the new time follows."""

    type: Literal["events.meeting.postponed.v1"] = "events.meeting.postponed.v1"


class MeetingCancelled(MeetingMessage):
    """A meeting does not take place."""

    type: Literal["events.meeting.cancelled.v1"] = "events.meeting.cancelled.v1"


class MeetingHeld(MeetingMessage):
    """A meeting took place."""

    type: Literal["events.meeting.held.v1"] = "events.meeting.held.v1"


class MeetingAvailabilityChanged(MeetingMessage):
    """The free seats or the waiting band of a meeting changed."""

    type: Literal["events.meeting.availability_changed.v1"] = "events.meeting.availability_changed.v1"


class RegistrantContactRecorded(Message):
    """How a person who asked to attend is reached: the one message in which a contact travels."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "participant_id"
    type: Literal["events.participant.contact_recorded.v1"] = "events.participant.contact_recorded.v1"
    participant_id: Id
    name: Personal[Line]
    mail: Personal[Line]
    language: Language


class RegistrantErased(Message):
    """A person who asked to attend is erased: every copy of the contact goes."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "participant_id"
    type: Literal["events.participant.erased.v1"] = "events.participant.erased.v1"
    participant_id: Id


class RegistrationChanged(Message):
    """A person's place in a meeting changed; the meeting's public state travels along."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "registration_id"
    type: Literal["events.registration.changed.v1"] = "events.registration.changed.v1"
    registration_id: Id
    participant_id: Id
    state: RegistrationState
    cause: SeatCause
    place_in_queue: PlaceInQueue | None = None
    offered_until: Moment | None = None
    confirm_until: Moment | None = None
    reason: Line | None = None
    meeting_version: VersionOfOther
    meeting: MeetingPicture
