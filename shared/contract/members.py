"""What the service members tells: institutions and projects to the network, keys inside an institution."""

from typing import Annotated, ClassVar, Literal

from pydantic import HttpUrl, StringConstraints

from shared.contract.envelope import Message
from shared.contract.words import (
    Audience,
    Day,
    District,
    FieldOfAction,
    Frozen,
    Id,
    InstitutionState,
    Language,
    Line,
    ProjectState,
    Prose,
    Quarter,
    Slug,
)


class InstitutionPicture(Frozen):
    """The whole public state of an institution."""

    slug: Slug
    name: Line
    state: InstitutionState
    about: Prose | None = None
    website: HttpUrl | None = None
    fields_of_action: tuple[FieldOfAction, ...] = ()
    languages: tuple[Language, ...] = ()
    district: District | None = None
    quarter: Quarter | None = None
    statute_version: Line | None = None
    statute_accepted_on: Day | None = None


class InstitutionMessage(Message):
    """What every message about an institution carries; the office speaks it."""

    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "picture.slug"
    picture: InstitutionPicture


class InstitutionApplied(InstitutionMessage):
    """An institution asks to join the network."""

    type: Literal["members.institution.applied.v1"] = "members.institution.applied.v1"


class InstitutionAdmitted(InstitutionMessage):
    """The office admitted an institution."""

    type: Literal["members.institution.admitted.v1"] = "members.institution.admitted.v1"


class InstitutionActivated(InstitutionMessage):
    """An institution takes part from now on, for the first time or again."""

    type: Literal["members.institution.activated.v1"] = "members.institution.activated.v1"


class InstitutionChanged(InstitutionMessage):
    """The profile of an institution changed."""

    type: Literal["members.institution.changed.v1"] = "members.institution.changed.v1"


class InstitutionSuspended(InstitutionMessage):
    """An institution is suspended: it may not publish until it is active again."""

    type: Literal["members.institution.suspended.v1"] = "members.institution.suspended.v1"


class InstitutionLeft(InstitutionMessage):
    """An institution left the network."""

    type: Literal["members.institution.left.v1"] = "members.institution.left.v1"


class ProjectPicture(Frozen):
    """The whole public state of a project."""

    project_id: Id
    title: Line
    state: ProjectState
    field_of_action: FieldOfAction
    programme: Line | None = None
    partners: tuple[Line, ...] = ()
    starts_on: Day
    ends_on: Day | None = None


class ProjectMessage(Message):
    """What every message about a project carries; the institution that runs it speaks."""

    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "picture.project_id"
    picture: ProjectPicture


class ProjectPlanned(ProjectMessage):
    """A project is planned."""

    type: Literal["members.project.planned.v1"] = "members.project.planned.v1"


class ProjectStarted(ProjectMessage):
    """A project runs from now on."""

    type: Literal["members.project.started.v1"] = "members.project.started.v1"


class ProjectChanged(ProjectMessage):
    """The public state of a project changed."""

    type: Literal["members.project.changed.v1"] = "members.project.changed.v1"


class ProjectEnded(ProjectMessage):
    """A project ended."""

    type: Literal["members.project.ended.v1"] = "members.project.ended.v1"


class KeyMessage(Message):
    """What every message about an API key carries; only the SHA-256 of the key is ever stored or told."""

    audience: ClassVar[Audience] = Audience.INSTITUTION
    key_field: ClassVar[str] = "key_id"
    key_id: Id
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Literal["read", "write", "office"], ...]


class KeyIssued(KeyMessage):
    """An API key may be used from now on at every service of the node."""

    type: Literal["members.key.issued.v1"] = "members.key.issued.v1"


class KeyRevoked(KeyMessage):
    """An API key may not be used any more."""

    type: Literal["members.key.revoked.v1"] = "members.key.revoked.v1"
