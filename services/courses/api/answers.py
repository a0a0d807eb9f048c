"""What goes out by HTTP."""

from collections.abc import Iterable
from datetime import date, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.courses.api.models import AssessedIn, OfferIn
from services.courses.domain.entitlement import Entitlement, EntitlementState
from services.courses.domain.participant import DayTime, FileState, Participant, Skill
from services.courses.domain.run import Offer, Run, picture
from services.courses.store import Queued, Seen
from shared.contract.courses import RunPicture
from shared.contract.words import EnrolmentState, Id, Language, Slug
from shared.seats.rule import Priority


class OfferOut(OfferIn):
    """A course as it is described."""

    model_config = ConfigDict(extra="ignore")
    offer_id: Id

    @classmethod
    def of(cls, offer: Offer) -> "OfferOut":
        """Show an offer."""
        return cls(offer_id=offer.id, **{name: getattr(offer, name) for name in OfferIn.model_fields})


class RunOut(RunPicture):
    """A run as its own institution sees it."""

    institution: Slug
    version: int
    registered_elsewhere: int
    taken: int
    held: int
    waiting: int

    @classmethod
    def of(cls, run: Run, now: datetime) -> "RunOut":
        """Show a run."""
        names = ("institution", "version", "registered_elsewhere", "taken", "held", "waiting")
        return cls(**picture(run, now).model_dump(), **{name: getattr(run, name) for name in names})


class ParticipantOut(BaseModel):
    """A participant file."""

    participant_id: Id
    state: FileState
    version: int
    language: Language
    name: str | None
    contact_consent: bool
    mail: str | None
    phone: str | None
    skills: dict[Skill, AssessedIn]
    schooling: str | None
    profession: str | None
    goal: str | None
    availability: tuple[DayTime, ...]
    childcare: bool
    mobility: str | None
    languages: tuple[Language, ...]
    entitlements: tuple["EntitlementOut", ...] = ()

    @classmethod
    def of(cls, participant: Participant, entitlements: Iterable[Entitlement] = ()) -> "ParticipantOut":
        """Show a participant file with its entitlements."""
        special = {"participant_id", "skills", "entitlements"}
        plain = {name: getattr(participant, name) for name in cls.model_fields if name not in special}
        skills = {skill: AssessedIn(level=each.level, on=each.on) for skill, each in participant.skills}
        shown = tuple(EntitlementOut.of(each) for each in entitlements)
        return cls(participant_id=participant.id, skills=skills, entitlements=shown, **plain)


class ParticipantListed(BaseModel):
    """A participant in a list; the file of each holds the rest."""

    participant_id: Id
    state: FileState
    version: int
    language: Language
    name: str | None

    @classmethod
    def of(cls, participant: Participant) -> "ParticipantListed":
        """Show who it is."""
        names = ("state", "version", "language", "name")
        return cls(participant_id=participant.id, **{name: getattr(participant, name) for name in names})


class EntitlementOut(BaseModel):
    """An entitlement."""

    entitlement_id: Id
    participant_id: Id
    state: EntitlementState
    issuing_office: str
    obliged: bool
    valid_from: date
    valid_until: date

    @classmethod
    def of(cls, entitlement: Entitlement) -> "EntitlementOut":
        """Show an entitlement."""
        names = [name for name in cls.model_fields if name != "entitlement_id"]
        return cls(entitlement_id=entitlement.id, **{name: getattr(entitlement, name) for name in names})


class EnrolmentOut(BaseModel):
    """A participant's place in a run."""

    enrolment_id: Id
    run_id: Id
    participant_id: Id
    state: EnrolmentState
    priority: str
    since: AwareDatetime
    place_in_queue: int | None
    offered_until: AwareDatetime | None
    reason: str | None
    version: int

    @classmethod
    def of(cls, queued: Queued) -> "EnrolmentOut":
        """Show an enrolment with its place in the queue."""
        found = queued.enrolment
        return cls(
            enrolment_id=found.id,
            run_id=found.run_id,
            participant_id=found.participant_id,
            state=found.state,
            priority=Priority(found.priority).name.lower(),
            since=found.since,
            place_in_queue=queued.place_in_queue,
            offered_until=found.offered_until,
            reason=found.reason,
            version=found.version,
        )


class SeenRun(BaseModel):
    """A run of some institution of the network, as it was when it was last heard of."""

    institution: Slug
    version: int
    seen_at: AwareDatetime
    run: RunPicture

    @classmethod
    def of(cls, seen: Seen) -> "SeenRun":
        """Show a copy."""
        return cls.model_validate(
            {"institution": seen.institution, "version": seen.version, "seen_at": seen.seen_at, "run": seen.picture}
        )


class Offers(BaseModel):
    """A page of offers; `next` is null at the end."""

    items: list[OfferOut]
    next: str | None = None


class Runs(BaseModel):
    """A page of an institution's own runs; `next` is null at the end."""

    items: list[RunOut]
    next: str | None = None


class Participants(BaseModel):
    """A page of an institution's participants; `next` is null at the end."""

    items: list[ParticipantListed]
    next: str | None = None


class Enrolments(BaseModel):
    """A page of a run's enrolments; `next` is null at the end."""

    items: list[EnrolmentOut]
    next: str | None = None


class SeenRuns(BaseModel):
    """A page of the network's runs; `next` is null at the end."""

    items: list[SeenRun]
    next: str | None = None


class ImportOut(BaseModel):
    """What an import did or would do; `findings` counts by kind, `sentences` says what needs eyes."""

    model_config = ConfigDict(extra="allow")
    courses: int
    sessions: int
    new: int
    changed: int
    gone: int
    findings: dict[str, int]
