"""What can be asked of members over HTTP: the office's decisions, profiles, projects, the picture of the network."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field, HttpUrl

from services.members.domain.institution import Institution
from services.members.domain.key import Scope
from services.members.domain.project import Project
from services.members.handlers import institutions, keys, projects
from shared.contract.members import InstitutionPicture, ProjectPicture
from shared.contract.words import (
    FieldOfAction,
    Id,
    InstitutionState,
    Language,
    Line,
    ProjectState,
    Prose,
    Slug,
)
from shared.contract.zone import BERLIN
from shared.kit.bodies import IN_ID, IN_SLUG, NO_NUL, Day, In, KnownDistrict, KnownQuarter, cursor
from shared.kit.http import OfficeKey, ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter()

SlugInPath = Annotated[Slug, Path()]
ProjectId = Annotated[Id, Path()]
_NEXT = Query(max_length=200, pattern=NO_NUL, description="Where the page before ended: its `next`")
After = Annotated[str, _NEXT, cursor(rf"{IN_SLUG}|{IN_ID}\.{IN_SLUG}")]
Limit = Annotated[int, Query(ge=1, le=200)]


class ProfileBody(In):
    """What an institution says of itself; fields that are not sent stay as they are."""

    never_null = frozenset({"name"})
    name: Line | None = None
    about: Prose | None = None
    website: HttpUrl | None = None
    fields_of_action: Annotated[tuple[FieldOfAction, ...], Field(max_length=9)] = ()
    languages: Annotated[tuple[Language, ...], Field(max_length=50)] = ()
    district: KnownDistrict | None = None
    quarter: KnownQuarter | None = None


class ApplicationBody(ProfileBody):
    """An institution that asks to join."""

    slug: Slug
    name: Line


class StatuteBody(In):
    """A version of the statute; without a date it is accepted today."""

    version: Line
    accepted_on: Day | None = None


class KeyBody(In):
    """What a key shall open."""

    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=3)]


class KeyIssuedOut(BaseModel):
    """An API key, shown this once."""

    key_id: Id
    institution: Slug
    scopes: tuple[Scope, ...]
    key: str


class ProjectChangeBody(In):
    """What changes of a project; fields that are not sent stay as they are."""

    never_null = frozenset({"title", "field_of_action", "starts_on"})
    title: Line | None = None
    field_of_action: FieldOfAction | None = None
    programme: Line | None = None
    partners: Annotated[tuple[Line, ...], Field(max_length=50)] = ()
    starts_on: Day | None = None
    ends_on: Day | None = None


class ProjectBody(ProjectChangeBody):
    """A project as it is planned."""

    title: Line
    field_of_action: FieldOfAction
    starts_on: Day


class InstitutionsPage(BaseModel):
    """A page of institutions, by slug; `next` is null at the end."""

    items: list[InstitutionPicture]
    next: str | None = None


class ProjectSeen(BaseModel):
    """A project and the institution that runs it."""

    institution: str
    project: ProjectPicture


class ProjectsPage(BaseModel):
    """A page of projects, oldest first; `next` is null at the end."""

    items: list[ProjectSeen]
    next: str | None = None


@router.post("/institutions", status_code=201, tags=["office"])
async def apply_institution(body: ApplicationBody, request: Request, key: OfficeKey) -> InstitutionPicture:
    """Take note that an institution asks to join."""
    async with node_of(request).works() as work:
        profile = body.model_dump(exclude_unset=True, exclude={"slug"})
        return (await institutions.apply(body.slug, profile, work)).picture


@router.post("/institutions/{slug}/admit", tags=["office"])
async def admit_institution(slug: SlugInPath, request: Request, key: OfficeKey) -> InstitutionPicture:
    """Admit an institution that applied."""
    return await _moved(slug, InstitutionState.ADMITTED, request)


@router.post("/institutions/{slug}/activate", tags=["office"])
async def activate_institution(slug: SlugInPath, request: Request, key: OfficeKey) -> InstitutionPicture:
    """Have an institution take part, for the first time or again."""
    return await _moved(slug, InstitutionState.ACTIVE, request)


@router.post("/institutions/{slug}/suspend", tags=["office"])
async def suspend_institution(slug: SlugInPath, request: Request, key: OfficeKey) -> InstitutionPicture:
    """Suspend an institution: it may not publish until it is active again."""
    return await _moved(slug, InstitutionState.SUSPENDED, request)


@router.post("/institutions/{slug}/leave", tags=["office"])
async def leave_network(slug: SlugInPath, request: Request, key: OfficeKey) -> InstitutionPicture:
    """Note that an institution left the network."""
    return await _moved(slug, InstitutionState.LEFT, request)


@router.post("/institutions/{slug}/keys", status_code=201, tags=["office"])
async def issue_key(
    slug: SlugInPath, body: KeyBody, request: Request, response: Response, key: OfficeKey
) -> KeyIssuedOut:
    """Issue an API key for an institution and show it, this once: only its SHA-256 is kept."""
    response.headers["Cache-Control"] = "no-store"
    async with node_of(request).works() as work:
        issued, secret = await keys.issue(slug, body.scopes, secrets.token_urlsafe(32), work)
    return KeyIssuedOut(key_id=issued.key_id, institution=issued.institution, scopes=tuple(issued.scopes), key=secret)


@router.get("/institutions/{institution}/profile", tags=["institution"], responses=TAGGED)
async def show_profile(
    institution: SlugInPath, request: Request, response: Response, key: ReadKey
) -> InstitutionPicture:
    """Show the caller's own institution as it is kept; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        one: Institution = await store.institution(institution)
    response.headers["ETag"] = tag_of(one)
    return one.picture


@router.patch("/institutions/{institution}/profile", tags=["institution"])
async def change_profile(
    institution: SlugInPath, body: ProfileBody, request: Request, key: WriteKey
) -> InstitutionPicture:
    """Change what an institution says of itself; fields that are not sent stay as they are."""
    async with node_of(request).works() as work:
        return (await institutions.change_profile(institution, body.model_dump(exclude_unset=True), work)).picture


@router.post("/institutions/{institution}/statute", tags=["institution"])
async def accept_statute(
    institution: SlugInPath, body: StatuteBody, request: Request, key: WriteKey
) -> InstitutionPicture:
    """Accept a version of the statute."""
    async with node_of(request).works() as work:
        on = body.accepted_on or work.now.astimezone(BERLIN).date()
        return (await institutions.accept_statute(institution, body.version, on, work)).picture


@router.post("/institutions/{institution}/projects", status_code=201, tags=["projects"])
async def plan_project(institution: SlugInPath, body: ProjectBody, request: Request, key: WriteKey) -> ProjectPicture:
    """Plan a project."""
    async with node_of(request).works() as work:
        return (await projects.plan(institution, body.model_dump(exclude_unset=True), work)).picture


@router.get("/institutions/{institution}/projects/{project_id}", tags=["projects"], responses=TAGGED)
async def show_own_project(
    institution: SlugInPath, project_id: ProjectId, request: Request, response: Response, key: ReadKey
) -> ProjectPicture:
    """Show one of the institution's projects as it is kept; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        one: Project = await store.project(project_id, institution)
    response.headers["ETag"] = tag_of(one)
    return one.picture


@router.patch("/institutions/{institution}/projects/{project_id}", tags=["projects"])
async def change_project(
    institution: SlugInPath, project_id: ProjectId, body: ProjectChangeBody, request: Request, key: WriteKey
) -> ProjectPicture:
    """Change what is said of a project; fields that are not sent stay as they are."""
    async with node_of(request).works() as work:
        return (await projects.change(institution, project_id, body.model_dump(exclude_unset=True), work)).picture


@router.post("/institutions/{institution}/projects/{project_id}/start", tags=["projects"])
async def start_project(
    institution: SlugInPath, project_id: ProjectId, request: Request, key: WriteKey
) -> ProjectPicture:
    """Start a planned project."""
    async with node_of(request).works() as work:
        return (await projects.move(institution, project_id, ProjectState.RUNNING, work)).picture


@router.post("/institutions/{institution}/projects/{project_id}/end", tags=["projects"])
async def end_project(
    institution: SlugInPath, project_id: ProjectId, request: Request, key: WriteKey
) -> ProjectPicture:
    """End a running project."""
    async with node_of(request).works() as work:
        return (await projects.move(institution, project_id, ProjectState.ENDED, work)).picture


@router.get("/institutions", tags=["network"])
async def list_institutions(
    request: Request,
    field_of_action: FieldOfAction | None = None,
    district: KnownDistrict | None = None,
    state: InstitutionState | None = None,
    after: After = "",
    limit: Limit = 100,
) -> InstitutionsPage:
    """Give the institutions of the network, as the office told of them."""
    async with node_of(request).works.looking() as store:
        found = await store.network_institutions(
            field=field_of_action, district=district, state=state, after=after, limit=limit + 1
        )
    more = len(found) > limit
    return InstitutionsPage(items=found[:limit], next=found[limit - 1].slug if more else None)


@router.get("/institutions/{slug}", tags=["network"], responses=TAGGED)
async def show_institution(slug: SlugInPath, request: Request, response: Response) -> InstitutionPicture:
    """Give one institution, as the office told of it; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        picture: InstitutionPicture = await store.network_institution(slug)
    # The copy has the tag of the original: whoever changed it since does not meet what this one shows.
    response.headers["ETag"] = tag_of(Institution(picture, version=0))
    return picture


@router.get("/projects", tags=["network"])
async def list_projects(
    request: Request,
    field_of_action: FieldOfAction | None = None,
    institution: Annotated[Slug | None, Query()] = None,
    state: ProjectState | None = None,
    first: Annotated[Day | None, Query(alias="from", description="The earliest first day")] = None,
    last: Annotated[Day | None, Query(alias="to", description="The latest first day")] = None,
    after: After = "",
    limit: Limit = 100,
) -> ProjectsPage:
    """Give the projects of the network, as their institutions told of them."""
    async with node_of(request).works.looking() as store:
        project_id, _, speaker = after.partition(".")
        found = await store.network_projects(
            field=field_of_action,
            owner=institution,
            state=state,
            starts=(first, last),
            after=(project_id, speaker),
            limit=limit + 1,
        )
    items = [ProjectSeen(institution=owner, project=picture) for owner, picture in found[:limit]]
    following = f"{items[-1].project.project_id}.{items[-1].institution}" if len(found) > limit else None
    return ProjectsPage(items=items, next=following)


@router.get("/projects/{project_id}", tags=["network"])
async def show_project(project_id: ProjectId, request: Request) -> ProjectSeen:
    """Give one project, as its institution told of it."""
    async with node_of(request).works.looking() as store:
        institution, picture = await store.network_project(project_id)
    return ProjectSeen(institution=institution, project=picture)


async def _moved(slug: str, to: InstitutionState, request: Request) -> InstitutionPicture:
    async with node_of(request).works() as work:
        return (await institutions.move(slug, to, work)).picture
