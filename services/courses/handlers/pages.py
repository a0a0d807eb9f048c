"""What the small pages behind links show and do, without an account."""

from datetime import datetime

from services.courses.domain.enrolment import Enrolment, LinkPurpose, outlook
from services.courses.domain.run import Run
from services.courses.handlers import asking, seats
from services.courses.store import Store
from shared.contract.words import EnrolmentState
from shared.kit.directory import known_institutions
from shared.kit.errors import NotFound
from shared.kit.work import Work
from shared.pages import Fact, Outcome, Purpose
from shared.pages.serving import Look, own_place, where


async def look(purpose: Purpose, enrolment_id: str, now: datetime, store: Store) -> Look:
    """Say what a link would do, and do nothing; raises NotFound."""
    enrolment = await store.enrolment(enrolment_id)
    run = await store.run(enrolment.run_id)
    return Look(await _facts(enrolment, run, store), outlook(_known(purpose), enrolment, run, now))


async def _facts(enrolment: Enrolment, run: Run, store: Store) -> list[Fact]:
    names = await known_institutions(store.connection)
    begins: list[Fact] = [("When", run.sessions[0].starts)] if run.sessions else []
    return [
        ("Course", run.title),
        ("Institution", names.get(run.institution, run.institution)),
        *begins,
        *(await _referred_by(enrolment, names, store)),
        *where(run.place),
        *own_place(enrolment.offered_until, await store.place_in_queue(enrolment)),
    ]


async def _referred_by(enrolment: Enrolment, names: dict[str, str], store: Store) -> list[Fact]:
    if enrolment.referral_id is None:
        return []
    referral = await store.referral_if_any(enrolment.referral_id, enrolment.institution)
    return [("Referred by", names.get(referral.other, referral.other))] if referral else []


async def act(purpose: Purpose, enrolment_id: str, work: Work[Store]) -> tuple[Purpose, Outcome]:
    """Do what a link is for; raises Conflict where a rule refuses it meanwhile. Gives what to answer.

    Whoever asks again and gets a seat at once reads that the place is theirs.
    """
    enrolment = await work.store.enrolment(enrolment_id)
    outcome = outlook(_known(purpose), enrolment, await work.store.run(enrolment.run_id), work.now)
    if outcome is not None:
        return purpose, outcome
    if purpose == "accept":
        await seats.accept(enrolment_id, None, work)
    elif purpose == "decline":
        await seats.decline(enrolment_id, None, work)
    elif purpose == "cancel":
        await seats.leave(enrolment_id, None, "withdraw", work)
    else:
        again = await asking.ask_again(enrolment_id, None, work)
        return ("accept" if again.enrolment.state is EnrolmentState.ENROLLED else "again"), "done"
    return purpose, "done"


def _known(purpose: Purpose) -> LinkPurpose:
    if purpose == "confirm":
        raise NotFound("nobody confirms a place in a run")
    return purpose
