"""Series and meetings: made, changed, published, and everything up to their end."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.events.domain.meeting import Meeting, Series, at_new_time, change, matters_to_people, planned, step
from services.events.domain.registration import QUEUED, Registration
from services.events.handlers.refusing import refusing
from services.events.handlers.seats import desk_of
from services.events.handlers.telling import settle, tell_meeting, tell_new_state, tell_people
from services.events.store import Store
from shared.contract.events import MeetingChanged
from shared.contract.words import MeetingState, RegistrationState, SeatCause
from shared.kit.errors import Invalid
from shared.kit.work import Work


async def add_series(series: Series, work: Work[Store]) -> Series:
    """Open a series of meetings."""
    await work.store.add_series(series)
    return series


async def add_meeting(meeting: Meeting, work: Work[Store]) -> Meeting:
    """Plan a meeting; a draft is nobody else's to see."""
    if meeting.series_id is not None:
        series = await work.store.one_series(meeting.series_id, meeting.institution)
        meeting = replace(meeting, series_title=series.title, kind=series.kind)
    with refusing():
        meeting = planned(meeting)
    await work.store.add_meeting(meeting)
    return meeting


async def change_meeting(meeting_id: str, institution: str, values: Mapping[str, Any], work: Work[Store]) -> Meeting:
    """Change the plan of a meeting: seats that are new are offered, the public and whom it matters to are told."""
    before = await work.store.locked_meeting(meeting_id, institution)
    with refusing():
        after = change(before, values, work.now)
    if after == before:
        return before
    return await _keep_plan(before, after, work)


async def _keep_plan(before: Meeting, after: Meeting, work: Work[Store]) -> Meeting:
    await work.store.keep_meeting(after)
    changes = await desk_of(work).offer_free(after.id)
    meeting = await settle(before, changes, work)
    if matters_to_people(before, after) and after.state is not MeetingState.DRAFT:
        moved = {each.place.id for each in changes}
        people = [each for each in await work.store.open_registrations(after.id) if each.id not in moved]
        await tell_people(meeting, [(each, SeatCause.OCCASION_CHANGED) for each in people], work)
    return meeting


async def publish(meeting_id: str, institution: str, work: Work[Store]) -> Meeting:
    """Show a meeting to everybody."""
    meeting = await work.store.locked_meeting(meeting_id, institution)
    with refusing():
        meeting = tell_new_state(step(meeting, "publish", work.now), work)
    await work.store.keep_meeting(meeting)
    return meeting


async def postpone(
    meeting_id: str,
    institution: str,
    starts: datetime | None,
    ends: datetime | None,
    reason: str | None,
    work: Work[Store],
) -> Meeting:
    """Say that a meeting takes place later; with a new time it goes on as published, told as changed."""
    if ends is not None and starts is None:
        raise Invalid("ends: an end needs a start", code="end_without_start")
    meeting = await work.store.locked_meeting(meeting_id, institution)
    if meeting.state is not MeetingState.POSTPONED or starts is None:
        with refusing():
            meeting = tell_new_state(step(meeting, "postpone", work.now, reason), work)
    if starts is None:
        await work.store.keep_meeting(meeting)
        people = await work.store.open_registrations(meeting_id)
        await tell_people(meeting, [(each, SeatCause.OCCASION_CHANGED) for each in people], work)
        return meeting
    with refusing():
        moved = at_new_time(meeting, starts, ends, work.now)
    return await _publish_again(moved, work)


async def _publish_again(meeting: Meeting, work: Work[Store]) -> Meeting:
    """Tell the new time first: a seat that is offered afterwards is one at a meeting everybody knows of."""
    meeting = tell_meeting(MeetingChanged, replace(meeting, counted_at=work.now), work)
    await work.store.keep_meeting(meeting)
    people = await work.store.open_registrations(meeting.id)
    await tell_people(meeting, [(each, SeatCause.OCCASION_CHANGED) for each in people], work)
    return await settle(meeting, await desk_of(work).offer_free(meeting.id), work)


async def cancel(meeting_id: str, institution: str, reason: str, work: Work[Store]) -> Meeting:
    """Cancel a meeting with a reason; every open registration ends and is told."""
    meeting = await work.store.locked_meeting(meeting_id, institution)
    with refusing():
        meeting = tell_new_state(step(meeting, "cancel", work.now, reason), work)
    await work.store.keep_meeting(meeting)
    gone = [_ended(each, RegistrationState.CANCELLED) for each in await work.store.open_registrations(meeting_id)]
    await tell_people(meeting, [(each, SeatCause.OCCASION_CANCELLED) for each in gone], work)
    return meeting


async def hold(meeting_id: str, institution: str | None, work: Work[Store]) -> Meeting:
    """Note that a meeting took place; whoever still waits does not get a seat any more."""
    meeting = await work.store.locked_meeting(meeting_id, institution)
    with refusing():
        meeting = tell_new_state(step(meeting, "hold", work.now), work)
    await work.store.keep_meeting(meeting)
    left = [each for each in await work.store.open_registrations(meeting_id) if each.state in QUEUED]
    ended = [_ended(each, RegistrationState.EXPIRED) for each in left]
    await tell_people(meeting, [(each, SeatCause.PROGRESSED) for each in ended], work)
    return meeting


def _ended(registration: Registration, state: RegistrationState) -> Registration:
    return replace(registration, state=state, offered_until=None)
