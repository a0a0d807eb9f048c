"""After a backup was restored: meetings, people and places become again what was told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.events.domain.meeting import Series, meeting_as_told
from services.events.domain.registration import CURRENT, Participant, Registration, registration_as_told
from services.events.handlers import asking
from services.events.handlers.telling import tell_meeting
from services.events.store import Store
from shared.contract.envelope import Message
from shared.contract.events import (
    MeetingChanged,
    MeetingMessage,
    MeetingPicture,
    RegistrantContactRecorded,
    RegistrantErased,
    RegistrationChanged,
)
from shared.contract.words import RegistrationState
from shared.kit import inbox
from shared.kit.errors import NotFound
from shared.kit.work import Work


async def take_back(messages: Sequence[Message], work: Work[Store]) -> None:
    """Bring our meetings, people and registrations to the newest told state; else the backup's word counts."""
    for message in messages:
        if isinstance(message, MeetingMessage):
            await _take_meeting_back(message.picture, message.institution, message.version, work)
        elif isinstance(message, RegistrantContactRecorded):
            await _take_contact_back(message, work)
        elif isinstance(message, RegistrantErased):
            await _erase_again(message, work)
    # Behind the people: who is not known by then is erased.
    registrations = [message for message in messages if isinstance(message, RegistrationChanged)]
    for number, registration in enumerate(registrations):
        await _take_registration_back(registration, work.now + timedelta(microseconds=number), work)
    for meeting_id in sorted({each.meeting.meeting_id for each in registrations}):
        meeting = await work.store.locked_meeting(meeting_id)
        taken, held, waiting = await work.store.people_in(meeting_id)
        await work.store.keep_meeting(replace(meeting, taken=taken, held=held, waiting=waiting))


async def tell_again(institution: str, told: Mapping[str, int], work: Work[Store]) -> None:
    """Tell the meetings that are kept in a newer version than everybody was told of."""
    kept = await work.store.versions_told_to_people(institution)
    for meeting_id in sorted(meeting_id for meeting_id, version in kept.items() if told.get(meeting_id, 0) < version):
        meeting = await work.store.locked_meeting(meeting_id)
        await work.store.keep_meeting(tell_meeting(MeetingChanged, meeting, work))


async def _take_meeting_back(told: MeetingPicture, institution: str, version: int, work: Work[Store]) -> None:
    if await work.store.has_meeting(told.meeting_id):
        meeting = await work.store.locked_meeting(told.meeting_id)
        if meeting.version < version:
            await work.store.keep_meeting(meeting_as_told(told, institution, version, meeting))
        return
    if told.series_id is not None:
        try:
            await work.store.one_series(told.series_id, institution)
        except NotFound:
            title = told.series_title or told.title
            await work.store.add_series(Series(told.series_id, institution, title, told.kind))
    version = max(version, await inbox.is_managed_here(institution, told.meeting_id, work))
    await work.store.add_meeting(meeting_as_told(told, institution, version, None))


async def _take_contact_back(told: RegistrantContactRecorded, work: Work[Store]) -> None:
    person = Participant(
        told.participant_id, told.institution, told.name, told.mail, told.language, version=told.version
    )
    try:
        kept = await work.store.locked_participant(told.participant_id)
    except NotFound:
        await work.store.add_participant(person)
        return
    if kept.version < told.version:
        await work.store.keep_participant(person)


async def _erase_again(told: RegistrantErased, work: Work[Store]) -> None:
    """Erase whom the backup has brought back; their registrations come back as they ended."""
    for registration in await work.store.registrations_of(told.participant_id):
        if registration.state is RegistrationState.UNCONFIRMED:
            await work.store.delete_registration(registration.id)
    await asking.forget_person(told.participant_id, work)


async def _take_registration_back(told: RegistrationChanged, asked: datetime, work: Work[Store]) -> None:
    # The meeting as it was then: of its own messages, the last ones may be lost.
    await _take_meeting_back(told.meeting, told.institution, told.meeting_version, work)
    if await _stands_in_the_way(told, work):
        return
    try:
        kept = await work.store.registration(told.registration_id)
    except NotFound:
        if await _is_forgotten(told, work):
            return
        until = told.confirm_until or work.now
        place = (told.meeting.meeting_id, told.participant_id)
        kept = Registration(told.registration_id, told.institution, *place, work.now, work.now, until)
        await work.store.add_registration(registration_as_told(told, asked, kept))
        return
    if kept.version < told.version:
        await work.store.keep_registration(registration_as_told(told, asked, kept))


async def _stands_in_the_way(told: RegistrationChanged, work: Work[Store]) -> bool:
    """Tell whether the person has another registration there that counts; one that nobody confirmed is forgotten.

    Nobody is told that it is: a person who asked once more, or came back by a link, has two of them in what was told.
    """
    other = await work.store.registration_in(told.meeting.meeting_id, told.participant_id)
    if told.state not in CURRENT or other is None or other.id == told.registration_id:
        return False
    if other.state is not RegistrationState.UNCONFIRMED:
        return True
    await work.store.delete_registration(other.id)
    return False


async def _is_forgotten(told: RegistrationChanged, work: Work[Store]) -> bool:
    """Tell whether nobody confirmed, and nobody is known who could."""
    if told.state is not RegistrationState.UNCONFIRMED:
        return False
    try:
        await work.store.check_known(told.participant_id)
    except NotFound:
        return True
    return False
