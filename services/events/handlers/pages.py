"""What the small pages behind links show and do, without an account."""

from datetime import datetime

from services.events.domain.meeting import Meeting
from services.events.domain.registration import Registration, outlook
from services.events.handlers import asking, seats
from services.events.store import Store
from shared.contract.words import RegistrationState
from shared.kit.work import Work
from shared.pages import Fact, Outcome, Purpose
from shared.pages.serving import Look, own_place, where


async def look(purpose: Purpose, registration_id: str, now: datetime, store: Store) -> Look:
    """Say what a link would do, and do nothing; raises NotFound."""
    registration, meeting = await _found(registration_id, store)
    return Look(await _facts(registration, meeting, store), outlook(purpose, registration, meeting, now))


async def _found(registration_id: str, store: Store) -> tuple[Registration, Meeting]:
    registration = await store.registration(registration_id)
    await store.check_known(registration.participant_id)
    return registration, await store.meeting(registration.meeting_id)


async def _facts(registration: Registration, meeting: Meeting, store: Store) -> list[Fact]:
    return [
        ("Meeting", meeting.title),
        ("Institution", await store.name_of(meeting.institution)),
        ("When", meeting.starts),
        *where(meeting.place),
        *own_place(registration.offered_until, await store.place_in_queue(registration)),
    ]


async def act(purpose: Purpose, registration_id: str, work: Work[Store]) -> tuple[Purpose, Outcome]:
    """Do what a link is for; raises Conflict where a rule refuses it meanwhile. Gives what to answer.

    Whoever confirms and has to wait reads so; whoever asks again and gets a seat at once reads that it is theirs.
    """
    outcome = outlook(purpose, *await _found(registration_id, work.store), work.now)
    if outcome is not None:
        return purpose, outcome
    if purpose == "confirm":
        confirmed = await asking.confirm(registration_id, work)
        return purpose, "done" if confirmed.state is RegistrationState.REGISTERED else "full"
    if purpose == "again":
        again = await seats.ask_again(registration_id, work)
        return ("accept" if again.state is RegistrationState.REGISTERED else purpose), "done"
    if purpose == "accept":
        await seats.accept(registration_id, None, work)
    elif purpose == "decline":
        await seats.decline(registration_id, None, work)
    else:
        await seats.withdraw(registration_id, None, work)
    return purpose, "done"
