"""Double opt-in: somebody asks for an address, whoever reads its mail confirms, and nobody learns who attends."""

from dataclasses import dataclass, replace
from types import MappingProxyType

from services.events.domain import registration as domain
from services.events.domain.meeting import Meeting, check_askable, most_unconfirmed
from services.events.domain.registration import (
    MOST_UNCONFIRMED_OF_ONE,
    Participant,
    Registration,
    asked_again,
    is_forgotten,
    mail_key,
)
from services.events.handlers import seats
from services.events.handlers.refusing import refusing
from services.events.handlers.telling import tell_contact, tell_people
from services.events.store import Store
from shared.contract.events import RegistrantErased
from shared.contract.words import MeetingKind, MeetingState, RegistrationState, SeatCause
from shared.kit import idempotency
from shared.kit.errors import Conflict, Invalid, NotFound, Problem
from shared.kit.work import Work


class TooManyUnconfirmed(Problem):
    """More people asked without confirming than a meeting of this size can ever have."""

    status = 429
    code = "too_many_unconfirmed"
    headers = MappingProxyType({"Retry-After": "86400"})


@dataclass(frozen=True)
class Asked:
    """What somebody sends who wants to attend."""

    name: str
    mail: str
    language: str
    company: str | None = None


async def ask(meeting_id: str, asked: Asked, work: Work[Store]) -> None:
    """Note that somebody wants to attend, and have a mail sent that asks to confirm it.

    Comes to the same end whether or not the address is known, so that nobody can find out who attends.
    """
    meeting = await work.store.locked_meeting(meeting_id)
    await _check(meeting, asked, work)
    participant = await _participant(meeting.institution, asked, work)
    known = await work.store.registration_in(meeting_id, participant.id)
    registration = await _to_confirm(known, meeting, participant, asked, work)
    if registration is None:
        return
    await _say_who(participant, asked, work)
    if known is None:
        await work.store.add_registration(registration)
    await tell_people(meeting, [(registration, SeatCause.ASKED)], work)


async def _check(meeting: Meeting, asked: Asked, work: Work[Store]) -> None:
    """Refuse what nobody may ask for; nothing here depends on whether the address is known."""
    if meeting.state is MeetingState.DRAFT:
        raise NotFound(f"there is no meeting '{meeting.id}'")
    with refusing():
        check_askable(meeting, work.now)
    if asked.company is not None and meeting.kind is not MeetingKind.DIVERSITY:
        raise Invalid("a company is asked for at Diversity meetings only", code="company_not_asked_for")
    if await work.store.unconfirmed(meeting.id) >= most_unconfirmed(meeting):
        raise TooManyUnconfirmed("too many people have not confirmed yet; please try again in a few days")


async def _participant(institution: str, asked: Asked, work: Work[Store]) -> Participant:
    """Give whoever has the address, locked, so that nobody is erased while asking."""
    known = await work.store.participant_by_mail(institution, mail_key(asked.mail))
    if known is None:
        new = Participant(work.ids.new("participant"), institution, asked.name, asked.mail, asked.language, version=0)
        if await work.store.add_participant(new):
            return new
        # Another meeting's registration was quicker with the same address.
        known = await work.store.participant_by_mail(institution, new.mail_key)
    if known is None:
        raise Conflict("the address is being erased at this moment; please try again")
    return known


async def _to_confirm(
    known: Registration | None, meeting: Meeting, participant: Participant, asked: Asked, work: Work[Store]
) -> Registration | None:
    if known is not None:
        return asked_again(known, work.now)
    unconfirmed, _ = await work.store.ways_of(participant.id)
    if unconfirmed >= MOST_UNCONFIRMED_OF_ONE:
        return None
    return domain.new(work.ids.new("registration"), meeting, participant.id, asked.company, work.now)


async def _say_who(participant: Participant, asked: Asked, work: Work[Store]) -> None:
    """Tell a new contact; one that a mail was never confirmed for is whoever asked last, any other stays as it is."""
    _, confirmed = await work.store.ways_of(participant.id)
    said = replace(participant, name=asked.name, language=asked.language)
    if participant.version > 0 and (confirmed or said == participant):
        return
    said = replace(said, version=participant.version + 1)
    await work.store.keep_participant(said)
    tell_contact(said, work)


async def confirm(registration_id: str, work: Work[Store]) -> Registration:
    """Take a person at their word: a seat, or the next place in the queue."""
    found = await work.store.registration(registration_id)
    meeting = await work.store.locked_meeting(found.meeting_id)
    registration = await work.store.locked_registration(registration_id)
    if registration.state is not RegistrationState.UNCONFIRMED:
        raise Conflict("this has been done already", code="already_done")
    with refusing():
        check_askable(meeting, work.now)
    if is_forgotten(registration, work.now):
        raise Conflict("the time to confirm is over", code="too_late")
    return await seats.give(registration, work)


async def forget(registration_id: str, work: Work[Store]) -> None:
    """Delete a registration that nobody confirmed in time, and the person if nothing else is known of them."""
    found = await work.store.registration(registration_id)
    # Locks go down: meeting, participant, registration.
    participant = await work.store.locked_participant(found.participant_id)
    registration = await work.store.locked_registration(registration_id)
    if not is_forgotten(registration, work.now):
        raise Conflict("this registration is confirmed, or still may be", code="already_done")
    await work.store.delete_registration(registration_id)
    if await work.store.ways_of(participant.id) == (0, 0):
        await erase_contact(participant, work)


async def erase_contact(participant: Participant, work: Work[Store]) -> None:
    """Delete a locked person and have every copy of the contact go."""
    await forget_person(participant.id, work)
    work.tell(
        RegistrantErased(
            institution=participant.institution, version=participant.version + 1, participant_id=participant.id
        )
    )


async def forget_person(participant_id: str, work: Work[Store]) -> None:
    """Delete what this service holds of a person."""
    await work.store.delete_participant(participant_id)
    await idempotency.forget(work.connection, participant_id)
