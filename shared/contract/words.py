"""The words of the network as types: one word for one thing, in code, messages, tables and interfaces."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

T = TypeVar("T")


@dataclass(frozen=True)
class PersonalMark:
    """Marks a field that holds data of one person; no message for the network may have one."""


Personal = Annotated[T, PersonalMark()]

SLUG = r"^[a-z0-9-]{2,40}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
RESERVED_SLUG = r"default|join-.*"  # on the hub these name users of another kind
ID = r"^[a-z]+_[0-9a-z]{8,40}$"
Id = Annotated[str, StringConstraints(pattern=ID)]
LINE = r"^[^\x00-\x1f\x7f\u2028\u2029]+$"  # a line break in a name would begin a new header in a mail
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=LINE)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]


LARGEST = 2**53 - 1
MOST = 1_000_000


def _said(least: int | None, most: int) -> WithJsonSchema:
    # No released schema has the upper limit, and none gets narrower: it stands there in words.
    lower = {} if least is None else {"minimum": least}
    return WithJsonSchema({"type": "integer", **lower, "description": f"at most {most}"})


# What every reader and database can hold: whole numbers of JSON are exact up to here (RFC 7493), and a day near the end
# of the calendar is none any more in another zone.
Version = Annotated[int, Field(ge=1, le=LARGEST), _said(1, LARGEST)]
VersionOfOther = Annotated[int, Field(ge=0, le=LARGEST), _said(None, LARGEST)]
Count = Annotated[int, Field(ge=0, le=MOST), _said(0, MOST)]
PlaceInQueue = Annotated[int, Field(ge=1, le=MOST), _said(1, MOST)]
Day = Annotated[date, Field(ge=date(1900, 1, 1), lt=date(2200, 1, 1))]
FIRST_MOMENT = datetime(1900, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, Field(ge=FIRST_MOMENT, lt=datetime(2200, 1, 1, tzinfo=UTC))]


class Audience(StrEnum):
    """Who may read a message: the network, the own institution, or one addressee."""

    NETWORK = "N"
    INSTITUTION = "I"
    SEALED = "S"


class FieldOfAction(StrEnum):
    """The nine fields of action by which the network sorts its projects."""

    LANGUAGE_SUPPORT = "Beratungs- und Deutschförderung"
    DIVERSITY = "Diversität und Interkulturelle Kompetenz"
    POLITICAL_EDUCATION = "Politische Bildung und Beteiligung"
    STRONG_ORGANISATIONS = "Beratung und Stärkung von Organisationen"
    DIALOGUE = "Dialog und Begegnung"
    INTO_WORK = "Übergang in den Beruf"
    EVERYDAY_LIFE = "Ankommen im Alltag"
    CULTURAL_EDUCATION = "Kulturelle Bildung"
    CULTURAL_PARTICIPATION = "Kulturelle Teilhabe"


class Level(StrEnum):
    """A level of the Common European Framework of Reference for Languages."""

    A1 = "A1"
    A2 = "A2"
    B1 = "B1"
    B2 = "B2"
    C1 = "C1"
    C2 = "C2"


class InstitutionState(StrEnum):
    """The life of a member organisation in the network."""

    APPLIED = "applied"
    ADMITTED = "admitted"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEFT = "left"


class ProjectState(StrEnum):
    """The life of a project."""

    PLANNED = "planned"
    RUNNING = "running"
    ENDED = "ended"


class RunKind(StrEnum):
    """The kind of course that a run is an edition of."""

    DEUFOEV_BASIS = "deufoev_basis"
    DEUFOEV_SPECIAL = "deufoev_special"
    DEUFOEV_JOB_BSK = "deufoev_job_bsk"
    DEUTSCH_360 = "deutsch_360"
    OTHER = "other"


class RunState(StrEnum):
    """The life of a run."""

    DRAFT = "draft"
    PUBLISHED = "published"
    CONFIRMED = "confirmed"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class EnrolmentState(StrEnum):
    """A participant's way through a run."""

    APPLIED = "applied"
    CHECKING = "checking"
    WAITING = "waiting"
    OFFERED = "offered"
    ENROLLED = "enrolled"
    ATTENDING = "attending"
    COMPLETED = "completed"
    DROPPED = "dropped"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TRANSFERRED = "transferred"


class MeetingKind(StrEnum):
    """What people come together for."""

    DIVERSITY = "diversity"
    BLICKWECHSEL = "blickwechsel"
    MICRO_PROJECT = "micro_project"
    OPEN = "open"


class MeetingState(StrEnum):
    """The life of a meeting."""

    DRAFT = "draft"
    PUBLISHED = "published"
    HELD = "held"
    CANCELLED = "cancelled"
    POSTPONED = "postponed"


class RegistrationState(StrEnum):
    """A person's way through a meeting."""

    UNCONFIRMED = "unconfirmed"
    REGISTERED = "registered"
    WAITING = "waiting"
    OFFERED = "offered"
    EXPIRED = "expired"
    ATTENDED = "attended"
    NO_SHOW = "no_show"
    CANCELLED = "cancelled"


class SeatCause(StrEnum):
    """Why a person's place in a run or a meeting was told again; it decides which mail is written."""

    ASKED = "asked"
    GIVEN = "given"
    QUEUED = "queued"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    OFFER_EXPIRED = "offer_expired"
    WITHDRAWN = "withdrawn"
    OCCASION_CHANGED = "occasion_changed"
    OCCASION_CANCELLED = "occasion_cancelled"
    PROGRESSED = "progressed"


class WaitingBand(StrEnum):
    """How many people wait, in bands, so that a public figure points at nobody."""

    NONE = "0"
    FEW = "1-4"
    SOME = "5-9"
    MANY = "10+"

    @classmethod
    def of(cls, waiting: int) -> "WaitingBand":
        """Give the band of a number of waiting people."""
        if waiting <= 0:
            return cls.NONE
        return cls.FEW if waiting < 5 else cls.SOME if waiting < 10 else cls.MANY


@cache
def districts() -> dict[str, tuple[str, ...]]:
    """Give the 13 Stadtbezirke of Hannover with the Stadtteile (quarters) of each."""
    document = json.loads(Path(__file__).with_name("hannover.json").read_text("utf-8"))
    return {entry["name"]: tuple(entry["stadtteile"]) for entry in document["stadtbezirke"]}


@cache
def _quarters() -> frozenset[str]:
    return frozenset(quarter for quarters in districts().values() for quarter in quarters)


def _real_district(name: str) -> str:
    if name not in districts():
        raise ValueError(f"'{name}' is not a Stadtbezirk of Hannover; known: {', '.join(districts())}")
    return name


def _real_quarter(name: str) -> str:
    if name not in _quarters():
        raise ValueError(f"'{name}' is not a Stadtteil of Hannover")
    return name


District = Annotated[str, AfterValidator(_real_district)]
Quarter = Annotated[str, AfterValidator(_real_quarter)]


class Frozen(BaseModel):
    """A value that never changes once it is made; unknown fields of a newer release are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Place(Frozen):
    """Where people go to."""

    name: Line | None = None
    room: Line | None = None
    street: Line | None = None
    postcode: Annotated[str, StringConstraints(pattern=r"^\d{5}$")] | None = None
    town: Line | None = None
    quarter: Quarter | None = None


class Session(Frozen):
    """One dated lesson of a run, or the time of a meeting."""

    starts: Moment
    ends: Moment
    room: Line | None = None


class Availability(Frozen):
    """How many seats are free, and when that was so: a dated picture, only the owner gives seats."""

    free: Count
    waiting: WaitingBand
    as_of: Moment
