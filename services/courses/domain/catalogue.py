"""One course as any catalogue file tells it, and what there is to say about a course that cannot be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Literal, TypeAlias, cast

Kind: TypeAlias = Literal[
    "over_capacity", "exactly_full", "below_minimum", "room_overlap", "bad_date", "bad_time", "duplicate"
]
Trouble: TypeAlias = Literal["unreadable_row", "broken_file", "gone_withheld", "remark", "known_elsewhere"]
Json: TypeAlias = bool | int | str | Sequence["Json"] | Mapping[str, "Json"] | None

KINDS: tuple[Kind, ...] = (
    "over_capacity",
    "exactly_full",
    "below_minimum",
    "room_overlap",
    "bad_date",
    "bad_time",
    "duplicate",
)


@dataclass(frozen=True, slots=True)
class CatalogueSession:
    """One date of a course; both ends in UTC, the room only where it differs from the course's own."""

    starts: datetime
    ends: datetime
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something an office should look at, in a sentence a person understands.

    `numbers` are the courses it is about, `detail` the exact values behind the sentence; `count` says how many
    cases stand behind it (pairs of sessions for `room_overlap`, otherwise one).
    """

    kind: Kind | Trouble
    numbers: tuple[str, ...]
    sentence: str
    detail: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One course of a catalogue, whatever format it came in.

    `registered` and `waiting` are the people known to the institution's own software, `fee_cents` is in euro cents,
    `capacity` None means that the file states no limit, `web_registration` None that it says nothing.
    `kind` to `childcare` are None where the file leaves them to be guessed. `unstated` names the fields that the file
    has no place for: an import leaves them as they were. `remarks` are findings about a row that was read.
    Teachers are left out on purpose: a name is personal data and the public picture of a run needs none.
    """

    number: str
    title: str
    subtitle: str | None = None
    subject_area: str | None = None
    categories: tuple[str, ...] = ()
    description: str | None = None
    material: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    register_until: date | None = None
    sessions: tuple[CatalogueSession, ...] = ()
    capacity: int | None = None
    minimum: int | None = None
    registered: int = 0
    waiting: int = 0
    room: str | None = None
    building: str | None = None
    street: str | None = None
    postcode: str | None = None
    town: str | None = None
    fee_cents: int | None = None
    reduced_fee_cents: int | None = None
    fee_note: str | None = None
    web_registration: bool | None = None
    cancelled: bool = False
    quarter: str | None = None
    kind: str | None = None
    from_level: str | None = None
    to_level: str | None = None
    ue: int | None = None
    part_time: bool | None = None
    mornings: bool | None = None
    childcare: bool | None = None
    unstated: tuple[str, ...] = field(default=(), compare=False)
    remarks: tuple[Finding, ...] = field(default=(), compare=False)


# What only describes the file a row came from is not kept with it.
KEPT_FIELDS: tuple[str, ...] = tuple(each.name for each in fields(CatalogueRow) if each.compare)


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A course that cannot be read, or with `ends_file` the point after which nothing could be read any more."""

    number: str | None
    findings: tuple[Finding, ...]
    ends_file: bool = False


Entry: TypeAlias = CatalogueRow | BrokenRow

_DATES = frozenset({"starts_on", "ends_on", "register_until"})


def to_json(row: CatalogueRow) -> dict[str, Json]:
    """Write a row as plain JSON values: dates as ISO 8601, sessions in UTC."""
    return {name: _plain(getattr(row, name)) for name in KEPT_FIELDS}


def from_json(stored: Mapping[str, Json]) -> CatalogueRow:
    """Read what `to_json` wrote; a field the stored text does not know yet takes its default."""
    values = {name: _rich(name, value) for name, value in stored.items() if name in KEPT_FIELDS}
    return CatalogueRow(**values)  # type: ignore[arg-type]  # the names decide the types; the round trip is tested


def _plain(value: object) -> Json:
    if isinstance(value, CatalogueSession):
        return {"starts": value.starts.isoformat(), "ends": value.ends.isoformat(), "room": value.room}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return cast(Json, value)


def _rich(name: str, value: Json) -> object:
    if name in _DATES and isinstance(value, str):
        return date.fromisoformat(value)
    if name == "sessions":
        return tuple(_session(each) for each in cast(Sequence[Mapping[str, str | None]], value))
    if name == "categories":
        return tuple(cast(Sequence[str], value))
    return value


def _session(stored: Mapping[str, str | None]) -> CatalogueSession:
    starts, ends = (datetime.fromisoformat(str(stored[key])).astimezone(UTC) for key in ("starts", "ends"))
    return CatalogueSession(starts, ends, stored.get("room"))
