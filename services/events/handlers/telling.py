"""Tells what became of a meeting and of the people who come to it."""

from collections.abc import Iterable
from dataclasses import replace

from services.events.domain.meeting import Meeting, crowd, is_visible_change, picture
from services.events.domain.registration import Participant, Registration
from services.events.store import Store
from shared.contract.events import (
    MeetingAvailabilityChanged,
    MeetingCancelled,
    MeetingChanged,
    MeetingHeld,
    MeetingMessage,
    MeetingPostponed,
    MeetingPublished,
    RegistrantContactRecorded,
    RegistrationChanged,
)
from shared.contract.words import MeetingState, RegistrationState, SeatCause
from shared.kit.work import Work
from shared.seats.rule import Change

TOLD: dict[MeetingState, type[MeetingMessage]] = {
    MeetingState.PUBLISHED: MeetingPublished,
    MeetingState.POSTPONED: MeetingPostponed,
    MeetingState.CANCELLED: MeetingCancelled,
    MeetingState.HELD: MeetingHeld,
}
Told = tuple[Registration, SeatCause]


def tell_meeting(message: type[MeetingMessage], meeting: Meeting, work: Work[Store]) -> Meeting:
    """Tell the meeting's whole public state in its next version; give the meeting in that version, to be kept."""
    meeting = replace(meeting, version=meeting.version + 1)
    work.tell(message(institution=meeting.institution, version=meeting.version, picture=picture(meeting, work.now)))  # type: ignore[call-arg]  # `type` has a default in every message that travels
    return meeting


def tell_new_state(meeting: Meeting, work: Work[Store]) -> Meeting:
    """Tell that a meeting took a step in its life."""
    return tell_meeting(TOLD[meeting.state], replace(meeting, counted_at=work.now), work)


def tell_difference(before: Meeting, after: Meeting, work: Work[Store]) -> Meeting:
    """Tell what the public sees of a change; a draft tells nothing."""
    if after.state is MeetingState.DRAFT:
        return after
    if crowd(before) != crowd(after) or after.counted_at is None:
        after = replace(after, counted_at=work.now)
    if is_visible_change(before, after):
        return tell_meeting(MeetingChanged, after, work)
    if crowd(before) != crowd(after):
        return tell_meeting(MeetingAvailabilityChanged, after, work)
    return after


async def settle(before: Meeting, changes: Iterable[Change], work: Work[Store]) -> Meeting:
    """Tell what a desk has done: the meeting first, then everybody whose place changed, each once."""
    meeting = tell_difference(before, await work.store.locked_meeting(before.id), work)
    await work.store.keep_meeting(meeting)
    last = {change.place.id: change.cause for change in changes}
    people = [(await work.store.registration(id_), cause) for id_, cause in last.items()]
    await tell_people(meeting, people, work)
    return meeting


async def tell_people(meeting: Meeting, told: Iterable[Told], work: Work[Store]) -> None:
    """Keep people's places in their next version and tell them, each with the meeting's public state."""
    seen = picture(meeting, work.now)
    for before, cause in told:
        registration = replace(before, version=before.version + 1)
        await work.store.keep_registration(registration)
        unconfirmed = registration.state is RegistrationState.UNCONFIRMED
        work.tell(
            RegistrationChanged(
                institution=registration.institution,
                version=registration.version,
                registration_id=registration.id,
                participant_id=registration.participant_id,
                state=registration.state,
                cause=cause,
                place_in_queue=await work.store.place_in_queue(registration),
                offered_until=registration.offered_until,
                confirm_until=registration.confirm_until if unconfirmed else None,
                reason=meeting.reason,
                meeting_version=max(1, meeting.version),
                meeting=seen,
            )
        )


def tell_contact(participant: Participant, work: Work[Store]) -> None:
    """Tell how a person is reached; every other message names them by id."""
    work.tell(
        RegistrantContactRecorded(
            institution=participant.institution,
            version=participant.version,
            participant_id=participant.id,
            name=participant.name,
            mail=participant.mail,
            language=participant.language,
        )
    )
