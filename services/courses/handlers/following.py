"""Keeps a received referral in step with the person's place, and tells the sender its end."""

from typing import Any, TypeVar

import structlog

from services.courses.domain import referral as rules
from services.courses.domain.enrolment import Enrolment
from services.courses.domain.referral import Ignored, Referral, ReferralState
from services.courses.store import Store
from shared.contract.courses import Referred
from shared.contract.referrals import ReferralAnswered, ReferralMessage
from shared.contract.words import SeatCause
from shared.kit.work import Work

log = structlog.get_logger()
R = TypeVar("R", bound=ReferralMessage)


async def follow(enrolment: Enrolment, cause: SeatCause, work: Work[Store]) -> Referred | None:
    """Note what became of a place that a referral brought; give who referred, as long as that is not settled."""
    if enrolment.referral_id is None:
        return None
    before = await work.store.locked_referral(enrolment.referral_id, enrolment.institution)
    if before is None:
        return None
    after = rules.followed(before, enrolment.state, cause, work.now)
    if after is not before:
        await work.store.keep_referral(after)
        await tell_end(after, work)
    unsettled = before.ended_at is None or before.forget
    ended = before.ended_at is not None
    return Referred(by=before.other, fields=before.fields, ended=ended) if unsettled else None


async def tell_end(referral: Referral, work: Work[Store]) -> None:
    """Destroy the key of a referral that has ended and tell the sender what became of it; nothing before that."""
    if referral.ended_at is None:
        return
    await work.store.destroy_key(referral)
    outcome = rules.outcome_of(referral)
    if outcome is not None:
        work.tell(about(ReferralAnswered, referral, outcome=outcome))


def about(kind: type[R], referral: Referral, **more: Any) -> R:
    """Make a message to the other side of a referral."""
    common = {
        "institution": referral.institution,
        "to": referral.other,
        "version": referral.version,
        "referral_id": referral.id,
    }
    return kind.model_validate({**common, **more})


async def end_here(referral: Referral, state: ReferralState, work: Work[Store], code: str | None = None) -> Referral:
    """End a received referral and tell the sender; raises Ignored where it has ended."""
    ended = rules.ended_here(referral, state, work.now, code)
    await work.store.keep_referral(ended)
    await tell_end(ended, work)
    return ended


def say_ignored(message: str, referral_id: str, ignored: Ignored) -> None:
    """Leave a trace of a message that came late or twice; it holds ids alone."""
    log.info("referral_message_ignored", message=message, referral=referral_id, code=ignored.code)
