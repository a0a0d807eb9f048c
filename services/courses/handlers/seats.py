"""People take seats, give them back and go on."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date

from services.courses.domain.enrolment import Enrolment, Leaving, Onward, check_leaving, progress
from services.courses.domain.entitlement import dated, use
from services.courses.domain.run import Run
from services.courses.handlers.refusing import refusing
from services.courses.handlers.telling import settle, tell_enrolments
from services.courses.store import Queued, SeatBook, Store
from shared.contract.words import SeatCause
from shared.contract.zone import BERLIN
from shared.kit.work import Work
from shared.seats.desk import Desk
from shared.seats.rule import Change

Move = Callable[[Desk, str], Awaitable[list[Change]]]
_SEAT_GIVEN = frozenset({SeatCause.GIVEN, SeatCause.ACCEPTED})


def today_of(work: Work[Store]) -> date:
    """Give the day it is in Hannover."""
    return work.now.astimezone(BERLIN).date()


def desk_at(book: SeatBook, work: Work[Store]) -> Desk:
    """Give the desk that decides about seats."""
    return Desk(book, work.now, work.settings.offer_time)


async def accept(enrolment_id: str, institution: str | None, work: Work[Store]) -> Queued:
    """Take an offered seat."""
    return await _move(enrolment_id, institution, lambda desk, id_: desk.accept(id_), work)


async def decline(enrolment_id: str, institution: str | None, work: Work[Store]) -> Queued:
    """Give an offered seat back; places in other queues stay."""
    return await _move(enrolment_id, institution, lambda desk, id_: desk.decline(id_), work)


async def expire(enrolment_id: str, work: Work[Store]) -> Queued:
    """End an offer whose deadline has passed; the seat is offered to the next."""
    return await _move(enrolment_id, None, lambda desk, id_: desk.expire(id_), work)


async def leave(enrolment_id: str, institution: str | None, way: Leaving, work: Work[Store]) -> Queued:
    """Withdraw, reject or drop somebody; a seat that gets free is offered to the next."""
    enrolment = await work.store.enrolment(enrolment_id, institution)
    book = await SeatBook.opened(work.store, enrolment.run_id, work.now)
    before = book.run
    with refusing():
        # Read again behind the lock: the enrolment may have moved while this one waited.
        book.left_as = check_leaving(await work.store.locked_enrolment(enrolment_id), way)
        changes = await desk_at(book, work).withdraw(enrolment_id)
    if way != "withdraw":
        changes[0] = replace(changes[0], cause=SeatCause.PROGRESSED)
    return (await settle_seats(before, book, changes, work))[enrolment_id]


async def go_on(enrolment_id: str, institution: str, way: Onward, work: Work[Store]) -> Queued:
    """Note that somebody attends or has completed the run."""
    enrolment = await work.store.enrolment(enrolment_id, institution)
    run = await work.store.locked_run(enrolment.run_id)
    with refusing():
        moved = progress(await work.store.locked_enrolment(enrolment_id), way)
    moved = replace(moved, version=moved.version + 1)
    await work.store.keep_enrolments(moved)
    await tell_enrolments(run, [(moved, SeatCause.PROGRESSED)], work)
    return Queued(moved, None)


async def _move(enrolment_id: str, institution: str | None, move: Move, work: Work[Store]) -> Queued:
    enrolment = await work.store.enrolment(enrolment_id, institution)
    book = await SeatBook.opened(work.store, enrolment.run_id, work.now)
    before = book.run
    await work.store.locked_enrolment(enrolment_id)
    with refusing():
        changes = await move(desk_at(book, work), enrolment_id)
    return (await settle_seats(before, book, changes, work))[enrolment_id]


async def settle_seats(before: Run, book: SeatBook, changes: list[Change], work: Work[Store]) -> dict[str, Queued]:
    """Keep and tell what a desk has done, and use up the entitlements by which people got seats."""
    told = await settle(before, book, changes, work)
    for change in changes:
        if change.cause in _SEAT_GIVEN:
            await use_entitlement(book.enrolments[change.place.id], work)
    return told


async def use_entitlement(enrolment: Enrolment, work: Work[Store]) -> None:
    """Use up the entitlement by which somebody got a seat, if there is one."""
    if enrolment.entitlement_id is not None:
        entitlement = await work.store.locked_entitlement(enrolment.entitlement_id)
        await work.store.keep_entitlement(use(dated(entitlement, today_of(work))))
