"""The sample service with its web application: POSTs have an effect, and projects are taken from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from types import SimpleNamespace
from typing import Annotated, Any, cast

import httpx
import sqlalchemy as sa
from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.responses import JSONResponse

from shared.contract import members
from shared.contract.words import ProjectState
from shared.kit import migrate, tables
from shared.kit.clock import Ids
from shared.kit.database import Database
from shared.kit.errors import Conflict
from shared.kit.http import WriteKey, application, node_of
from shared.kit.inbox import Takes
from shared.kit.settings import Settings
from shared.kit.work import Work, Works
from tests.integration.kit.sample import SERVICE, SampleStore, SteadyClock, institution, metadata

router = APIRouter()


@router.post("/institutions/{institution}/things", status_code=201)
async def new_thing(institution: str, request: Request, key: WriteKey, body: Annotated[dict[str, int], Body()]) -> Any:
    """Keep something and tell it; then look at it in a second unit of work."""
    async with node_of(request).works() as work:
        await _keep(body["n"], work)
    async with node_of(request).works.looking() as store:
        count = await store.connection.scalar(sa.text("SELECT count(*) FROM heard"))
    return {"n": body["n"], "count": count}


@router.post("/institutions/{institution}/halves")
async def half_thing(institution: str, request: Request, key: WriteKey) -> None:
    """Do the first half, fail in the second."""
    async with node_of(request).works() as work:
        await _keep(1, work)
    async with node_of(request).works() as work:
        await _keep(2, work)
        raise Conflict("the second half cannot be done")


@router.post("/institutions/{institution}/secrets", status_code=201)
async def new_secret(institution: str, request: Request, key: WriteKey) -> JSONResponse:
    """Keep something and show what must not be stored."""
    async with node_of(request).works() as work:
        await _keep(1, work)
    return JSONResponse({"secret": "shown once"}, 201, {"Cache-Control": "no-store"})


async def _keep(number: int, work: Work[SampleStore]) -> None:
    message = institution(version=number)
    await work.store.keep(message)
    work.tell(message)


@dataclass
class Known:
    """What the sample says of projects; `fault` is raised while one is judged."""

    fault: list[Exception] = field(default_factory=list)

    async def version(self, message: members.ProjectMessage, work: Work[SampleStore]) -> int:
        """Give what is known of a project; one is managed here."""
        if self.fault:
            raise self.fault.pop()
        if message.key == "project_managedhere":
            raise Conflict("this project is managed here", code="managed_here")
        return 0


@dataclass
class Opened:
    """A running application and what a test needs around it."""

    app: FastAPI
    works: Works[SampleStore]
    api: httpx.AsyncClient
    known: Known

    async def count(self, table: sa.Table) -> int:
        """Count the rows of a table."""
        async with self.works.database.reading() as connection:
            return int(await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def takes(known: Known) -> Takes:
    """Give what the sample takes from outside: projects, in any state but one that is not theirs."""
    return Takes(
        {
            members.ProjectPlanned: frozenset({ProjectState.PLANNED}),
            members.ProjectChanged: frozenset(ProjectState),
        },
        known.version,
    )


def event(id_: str = "1", version: Any = 1, **changes: Any) -> dict[str, Any]:
    """Make an event of awo's course software about a project."""
    project = changes.pop("project", "project_01jd3kq8w0")
    picture = {
        "project_id": project,
        "title": changes.pop("title", "Wir leben in Hannover"),
        "state": changes.pop("state", "planned"),
        "field_of_action": "Dialog und Begegnung",
        "starts_on": "2027-03-01",
    }
    data = {"institution": changes.pop("institution", "awo"), "version": version, "picture": picture}
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "https://software.awo.example",
        "type": "members.project.planned.v1",
        "data": data,
        **changes,
    }


async def prepare(database: Database) -> None:
    """Make the schema, and keys of an active and of another institution."""
    await migrate.upgrade(SERVICE, database)
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
        for number, slug in enumerate(("awo", "amfn")):
            await connection.execute(
                sa.insert(tables.institution).values(slug=slug, name=slug, state="active", version=1)
            )
            await connection.execute(
                sa.insert(tables.api_key).values(
                    key_id=f"key_{number:08}", institution=slug, sha256=sha256(slug.encode()).hexdigest(),
                    scopes=["read", "write"], revoked=False, version=1,
                )
            )  # fmt: skip


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[Opened]:
    """Open the application on a database that is prepared."""
    database = Database(url)
    clock = SteadyClock()
    made = Settings(**settings)
    works: Works[SampleStore] = Works(database, SampleStore, clock, Ids(Random(), clock), made)
    known = Known()
    # The name decides which messages are its own: those that members speaks.
    service = replace(SERVICE, name="members", api=router, takes=takes(known))
    node = SimpleNamespace(works=works, database=database, settings=made, service=service)
    app = application(cast("Any", node))
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://x", headers={"Authorization": "Bearer awo"}
        ) as api:
            yield Opened(app, works, api, known)
    finally:
        await database.close()
