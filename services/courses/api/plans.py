"""Offers and runs of an institution."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.courses.api.answers import OfferOut, Offers, RunOut, Runs
from services.courses.api.models import After, InstitutionPath, Limit, OfferIn, ReasonIn, RunId, RunIn, RunPlan
from services.courses.domain.run import Offer, Run, Step
from services.courses.handlers import runs as handlers
from shared.contract.words import RunState
from shared.kit.bodies import NO_NUL
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}")


def _shown(run: Run, request: Request) -> RunOut:
    return RunOut.of(run, node_of(request).works.clock.now())


@router.post("/offers", status_code=201, tags=["offers"])
async def add_offer(institution: InstitutionPath, body: OfferIn, request: Request, key: WriteKey) -> OfferOut:
    """Describe a course."""
    async with node_of(request).works() as work:
        offer = Offer(id=work.ids.new("offer"), institution=institution, **body.model_dump())
        return OfferOut.of(await handlers.add_offer(offer, work))


@router.get("/offers", tags=["offers"])
async def list_offers(
    institution: InstitutionPath, request: Request, key: ReadKey, after: After = "", limit: Limit = 100
) -> Offers:
    """List the institution's offers."""
    async with node_of(request).works.looking() as store:
        found = await store.offers(institution, after, limit + 1)
    items = [OfferOut.of(each) for each in found[:limit]]
    return Offers(items=items, next=items[-1].offer_id if len(found) > limit else None)


@router.post("/runs", status_code=201, tags=["runs"])
async def add_run(institution: InstitutionPath, body: RunIn, request: Request, key: WriteKey) -> RunOut:
    """Plan a run as a draft, which nobody else sees."""
    async with node_of(request).works() as work:
        offer = await work.store.offer(body.offer_id, institution)
        run = await handlers.add_run(body.run(work.ids.new("run"), offer), work)
    return _shown(run, request)


@router.get("/runs", tags=["runs"])
async def list_runs(
    institution: InstitutionPath,
    request: Request,
    key: ReadKey,
    state: RunState | None = None,
    number: Annotated[str | None, Query(max_length=200, pattern=NO_NUL)] = None,
    after: After = "",
    limit: Limit = 100,
) -> Runs:
    """List the institution's own runs, drafts among them."""
    async with node_of(request).works.looking() as store:
        found = await store.runs(institution, after, limit + 1, state=state, number=number)
    items = [_shown(each, request) for each in found[:limit]]
    return Runs(items=items, next=items[-1].run_id if len(found) > limit else None)


@router.get("/runs/{run_id}", tags=["runs"], responses=TAGGED)
async def show_run(
    institution: InstitutionPath, run_id: RunId, request: Request, response: Response, key: ReadKey
) -> RunOut:
    """Show one of the institution's runs; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        run = await store.run(run_id, institution)
    response.headers["ETag"] = tag_of(run)
    return _shown(run, request)


@router.patch("/runs/{run_id}", tags=["runs"])
async def change_run(
    institution: InstitutionPath, run_id: RunId, body: RunPlan, request: Request, key: WriteKey
) -> RunOut:
    """Change a run; people with a place hear of other times, another place or another title."""
    async with node_of(request).works() as work:
        run = await handlers.change_run(run_id, institution, body.plan(), work)
    return _shown(run, request)


async def _step(institution: str, run_id: str, name: Step, request: Request) -> RunOut:
    async with node_of(request).works() as work:
        run = await handlers.step(run_id, institution, name, work)
    return _shown(run, request)


@router.post("/runs/{run_id}/publish", tags=["runs"])
async def publish_run(institution: InstitutionPath, run_id: RunId, request: Request, key: WriteKey) -> RunOut:
    """Show a run to the whole network."""
    return await _step(institution, run_id, "publish", request)


@router.post("/runs/{run_id}/confirm", tags=["runs"])
async def confirm_run(institution: InstitutionPath, run_id: RunId, request: Request, key: WriteKey) -> RunOut:
    """Say that a run takes place, even below its minimum."""
    return await _step(institution, run_id, "confirm", request)


@router.post("/runs/{run_id}/start", tags=["runs"])
async def start_run(institution: InstitutionPath, run_id: RunId, request: Request, key: WriteKey) -> RunOut:
    """Say that a run has begun."""
    return await _step(institution, run_id, "start", request)


@router.post("/runs/{run_id}/complete", tags=["runs"])
async def complete_run(institution: InstitutionPath, run_id: RunId, request: Request, key: WriteKey) -> RunOut:
    """Say that a run is over."""
    async with node_of(request).works() as work:
        run = await handlers.complete(run_id, institution, work)
    return _shown(run, request)


@router.post("/runs/{run_id}/cancel", tags=["runs"])
async def cancel_run(
    institution: InstitutionPath, run_id: RunId, body: ReasonIn, request: Request, key: WriteKey
) -> RunOut:
    """Cancel a run; everybody in it is told the reason."""
    async with node_of(request).works() as work:
        run = await handlers.cancel(run_id, institution, body.reason, work)
    return _shown(run, request)
