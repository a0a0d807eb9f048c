"""The runs of the whole network, for everybody."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from services.courses.api.answers import SeenRun, SeenRuns
from services.courses.api.models import After, Limit, RunId
from services.courses.store import Wanted
from shared.contract.words import FieldOfAction, Level, RunKind, RunState, Slug
from shared.kit.bodies import Day, KnownDistrict, KnownQuarter
from shared.kit.errors import NotFound
from shared.kit.http import node_of

router = APIRouter(tags=["network"])


@router.get("/runs")
async def list_network_runs(
    request: Request,
    institution: Slug | None = None,
    kind: RunKind | None = None,
    level: Level | None = None,
    quarter: KnownQuarter | None = None,
    district: KnownDistrict | None = None,
    field_of_action: FieldOfAction | None = None,
    state: RunState | None = None,
    first: Annotated[Day | None, Query(alias="from", description="The earliest first day")] = None,
    last: Annotated[Day | None, Query(alias="to", description="The latest first day")] = None,
    free: Annotated[bool, Query(description="Only runs with free seats")] = False,
    after: After = "",
    limit: Limit = 100,
) -> SeenRuns:
    """List what all institutions tell of their runs; each entry says when it was heard."""
    wanted = Wanted(institution, kind, level, quarter, state, free, field_of_action, district, first, last)
    run_id, _, owner = after.partition(".")
    async with node_of(request).works.looking() as store:
        found = await store.seen(wanted, (run_id, owner), limit + 1)
    items = [SeenRun.of(each) for each in found[:limit]]
    following = f"{items[-1].run.run_id}.{items[-1].institution}" if len(found) > limit else None
    return SeenRuns(items=items, next=following)


@router.get("/runs/{run_id}")
async def show_network_run(run_id: RunId, request: Request) -> SeenRun:
    """Show what an institution tells of a run."""
    async with node_of(request).works.looking() as store:
        found = await store.seen_run(run_id)
    if not found:
        raise NotFound(f"nobody told of a run '{run_id}'")
    return SeenRun.of(found[0])
