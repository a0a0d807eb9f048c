"""Takes mails out of the queue for an attempt, and keeps what became of it: two transactions, SMTP between them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

import structlog

from services.notifications.domain import retry
from services.notifications.domain.addresses import fingerprint, for_envelope, without
from services.notifications.domain.answers import Answer
from services.notifications.domain.checking import Contact, look
from services.notifications.domain.delivery import Delivery, State, claim, lose, move
from services.notifications.domain.retry import RULES, Failure, Pause
from services.notifications.handlers.letters import Sender, written
from services.notifications.store import Store
from shared.kit.applying import is_transient
from shared.kit.work import Work

log = structlog.get_logger()

LOOKED_AT = 50
"""Deliveries looked at in one claim before the transaction ends, so that it stays short."""
_LONGEST_ANSWER = 300


@dataclass(frozen=True)
class Claimed:
    """A mail that one sender holds for one attempt."""

    id: str
    number: int
    recipient: str
    body: bytes


async def claim_next(sender: Sender, holder: str, lease: timedelta, work: Work[Store]) -> Claimed | None:
    """Take the next mail for an attempt; None where nothing may leave now.

    The state, the lease and the attempt must be committed before the first word of SMTP: a process that dies after it
    leaves an attempt without a result, and nobody sends that mail again without knowing.
    """
    pauses = await work.store.pauses(work.now)
    if Pause.sender in pauses:
        return None
    for _ in range(LOOKED_AT):
        due = await work.store.deliveries.next_due(work.now, _kinds(pauses))
        if due is None:
            return None
        claimed = await _claim(due, sender, holder, lease, work)
        if claimed is not None:
            return claimed
    return None


async def may_send(store: Store, now: datetime) -> bool:
    """Tell whether a claim would find something, without taking a lock."""
    pauses = await store.pauses(now)
    return Pause.sender not in pauses and await store.deliveries.has_due(now, _kinds(pauses))


def _kinds(pauses: dict[str, str]) -> list[str]:
    return sorted(scope.removeprefix("kind:") for scope in pauses if scope.startswith("kind:"))


async def _claim(due: Delivery, sender: Sender, holder: str, lease: timedelta, work: Work[Store]) -> Claimed | None:
    contact = await work.store.contact(due.institution, due.participant_id)
    verdict = look(due, contact, await _suppressed(contact, work), work.now)
    if verdict is not None or contact is None or not contact.mail:
        ended = move(due, verdict.state, work.now, verdict.reason) if verdict else due
        await work.store.deliveries.keep(ended)
        return None
    try:
        recipient = for_envelope(contact.mail)
        # Written once: every attempt sends the same bytes with the same Message-ID, unless the address is another one.
        same = due.written and due.address == contact.mail
        body = await (work.store.deliveries.letter(due.id) if same else written(due, contact, sender, work))
    except Exception as error:
        if is_transient(error):
            raise
        # One letter that cannot be written must not keep all others from leaving.
        await _hold(due, contact, error, work)
        return None
    taken = replace(claim(due, holder, work.now + lease, work.now), written=same)
    await work.store.deliveries.begin_attempt(taken, contact.mail, body, holder, work.now)
    return Claimed(taken.id, taken.attempts, recipient, body)


async def _hold(due: Delivery, contact: Contact, error: Exception, work: Work[Store]) -> None:
    log.error("letter_not_written", delivery=due.id, kind=due.kind.value, reason=type(error).__name__)
    # The sentences of the renderer are for staff and hold no value; those of libraries may.
    why = without(str(error), contact.mail or "", contact.name)[:_LONGEST_ANSWER]
    why = why if type(error) is ValueError else type(error).__name__
    await work.store.deliveries.keep(move(due, State.held, work.now, f"not_written: {why}"))


async def _suppressed(contact: Contact | None, work: Work[Store]) -> str | None:
    if contact is None or not contact.mail:
        return None
    return await work.store.suppressed_for(_fingerprint(contact.mail, work), work.now)


async def keep_answer(claimed: Claimed, answer: Answer, random: Random, work: Work[Store]) -> Failure | None:
    """Keep what the server said and what follows from it; give the class of failure, None for success or no failure."""
    sent = await work.store.deliveries.delivery(claimed.id, lock=True)
    if sent is None or sent.state is not State.sending or sent.attempts != claimed.number:
        # The lease ended meanwhile and somebody else has judged this attempt: its row stays as it is.
        log.warning("answer_too_late", delivery=claimed.id, attempt=claimed.number)
        return None
    if answer.accepted:
        await _ended(claimed, "handed_over", answer, sent, work)
        await work.store.deliveries.keep(move(sent, State.handed_over, work.now))
        return None
    if answer.uncertain:
        await _ended(claimed, "uncertain", answer, sent, work)
        await work.store.deliveries.keep(lose(sent, work.now, "no_answer_to_the_mail"))
        log.warning("delivery_uncertain", delivery=sent.id, kind=sent.kind.value)
        return None
    failure = retry.classify(answer)
    await _ended(claimed, failure.value, answer, sent, work)
    await work.store.deliveries.keep(_after(failure, answer, sent, random, work.now))
    await _consequences(failure, sent, work)
    return failure


def _after(failure: Failure, answer: Answer, sent: Delivery, random: Random, now: datetime) -> Delivery:
    if sent.stopped is not None:
        return move(sent, sent.stopped, now, "stopped_under_way")
    step = retry.next_step(
        failure,
        answer,
        sent.attempts,
        first=sent.first_attempt_at or now,
        useless_after=sent.useless_after,
        now=now,
        random=random,
    )
    moved = move(sent, step.state, now, failure.value)
    return moved if step.at is None else replace(moved, not_before=step.at)


async def _ended(claimed: Claimed, outcome: str, answer: Answer, sent: Delivery, work: Work[Store]) -> None:
    said = without(answer.text, claimed.recipient, sent.address or "")[:_LONGEST_ANSWER]
    await work.store.deliveries.end_attempt(claimed.id, claimed.number, work.now, outcome, answer, said)


async def _consequences(failure: Failure, sent: Delivery, work: Work[Store]) -> None:
    """Do what a failure means beyond its mail: leave an address alone, or pause a kind or the sender."""
    rule = RULES[failure]
    if rule.suppresses:
        await _leave_alone(sent, failure.value, None, work)
    if failure is Failure.mailbox_full:
        since = work.now - retry.FULL_WITHIN
        times = await work.store.deliveries.times_met(failure.value, sent.institution, sent.participant_id, since)
        if times >= retry.FULL_TIMES:
            await _leave_alone(sent, failure.value, work.now + retry.FULL_WITHIN, work)
    if rule.pauses is not None:
        scope = Pause.sender.value if rule.pauses is Pause.sender else f"kind:{sent.kind.value}"
        await work.store.pause(scope, failure.value, work.now, work.now + rule.pause_for)
        log.error("sending_paused", scope=scope, reason=failure.value, delivery=sent.id)


async def _leave_alone(sent: Delivery, reason: str, until: datetime | None, work: Work[Store]) -> None:
    contact = await work.store.contact(sent.institution, sent.participant_id)
    if contact is None or not sent.address:
        return
    await work.store.suppress(_fingerprint(sent.address, work), contact, reason, work.now, until)
    log.warning("address_suppressed", delivery=sent.id, participant=sent.participant_id, reason=reason)


def _fingerprint(address: str, work: Work[Store]) -> str:
    return fingerprint(address, work.settings.secret.get_secret_value())


async def recover(work: Work[Store], holder: str | None = None) -> int:
    """Judge attempts whose sender died: nobody knows what the server got, so they are uncertain; give how many."""
    abandoned = await work.store.deliveries.abandoned(work.now, holder)
    for one in abandoned:
        await work.store.deliveries.end_attempt(one.id, one.attempts, work.now, "uncertain", None, None)
        await work.store.deliveries.keep(lose(one, work.now, "sender_died"))
        log.warning("delivery_uncertain", delivery=one.id, kind=one.kind.value)
    return len(abandoned)
