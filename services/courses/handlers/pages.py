"""What the small pages behind links show and do, without an account."""

from dataclasses import dataclass
from datetime import datetime

from services.courses.domain.enrolment import Enrolment, LinkOutcome, LinkPurpose, outlook
from services.courses.domain.run import Run
from services.courses.handlers import seats
from services.courses.store import Store
from shared.contract.words import EnrolmentState
from shared.kit.errors import Conflict
from shared.kit.work import Work


@dataclass(frozen=True)
class Look:
    """What a link is about; `outcome` where asking makes no sense any more."""

    enrolment: Enrolment
    run: Run
    outcome: LinkOutcome | None


async def look(purpose: LinkPurpose, enrolment_id: str, now: datetime, store: Store) -> Look:
    """Say what a link would do, and do nothing; raises NotFound."""
    enrolment = await store.enrolment(enrolment_id)
    run = await store.run(enrolment.run_id)
    return Look(enrolment, run, outlook(purpose, enrolment, run, now))


async def act(purpose: LinkPurpose, enrolment_id: str, work: Work[Store]) -> tuple[LinkPurpose, LinkOutcome]:
    """Do what a link is for; raises Conflict where a rule refuses it meanwhile. Gives what to answer.

    Whoever asks again and gets a seat at once reads that the place is theirs.
    """
    seen = await look(purpose, enrolment_id, work.now, work.store)
    if seen.outcome is not None:
        return purpose, seen.outcome
    if purpose == "accept":
        await seats.accept(enrolment_id, None, work)
    elif purpose == "decline":
        await seats.decline(enrolment_id, None, work)
    elif purpose == "cancel":
        await seats.leave(enrolment_id, None, "withdraw", work)
    else:
        again = await seats.ask_again(enrolment_id, None, work)
        return ("accept" if again.enrolment.state is EnrolmentState.ENROLLED else "again"), "done"
    return purpose, "done"


def outcome_of(conflict: Conflict) -> LinkOutcome:
    """Say a refusal in the words of the pages."""
    if conflict.code == "already_done":
        return "already_done"
    return "full" if conflict.code == "full" else "too_late"
