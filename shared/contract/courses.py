"""What the service courses tells: runs to the network; contacts and enrolments inside an institution."""

from typing import ClassVar, Literal

from shared.contract.envelope import Message
from shared.contract.referrals import ReferralField
from shared.contract.words import (
    Audience,
    Availability,
    Count,
    Day,
    EnrolmentState,
    FieldOfAction,
    Frozen,
    Id,
    Language,
    Level,
    Line,
    Moment,
    Personal,
    Place,
    PlaceInQueue,
    Prose,
    RunKind,
    RunState,
    SeatCause,
    Session,
    Slug,
    VersionOfOther,
)


class RunPicture(Frozen):
    """The whole public state of a run."""

    run_id: Id
    offer_id: Id
    number: Line
    title: Line
    description: Prose | None = None
    kind: RunKind
    field_of_action: FieldOfAction | None = None
    state: RunState
    from_level: Level | None = None
    to_level: Level | None = None
    ue: Count = 0
    starts_on: Day | None = None
    ends_on: Day | None = None
    sessions: tuple[Session, ...] = ()
    place: Place = Place()
    part_time: bool = False
    mornings: bool = False
    childcare: bool = False
    minimum: Count = 0
    capacity: Count
    availability: Availability
    cancelled_reason: Line | None = None


class RunMessage(Message):
    """What every message about a run carries: its whole public state, so that the newest one is enough."""

    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "picture.run_id"
    picture: RunPicture


class RunPublished(RunMessage):
    """A run can be seen by everybody from now on."""

    type: Literal["courses.run.published.v1"] = "courses.run.published.v1"


class RunChanged(RunMessage):
    """Something of a published run changed."""

    type: Literal["courses.run.changed.v1"] = "courses.run.changed.v1"


class RunConfirmed(RunMessage):
    """The minimum is reached: the run takes place."""

    type: Literal["courses.run.confirmed.v1"] = "courses.run.confirmed.v1"


class RunStarted(RunMessage):
    """The run has begun."""

    type: Literal["courses.run.started.v1"] = "courses.run.started.v1"


class RunCancelled(RunMessage):
    """The run does not take place."""

    type: Literal["courses.run.cancelled.v1"] = "courses.run.cancelled.v1"


class RunCompleted(RunMessage):
    """The run is over."""

    type: Literal["courses.run.completed.v1"] = "courses.run.completed.v1"


class RunAvailabilityChanged(RunMessage):
    """The free seats or the waiting band of a run changed."""

    type: Literal["courses.run.availability_changed.v1"] = "courses.run.availability_changed.v1"


class Referred(Frozen):
    """Who referred a participant, and which parts of the file came with that; the values are not told here.

    `ended`: the place is gone because the referral is, and not by anything that the participant did.
    """

    by: Slug
    fields: tuple[ReferralField, ...]
    ended: bool = False


class ParticipantContactRecorded(Message):
    """How a participant is reached: the one message in which a contact travels."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "participant_id"
    type: Literal["courses.participant.contact_recorded.v1"] = "courses.participant.contact_recorded.v1"
    participant_id: Id
    name: Personal[Line]
    mail: Personal[Line] | None = None
    language: Language


class ParticipantErased(Message):
    """A participant is erased: every copy of the contact goes; with `farewell`, once the planned mails have left."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "participant_id"
    blanks: ClassVar[bool] = True
    type: Literal["courses.participant.erased.v1"] = "courses.participant.erased.v1"
    participant_id: Id
    farewell: bool = False


class EnrolmentChanged(Message):
    """A participant's place in a run changed; the run's public state travels along, so that nobody has to ask."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "enrolment_id"
    type: Literal["courses.enrolment.changed.v1"] = "courses.enrolment.changed.v1"
    enrolment_id: Id
    participant_id: Id
    state: EnrolmentState
    cause: SeatCause
    place_in_queue: PlaceInQueue | None = None
    offered_until: Moment | None = None
    reason: Line | None = None
    run_version: VersionOfOther
    run: RunPicture
    referred: Referred | None = None
