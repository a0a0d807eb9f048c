"""People ask for seats, take them, give them back and go on."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

from services.courses.domain.catalogue import BERLIN
from services.courses.domain.enrolment import COMES_BACK, Enrolment, Leaving, Onward, check_leaving, progress
from services.courses.domain.entitlement import Entitlement, best, dated, priority_of, use
from services.courses.domain.participant import FileState, Participant
from services.courses.domain.run import Run, check_askable
from services.courses.handlers.refusing import refusing
from services.courses.handlers.telling import settle, tell_enrolments
from services.courses.store import Queued, SeatBook, Store
from shared.contract.words import SeatCause
from shared.kit.errors import Conflict
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


async def ask(
    run_id: str, participant_id: str, institution: str, work: Work[Store], referral_id: str | None = None
) -> Queued:
    """Give a participant a seat or a turn in the queue; asking twice gives the same enrolment.

    Whom a referral brings has not asked: a seat is held until they say themselves that they want it.
    """
    # The file is locked first, so that nobody is erased while asking; runs are always locked after people.
    participant = await work.store.locked_participant(participant_id, institution)
    _check_file(participant)
    entitlement = best(await work.store.entitlements_of(participant.id), today_of(work))
    # From here on everybody else who asks for this run waits: what can be read before is read before.
    book = await SeatBook.opened(work.store, run_id, work.now, institution)
    before = book.run
    with refusing():
        check_askable(before, work.now)
    known = await work.store.enrolment_in(run_id, participant_id)
    if known is not None and known.state not in COMES_BACK:
        return Queued(known, await work.store.place_in_queue(known), known=True)
    asking = _asking(known, run_id, participant, entitlement, work)
    asking = replace(asking, since=await _behind_all(before, work), referral_id=referral_id)
    place, desk = book.admit(asking, new=known is None), desk_at(book, work)
    with refusing():
        changes = await (desk.hold(run_id, place) if referral_id else desk.ask(run_id, place))
    return (await _settle(before, book, changes, work))[asking.id]


async def _behind_all(run: Run, work: Work[Store]) -> datetime:
    """Give the moment behind everybody who waits: `now` was taken before the lock, and others may have joined since."""
    last = await work.store.last_in_queue(run.id) if run.waiting else None
    return work.now if last is None else max(work.now, last + timedelta(microseconds=1))


def _check_file(participant: Participant) -> None:
    if participant.state in (FileState.CLOSED, FileState.ERASED):
        state = participant.state
        raise Conflict(f"the participant file is {state}; nobody can ask with it", code=f"participant_{state}")


def _asking(
    known: Enrolment | None, run_id: str, participant: Participant, entitlement: Entitlement | None, work: Work[Store]
) -> Enrolment:
    fresh = Enrolment(
        id=known.id if known else work.ids.new("enrolment"),
        institution=participant.institution,
        run_id=run_id,
        participant_id=participant.id,
        priority=priority_of(entitlement),
        since=work.now,
        entitlement_id=entitlement.id if entitlement else None,
    )
    return replace(fresh, version=known.version) if known else fresh


async def ask_again(enrolment_id: str, institution: str | None, work: Work[Store]) -> Queued:
    """Come back after an offer expired or a seat was given back."""
    enrolment = await work.store.enrolment(enrolment_id, institution)
    return await ask(enrolment.run_id, enrolment.participant_id, enrolment.institution, work)


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
    return (await _settle(before, book, changes, work))[enrolment_id]


async def go_on(enrolment_id: str, institution: str, way: Onward, work: Work[Store]) -> Queued:
    """Note that somebody attends or has completed the run."""
    enrolment = await work.store.enrolment(enrolment_id, institution)
    run = await work.store.locked_run(enrolment.run_id)
    with refusing():
        moved = progress(await work.store.locked_enrolment(enrolment_id), way)
    moved = replace(moved, version=moved.version + 1)
    await work.store.keep_enrolment(moved)
    await tell_enrolments(run, [(moved, SeatCause.PROGRESSED)], work)
    return Queued(moved, None)


async def _move(enrolment_id: str, institution: str | None, move: Move, work: Work[Store]) -> Queued:
    enrolment = await work.store.enrolment(enrolment_id, institution)
    book = await SeatBook.opened(work.store, enrolment.run_id, work.now)
    before = book.run
    await work.store.locked_enrolment(enrolment_id)
    with refusing():
        changes = await move(desk_at(book, work), enrolment_id)
    return (await _settle(before, book, changes, work))[enrolment_id]


async def _settle(before: Run, book: SeatBook, changes: list[Change], work: Work[Store]) -> dict[str, Queued]:
    told = await settle(before, book, changes, work)
    for change in changes:
        entitlement_id = book.enrolments[change.place.id].entitlement_id
        if change.cause in _SEAT_GIVEN and entitlement_id is not None:
            entitlement = await work.store.locked_entitlement(entitlement_id)
            await work.store.keep_entitlement(use(dated(entitlement, today_of(work))))
    return told
