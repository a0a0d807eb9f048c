"""People take seats, give them back and come."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from services.events.domain.registration import Onward, Registration, check_leaving, place_of, progress
from services.events.handlers.refusing import refusing
from services.events.handlers.telling import settle, tell_people
from services.events.store import Store
from services.events.store.book import SeatBook
from shared.contract.words import RegistrationState, SeatCause
from shared.kit.errors import Conflict
from shared.kit.work import Work
from shared.seats.desk import Desk
from shared.seats.rule import Change

Move = Callable[[Desk, str], Awaitable[list[Change]]]


def desk_of(work: Work[Store]) -> Desk:
    """Give the desk that decides about seats."""
    return Desk(SeatBook(work.store, work.now), work.now, work.settings.offer_time)


async def give(registration: Registration, work: Work[Store]) -> Registration:
    """Give a confirmed person a seat or a turn in the queue, behind everybody who waits."""
    before = await work.store.locked_meeting(registration.meeting_id)
    # The moment was taken before the lock: others may have joined the queue since, and read their places in it.
    last = await work.store.last_in_queue(before.id)
    since = work.now if last is None else max(work.now, last + timedelta(microseconds=1))
    with refusing():
        changes = await desk_of(work).ask(before.id, place_of(replace(registration, since=since)))
    await settle(before, changes, work)
    return await work.store.registration(registration.id)


async def accept(registration_id: str, institution: str | None, work: Work[Store]) -> Registration:
    """Take an offered seat."""
    return await _move(registration_id, institution, lambda desk, id_: desk.accept(id_), work)


async def decline(registration_id: str, institution: str | None, work: Work[Store]) -> Registration:
    """Give an offered seat back."""
    return await _move(registration_id, institution, lambda desk, id_: desk.decline(id_), work)


async def expire(registration_id: str, work: Work[Store]) -> Registration:
    """End an offer whose deadline has passed; the seat is offered to the next."""
    return await _move(registration_id, None, lambda desk, id_: desk.expire(id_), work)


async def withdraw(registration_id: str, institution: str | None, work: Work[Store]) -> Registration:
    """Give a place back; a seat that gets free is offered to the next."""
    registration = await work.store.registration(registration_id, institution)
    await work.store.locked_meeting(registration.meeting_id)
    with refusing():
        # Read again behind the lock: the registration may have moved while this one waited.
        check_leaving(await work.store.locked_registration(registration_id))
    return await _move(registration_id, None, lambda desk, id_: desk.withdraw(id_), work)


async def ask_again(registration_id: str, work: Work[Store]) -> Registration:
    """Come back after an offer expired or a place was given back."""
    registration = await work.store.registration(registration_id)
    await work.store.locked_meeting(registration.meeting_id)
    await work.store.locked_participant(registration.participant_id)  # an erased person does not come back
    other = await work.store.registration_in(registration.meeting_id, registration.participant_id)
    if other is not None and other.id != registration_id:
        if other.state is not RegistrationState.UNCONFIRMED:
            raise Conflict("the person has another place at this meeting", code="already_done")
        await work.store.delete_registration(other.id)
    return await _move(registration_id, None, lambda desk, id_: desk.ask_again(id_), work)


async def go_on(registration_id: str, institution: str, way: Onward, work: Work[Store]) -> Registration:
    """Note that somebody came, or did not."""
    found = await work.store.registration(registration_id, institution)
    meeting = await work.store.locked_meeting(found.meeting_id)
    with refusing():
        moved = progress(await work.store.locked_registration(registration_id), way, meeting, work.now)
    await tell_people(meeting, [(moved, SeatCause.PROGRESSED)], work)
    return await work.store.registration(registration_id)


async def _move(registration_id: str, institution: str | None, move: Move, work: Work[Store]) -> Registration:
    registration = await work.store.registration(registration_id, institution)
    before = await work.store.locked_meeting(registration.meeting_id)
    await work.store.locked_registration(registration_id)
    with refusing():
        changes = await move(desk_of(work), registration_id)
    await settle(before, changes, work)
    return await work.store.registration(registration_id)
