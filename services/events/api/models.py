"""What comes in and goes out by HTTP."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from services.events.domain.meeting import Meeting, Series, picture
from services.events.domain.registration import Registration
from services.events.store import Listed, Seen
from shared.contract.events import MeetingPicture
from shared.contract.words import ID, Id, Language, Line, MeetingKind, Place, Prose, RegistrationState, Slug
from shared.kit.bodies import IN_ID, IN_SLUG, NO_NUL, WHOLE, In, KnownQuarter, Mail, Moment, Said, cursor, trimmed

InstitutionPath = Annotated[Slug, Path()]
MeetingId = Annotated[str, Path(pattern=ID)]
RegistrationId = Annotated[str, Path(pattern=ID)]
ParticipantId = Annotated[str, Path(pattern=ID)]
_NEXT = Query(max_length=200, pattern=NO_NUL, description="Where the page before ended: its `next`")
After = Annotated[str, _NEXT, cursor(rf"{IN_ID}|[0-9T.]+Z~{IN_ID}~{IN_SLUG}")]
Limit = Annotated[int, Query(ge=1, le=200)]
Seats = Annotated[int, Field(ge=1, le=10_000), WHOLE]
Lines = Annotated[tuple[Line, ...], Field(max_length=20)]
Languages = Annotated[tuple[Language, ...], Field(max_length=20)]


# A line break in a name would end a header of the mail that greets the person, and what nobody sees greets nobody.
_SIGN = r"[^\x00-\x20\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb]"
PlainLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=rf"^{_SIGN}({_SIGN}| )*$"),
    WithJsonSchema({"type": "string", "pattern": trimmed(_SIGN, f"({_SIGN}| )")}),
]


class PlaceIn(Said, Place):
    """Where people go to; the quarter is one of the Stadtteile of Hannover."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    quarter: KnownQuarter | None = None


class SeriesIn(In):
    """A series of meetings to be opened."""

    title: Line
    kind: MeetingKind


class SeriesOut(SeriesIn):
    """A series of meetings."""

    model_config = ConfigDict(extra="ignore")
    series_id: Id

    @classmethod
    def of(cls, series: Series) -> "SeriesOut":
        """Show a series."""
        return cls(series_id=series.id, title=series.title, kind=series.kind)


class MeetingPlan(In):
    """What may be said of a meeting; `limit` is how many of the seats are given here, null for all."""

    never_null = frozenset({"kind", "title", "starts", "place", "interests", "languages", "capacity"})
    title: Line | None = None
    description: Prose | None = None
    starts: Moment | None = None
    ends: Moment | None = None
    place: PlaceIn | None = None
    interests: Lines | None = None
    languages: Languages | None = None
    capacity: Seats | None = None
    limit: Seats | None = None

    def plan(self) -> dict[str, Any]:
        """Give what was sent in the words of the domain."""
        values = self.sent()
        if self.place is not None:
            values["place"] = Place(**self.place.model_dump())
        return values


class MeetingIn(MeetingPlan):
    """A meeting to be planned; in a series it is of the series' kind."""

    series_id: Id | None = None
    kind: MeetingKind = MeetingKind.OPEN
    title: Line
    starts: Moment
    capacity: Seats


class PostponeIn(In):
    """The new time, where it is known already; people read the reason."""

    starts: Moment | None = None
    ends: Moment | None = None
    reason: Line | None = None


class ReasonIn(In):
    """Why a meeting is cancelled; people read it."""

    reason: Line


class MeetingOut(MeetingPicture):
    """A meeting as its own institution sees it."""

    institution: Slug
    version: int
    limit: int | None
    taken: int
    held: int
    waiting: int

    @classmethod
    def of(cls, meeting: Meeting, now: datetime) -> "MeetingOut":
        """Show a meeting."""
        names = ("institution", "version", "limit", "taken", "held", "waiting")
        return cls(**picture(meeting, now).model_dump(), **{name: getattr(meeting, name) for name in names})


class AskIn(In):
    """Somebody who wants to attend; the company is asked for at Diversity meetings only, and never told on."""

    name: PlainLine
    mail: Annotated[Mail, Field(max_length=200)]
    language: Language
    company: PlainLine | None = None


class AskOut(BaseModel):
    """What everybody reads who asks to attend, whether or not the address is known."""

    detail: str = "We send a mail to this address. Please confirm there that you want to attend."


class RegistrationOut(BaseModel):
    """A person's place at a meeting."""

    registration_id: Id
    meeting_id: Id
    participant_id: Id
    state: RegistrationState
    since: AwareDatetime
    offered_until: AwareDatetime | None
    company: str | None
    version: int

    @classmethod
    def of(cls, registration: Registration) -> "RegistrationOut":
        """Show a registration."""
        return cls.model_validate(_of(registration))


class ListedOut(RegistrationOut):
    """A person's place at a meeting, with how the person is reached unless erased, and the place in the queue."""

    name: str | None
    mail: str | None
    language: str | None
    place_in_queue: int | None

    @classmethod
    def listed(cls, listed: Listed) -> "ListedOut":
        """Show a registration with its person."""
        person = {name: getattr(listed.participant, name, None) for name in ("name", "mail", "language")}
        return cls.model_validate(_of(listed.registration) | person | {"place_in_queue": listed.place_in_queue})


def _of(registration: Registration) -> dict[str, Any]:
    names = ("meeting_id", "participant_id", "state", "since", "offered_until", "company", "version")
    return {"registration_id": registration.id, **{name: getattr(registration, name) for name in names}}


class SeenMeeting(BaseModel):
    """A meeting of some institution of the network, as it was when it was last heard of."""

    institution: Slug
    version: int
    seen_at: AwareDatetime
    meeting: MeetingPicture

    @classmethod
    def of(cls, seen: Seen) -> "SeenMeeting":
        """Show a copy."""
        names = ("institution", "version", "seen_at")
        return cls.model_validate({**{name: getattr(seen, name) for name in names}, "meeting": seen.picture})


class SeriesPage(BaseModel):
    """A page of series; `next` is null at the end."""

    items: list[SeriesOut]
    next: str | None = None


class Meetings(BaseModel):
    """A page of an institution's own meetings; `next` is null at the end."""

    items: list[MeetingOut]
    next: str | None = None


class Registrations(BaseModel):
    """A page of a meeting's registrations; `next` is null at the end."""

    items: list[ListedOut]
    next: str | None = None


class SeenMeetings(BaseModel):
    """A page of the network's meetings, by start; `next` is null at the end."""

    items: list[SeenMeeting]
    next: str | None = None
