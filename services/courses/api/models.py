"""What comes in and goes out by HTTP."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import ConfigDict, Field

from services.courses.domain.participant import Assessed, DayTime, Skill
from services.courses.domain.run import Offer, Run
from shared.contract.words import ID, FieldOfAction, Id, Language, Level, Line, Place, Prose, RunKind, Session, Slug
from shared.kit.bodies import IN_ID, IN_SLUG, NO_NUL, WHOLE, Day, In, KnownQuarter, Mail, Moment, Said, Truth, cursor

InstitutionPath = Annotated[Slug, Path()]
RunId = Annotated[str, Path(pattern=ID)]
ParticipantId = Annotated[str, Path(pattern=ID)]
EntitlementId = Annotated[str, Path(pattern=ID)]
EnrolmentId = Annotated[str, Path(pattern=ID)]
_NEXT = Query(max_length=100, pattern=NO_NUL, description="Where the page before ended: its `next`")
After = Annotated[str, _NEXT, cursor(rf"{IN_ID}(\.{IN_SLUG})?")]
Limit = Annotated[int, Query(ge=1, le=200)]
Count = Annotated[int, Field(ge=0, le=10_000), WHOLE]


class SessionIn(Said, Session):
    """One dated lesson."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    starts: Moment
    ends: Moment


class PlaceIn(Said, Place):
    """Where people go to; the quarter is one of the Stadtteile of Hannover."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    quarter: KnownQuarter | None = None


Sessions = Annotated[tuple[SessionIn, ...], Field(max_length=400)]


class OfferIn(In):
    """A course to be described."""

    title: Line
    kind: RunKind
    from_level: Level | None = None
    to_level: Level | None = None
    ue: Count = 0
    description: Prose | None = None


class RunPlan(In):
    """What may be said of a run; what is left out of a new run comes from its offer."""

    never_null = frozenset(
        {"number", "title", "kind", "ue", "sessions", "place", "part_time", "mornings", "childcare", "minimum"}
        | {"capacity", "registered_elsewhere"}
    )
    number: Line | None = None
    title: Line | None = None
    description: Prose | None = None
    kind: RunKind | None = None
    field_of_action: FieldOfAction | None = None
    from_level: Level | None = None
    to_level: Level | None = None
    ue: Count | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    sessions: Sessions | None = None
    place: PlaceIn | None = None
    part_time: Truth | None = None
    mornings: Truth | None = None
    childcare: Truth | None = None
    minimum: Count | None = None
    capacity: Count | None = None
    registered_elsewhere: Count | None = None

    def plan(self) -> dict[str, Any]:
        """Give what was sent in the words of the domain."""
        values = self.sent()
        values.pop("offer_id", None)
        if self.sessions is not None:
            values["sessions"] = tuple(Session(**each.model_dump()) for each in self.sessions)
        if self.place is not None:
            values["place"] = Place(**self.place.model_dump())
        return values


class RunIn(RunPlan):
    """A run to be planned."""

    offer_id: Id
    number: Line
    capacity: Count

    def run(self, run_id: str, offer: Offer) -> Run:
        """Plan a run of an offer."""
        names = ("title", "kind", "from_level", "to_level", "ue", "description")
        values = {name: getattr(offer, name) for name in names} | self.plan()
        return Run(id=run_id, institution=offer.institution, offer_id=offer.id, **values)


class ReasonIn(In):
    """Why a run is cancelled; people read it."""

    reason: Line


class AssessedIn(In):
    """A level in one skill and the day on which it was found."""

    level: Level
    on: Day


class ParticipantIn(In):
    """What may be said of a participant; phone and mail only with consent."""

    never_null = frozenset(
        {"language", "contact_consent", "skills", "availability", "childcare", "languages", "closed"}
    )
    language: Language | None = None
    name: Line | None = None
    contact_consent: Truth | None = None
    mail: Mail | None = None
    phone: Line | None = None
    skills: dict[Skill, AssessedIn] | None = None
    schooling: Line | None = None
    profession: Line | None = None
    goal: Line | None = None
    availability: tuple[DayTime, ...] | None = None
    childcare: Truth | None = None
    mobility: Line | None = None
    languages: Annotated[tuple[Language, ...], Field(max_length=20)] | None = None

    def values(self) -> dict[str, Any]:
        """Give what was sent in the words of the domain."""
        values = self.sent()
        values.pop("closed", None)
        if self.skills is not None:
            found = sorted(self.skills.items())
            values["skills"] = tuple((skill, Assessed(each.level, each.on)) for skill, each in found)
        return values


class NewParticipantIn(ParticipantIn):
    """A participant file to be begun."""

    language: Language


class ParticipantChangeIn(ParticipantIn):
    """Changes of a participant file; `closed` closes it or opens it again."""

    closed: Truth | None = None


class EntitlementIn(In):
    """A right to a place, or a duty to take one; without `valid_from` it counts from today."""

    issuing_office: Line
    obliged: Truth = False
    valid_from: Day | None = None
    valid_until: Day


class AskIn(In):
    """Who asks for a seat."""

    participant_id: Id
