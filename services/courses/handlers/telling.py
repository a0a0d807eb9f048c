"""Tells what became of a run and of the people in it."""

from collections.abc import Iterable
from dataclasses import replace

from services.courses.domain.enrolment import Enrolment
from services.courses.domain.run import Run, crowd, is_visible_change, picture, reaches_minimum, step
from services.courses.handlers.following import follow
from services.courses.store import Queued, SeatBook, Store
from shared.contract.courses import (
    EnrolmentChanged,
    RunAvailabilityChanged,
    RunCancelled,
    RunChanged,
    RunCompleted,
    RunConfirmed,
    RunMessage,
    RunPublished,
    RunStarted,
)
from shared.contract.words import RunState, SeatCause
from shared.kit.work import Work
from shared.seats.rule import Change

TOLD: dict[RunState, type[RunMessage]] = {
    RunState.PUBLISHED: RunPublished,
    RunState.CONFIRMED: RunConfirmed,
    RunState.RUNNING: RunStarted,
    RunState.COMPLETED: RunCompleted,
    RunState.CANCELLED: RunCancelled,
}
Told = tuple[Enrolment, SeatCause]


def tell_run(message: type[RunMessage], run: Run, work: Work[Store]) -> Run:
    """Tell the run's whole public state in its next version; give the run in that version, to be kept."""
    run = replace(run, version=run.version + 1)
    work.tell(message(institution=run.institution, version=run.version, picture=picture(run, work.now)))  # type: ignore[call-arg]  # `type` has a default in every message that travels
    return run


def tell_new_state(run: Run, work: Work[Store]) -> Run:
    """Tell that a run took a step in its life."""
    return tell_run(TOLD[run.state], replace(run, counted_at=work.now), work)


def tell_difference(before: Run, after: Run, work: Work[Store]) -> Run:
    """Tell what the public sees of a change, and that the minimum is reached; a draft tells nothing."""
    if after.state is RunState.DRAFT:
        return after
    if crowd(before) != crowd(after) or after.counted_at is None:
        after = replace(after, counted_at=work.now)
    if is_visible_change(before, after):
        after = tell_run(RunChanged, after, work)
    if reaches_minimum(after, work.now):
        return tell_run(RunConfirmed, step(after, "confirm"), work)
    if after.version == before.version and crowd(before) != crowd(after):
        return tell_run(RunAvailabilityChanged, after, work)
    return after


async def settle(before: Run, book: SeatBook, changes: Iterable[Change], work: Work[Store]) -> dict[str, Queued]:
    """Keep and tell what a desk has done: the run first, then everybody whose place changed, each once.

    Gives those people's enrolments by id, with their places in the queue.
    """
    await book.write()
    book.run = tell_difference(before, book.run, work)
    if book.run != before:
        await work.store.keep_counts(book.run)
    last = {change.place.id: change.cause for change in changes}
    return await tell_enrolments(book.run, [(book.enrolments[id_], cause) for id_, cause in last.items()], work)


async def tell_enrolments(run: Run, told: Iterable[Told], work: Work[Store]) -> dict[str, Queued]:
    """Tell people's places, each with the run's public state; give them by enrolment."""
    told = list(told)
    seen = picture(run, work.now)
    places = await work.store.places_in_queue(run.id, [enrolment for enrolment, _ in told])
    queue: dict[str, Queued] = {}
    for enrolment, cause in told:
        queue[enrolment.id] = Queued(enrolment, places.get(enrolment.id))
        referred = await follow(enrolment, cause, work)
        work.tell(
            EnrolmentChanged(
                institution=enrolment.institution,
                version=enrolment.version,
                enrolment_id=enrolment.id,
                participant_id=enrolment.participant_id,
                state=enrolment.state,
                cause=cause,
                place_in_queue=queue[enrolment.id].place_in_queue,
                offered_until=enrolment.offered_until,
                reason=enrolment.reason,
                run_version=max(1, run.version),
                run=seen,
                referred=referred,
            )
        )
    return queue
