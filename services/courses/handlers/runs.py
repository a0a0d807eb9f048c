"""Offers and runs: made, changed, published, and everything up to their end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.courses.domain.enrolment import SEATED, UNSEATED, Enrolment
from services.courses.domain.entitlement import give_back
from services.courses.domain.imported import cancelled_here, edited_here
from services.courses.domain.run import Offer, Run, Step, change, matters_to_people, planned, reaches_minimum
from services.courses.domain.run import step as taken_step
from services.courses.handlers.refusing import refusing
from services.courses.handlers.seats import desk_at, today_of
from services.courses.handlers.telling import settle, tell_enrolments, tell_new_state
from services.courses.store import SeatBook, Store
from shared.contract.words import EnrolmentState, RunState, SeatCause
from shared.kit.work import Work


async def add_offer(offer: Offer, work: Work[Store]) -> Offer:
    """Describe a course."""
    await work.store.add_offer(offer)
    return offer


async def add_run(run: Run, work: Work[Store]) -> Run:
    """Plan a dated edition of an offer; a draft is nobody else's to see."""
    await work.store.offer(run.offer_id, run.institution)
    with refusing():
        run = planned(run)
    await work.store.add_run(run)
    return run


async def change_run(run_id: str, institution: str, values: Mapping[str, Any], work: Work[Store]) -> Run:
    """Change a run by hand; a run that a file brought remembers what was edited."""
    book = await SeatBook.opened(work.store, run_id, work.now, institution)
    before = book.run
    with refusing():
        after = change(before, values)
    edited = [name for name in values if getattr(before, name) != getattr(after, name)]
    if not edited:
        return before
    if imported := await work.store.imported_run(run_id):
        await work.store.keep_imported(edited_here(imported, after, edited))
    return await change_plan(book, after, work)


async def change_plan(book: SeatBook, after: Run, work: Work[Store]) -> Run:
    """Keep other plans of a locked run, offer seats that are new, tell the public and whom it matters to."""
    before, book.run = book.run, after
    changes = await desk_at(book, work).offer_free(after.id)
    await settle(before, book, changes, work)
    await work.store.keep_run(book.run)
    if matters_to_people(before, after) and after.state is not RunState.DRAFT:
        moved = {each.place.id for each in changes}
        people = [each for each in await work.store.open_enrolments(after.id) if each.id not in moved]
        await _tell_people(book.run, people, SeatCause.OCCASION_CHANGED, work)
    return book.run


async def _tell_people(run: Run, people: list[Enrolment], cause: SeatCause, work: Work[Store]) -> None:
    people = [replace(each, version=each.version + 1) for each in people]
    await work.store.keep_enrolments(*people)
    await tell_enrolments(run, [(each, cause) for each in people], work)


async def publish(run_id: str, institution: str, work: Work[Store]) -> Run:
    """Show a run to everybody; enough people elsewhere confirm it at once."""
    return await step(run_id, institution, "publish", work)


async def step(run_id: str, institution: str | None, name: Step, work: Work[Store]) -> Run:
    """Publish, confirm or start a run."""
    run = await work.store.locked_run(run_id, institution)
    with refusing():
        run = tell_new_state(taken_step(run, name), work)
        if reaches_minimum(run, work.now):
            run = tell_new_state(taken_step(run, "confirm"), work)
    await work.store.keep_run(run)
    return run


async def complete(run_id: str, institution: str | None, work: Work[Store]) -> Run:
    """End a run; whoever still waits does not get a seat any more."""
    run = await work.store.locked_run(run_id, institution)
    with refusing():
        run = taken_step(run, "complete")
    left = [each for each in await work.store.open_enrolments(run_id) if each.state in UNSEATED]
    run = tell_new_state(replace(run, held=0, waiting=0), work)
    await work.store.keep_run(run)
    ended = [replace(each, state=EnrolmentState.EXPIRED, offered_until=None) for each in left]
    await _tell_people(run, ended, SeatCause.PROGRESSED, work)
    return run


async def cancel(run_id: str, institution: str | None, reason: str, work: Work[Store]) -> Run:
    """Cancel a run with a reason; every open enrolment ends, and used entitlements count again."""
    run = await work.store.locked_run(run_id, institution)
    with refusing():
        run = tell_new_state(taken_step(run, "cancel", reason), work)
    await work.store.keep_run(run)
    if imported := await work.store.imported_run(run_id):
        await work.store.keep_imported(cancelled_here(imported))
    people = await work.store.open_enrolments(run_id)
    await _give_back(people, work)
    gone = {"state": EnrolmentState.WITHDRAWN, "offered_until": None, "reason": reason}
    await _tell_people(run, [replace(each, **gone) for each in people], SeatCause.OCCASION_CANCELLED, work)  # type: ignore[arg-type]  # the names decide the types
    return run


async def _give_back(people: list[Enrolment], work: Work[Store]) -> None:
    for id_ in sorted({each.entitlement_id for each in people if each.entitlement_id and each.state in SEATED}):
        entitlement = await work.store.locked_entitlement(id_)
        await work.store.keep_entitlement(give_back(entitlement, today_of(work)))
