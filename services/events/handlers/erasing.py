"""Erasing a person: seats go to the next, the contact goes everywhere, the counts stay."""

from services.events.domain.registration import OPEN, Registration
from services.events.handlers import seats
from services.events.handlers.asking import erase_contact
from services.events.store import Store
from shared.contract.words import RegistrationState
from shared.kit.errors import NotFound
from shared.kit.work import Work


async def erase(participant_id: str, institution: str, work: Work[Store]) -> None:
    """Erase a person who asked to attend; raises NotFound."""
    # Locks go down: meeting, participant, registration. Whatever is new meanwhile is seen once the person is locked.
    for registration in await _of(participant_id, institution, work):
        await work.store.locked_meeting(registration.meeting_id)
    participant = await work.store.locked_participant(participant_id, institution)
    for registration in await _of(participant_id, institution, work):
        if registration.state in OPEN:
            await seats.withdraw(registration.id, institution, work)
        elif registration.state is RegistrationState.UNCONFIRMED:
            await work.store.delete_registration(registration.id)
    await erase_contact(participant, work)


async def _of(participant_id: str, institution: str, work: Work[Store]) -> list[Registration]:
    found = await work.store.registrations_of(participant_id)
    if any(each.institution != institution for each in found):
        raise NotFound(f"there is no participant '{participant_id}'")
    return found
