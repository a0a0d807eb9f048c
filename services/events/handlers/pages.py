"""What the small pages behind links show and do, without an account."""

from dataclasses import dataclass
from datetime import datetime

from services.events.domain.meeting import Meeting
from services.events.domain.registration import LinkOutcome, LinkPurpose, Registration, outlook
from services.events.handlers import asking, seats
from services.events.store import Store
from shared.contract.words import RegistrationState
from shared.kit.errors import Conflict
from shared.kit.work import Work


@dataclass(frozen=True)
class Look:
    """What a link is about; `outcome` where asking makes no sense any more."""

    registration: Registration
    meeting: Meeting
    host: str
    place_in_queue: int | None
    outcome: LinkOutcome | None


async def look(purpose: LinkPurpose, registration_id: str, now: datetime, store: Store) -> Look:
    """Say what a link would do, and do nothing; raises NotFound."""
    registration = await store.registration(registration_id)
    await store.check_known(registration.participant_id)
    meeting = await store.meeting(registration.meeting_id)
    return Look(
        registration,
        meeting,
        await store.name_of(meeting.institution),
        await store.place_in_queue(registration),
        outlook(purpose, registration, meeting, now),
    )


async def act(purpose: LinkPurpose, registration_id: str, work: Work[Store]) -> tuple[LinkPurpose, LinkOutcome]:
    """Do what a link is for; raises Conflict where a rule refuses it meanwhile. Gives what to answer.

    Whoever confirms and has to wait reads so; whoever asks again and gets a seat at once reads that it is theirs.
    """
    seen = await look(purpose, registration_id, work.now, work.store)
    if seen.outcome is not None:
        return purpose, seen.outcome
    if purpose == "confirm":
        confirmed = await asking.confirm(registration_id, work)
        return purpose, "done" if confirmed.state is RegistrationState.REGISTERED else "full"
    if purpose == "again":
        again = await seats.ask_again(registration_id, work)
        return ("accept" if again.state is RegistrationState.REGISTERED else purpose), "done"
    if purpose == "accept":
        await seats.accept(registration_id, work)
    elif purpose == "decline":
        await seats.decline(registration_id, work)
    else:
        await seats.withdraw(registration_id, None, work)
    return purpose, "done"


def outcome_of(conflict: Conflict) -> LinkOutcome:
    """Say a refusal in the words of the pages."""
    if conflict.code == "already_done":
        return "already_done"
    return "full" if conflict.code == "full" else "too_late"
