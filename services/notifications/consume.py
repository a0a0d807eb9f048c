"""What notifications hears: how participants are reached, what happens to their places, and all that is public."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.checking import Contact
from services.notifications.domain.letter import Appointment
from services.notifications.domain.occasions import Picture, dates, where
from services.notifications.domain.planning import Happening
from services.notifications.handlers.contacts import erase, record_contact, say_farewell
from services.notifications.handlers.hearing import keep_pushes
from services.notifications.handlers.planning import place_changed
from services.notifications.store import Store
from shared.contract.catalogue import CATALOGUE
from shared.contract.courses import EnrolmentChanged, ParticipantContactRecorded, ParticipantErased
from shared.contract.events import RegistrantContactRecorded, RegistrantErased, RegistrationChanged
from shared.contract.words import Audience
from shared.kit.hears import Heard, Hears
from shared.kit.work import Work

hears = Hears()
PUBLIC = tuple(message for message in CATALOGUE.values() if message.audience is Audience.NETWORK)


@hears.each(ParticipantContactRecorded, RegistrantContactRecorded)
async def contacts(message: ParticipantContactRecorded | RegistrantContactRecorded, work: Work[Store]) -> None:
    """Keep how somebody is reached."""
    known = Contact(
        message.institution, message.participant_id, message.version, message.name, message.mail, message.language
    )
    await record_contact(known, work)


@hears.each(ParticipantErased, RegistrantErased)
async def erasures(message: ParticipantErased | RegistrantErased, work: Work[Store]) -> None:
    """Forget somebody, at once or when the last mails have left."""
    if isinstance(message, ParticipantErased) and message.farewell:
        await say_farewell(message.institution, message.participant_id, message.version, work)
        return
    await erase(message.institution, message.participant_id, message.version, work)


@hears.each(EnrolmentChanged)
async def enrolments(message: EnrolmentChanged, work: Work[Store]) -> None:
    """Write what became of a place in a run."""
    run = message.run
    shown = Picture(run.run_id, "run", run.title, dates(run.sessions, run.place))
    happening = Happening(
        institution=message.institution,
        subject_id=message.enrolment_id,
        participant_id=message.participant_id,
        version=message.version,
        sort="run",
        state=message.state.value,
        cause=message.cause,
        occasion_id=run.run_id,
        occasion_version=message.run_version,
        starts=shown.starts,
        ends=shown.ends,
        place_in_queue=message.place_in_queue,
        offered_until=message.offered_until,
        reason=message.reason or run.cancelled_reason,
        referred_by=message.referred.by if message.referred else None,
        referred_with=tuple(map(str, message.referred.fields)) if message.referred else (),
        referral_ended=message.referred is not None and message.referred.ended,
    )
    await place_changed(happening, shown, work)


@hears.each(RegistrationChanged)
async def registrations(message: RegistrationChanged, work: Work[Store]) -> None:
    """Write what became of a place in a meeting."""
    meeting = message.meeting
    only = Appointment(meeting.starts, meeting.ends, where(meeting.place))
    shown = Picture(meeting.meeting_id, "meeting", meeting.title, (only,))
    happening = Happening(
        institution=message.institution,
        subject_id=message.registration_id,
        participant_id=message.participant_id,
        version=message.version,
        sort="meeting",
        state=message.state.value,
        cause=message.cause,
        occasion_id=meeting.meeting_id,
        occasion_version=message.meeting_version,
        starts=shown.starts,
        ends=shown.ends,
        place_in_queue=message.place_in_queue,
        offered_until=message.offered_until,
        confirm_until=message.confirm_until,
        reason=message.reason or meeting.reason,
    )
    await place_changed(happening, shown, work)


async def _anybody_wants(connection: AsyncConnection) -> bool:
    return await Store(connection).webhooks.any()


@hears.every(*PUBLIC, while_=_anybody_wants)
async def public_facts(heard: Sequence[Heard], work: Work[Store]) -> None:
    """Keep what is to be pushed to webhooks."""
    await keep_pushes(heard, work)
