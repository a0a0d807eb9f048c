"""Claims what is due for webhooks, keeps what came back, and judges what a dead sender left behind."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import structlog

from services.notifications.domain.push import (
    Outcome,
    Push,
    PushState,
    Reply,
    after,
    claim,
    forget_attempt,
)
from services.notifications.domain.signing import Unreadable, unseal
from services.notifications.domain.webhook import Circuit, Webhook, disable, failed, noted, worked
from services.notifications.store import Store
from shared.kit.work import Work

log = structlog.get_logger()

BACKLOG = 100_000
"""So much may wait for one webhook; an address that takes less than the network tells is no use to anybody."""
KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Claimed:
    """A push that one sender holds for one attempt."""

    push: Push
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Done:
    """An attempt that came to an end."""

    push: Push
    reply: Reply


async def claim_due(free: int, holder: str, lease: timedelta, work: Work[Store]) -> list[Claimed]:
    """Take up to `free` pushes for an attempt each; no webhook gets more at once than its share.

    State, lease and attempt are committed before the first word of HTTP; a sender that dies after it leaves an attempt
    without an end, and the push is made again with the same `webhook-id`.
    """
    claimed: list[Claimed] = []
    for one in await work.store.webhooks.ready(work.now):
        room = min(one.room, free - len(claimed))
        secrets = await _secrets(one.webhook, work) if room > 0 else None
        if secrets is not None:
            due = await work.store.pushes.take(one.webhook.id, work.now, room)
            claimed += [Claimed(claim(push, work.now), one.webhook.url, body, secrets) for push, body in due]
    taken = [one.push for one in claimed]
    await work.store.pushes.begin_attempts(taken, holder, work.now + lease, work.now)
    return claimed


async def _secrets(webhook: Webhook, work: Work[Store]) -> tuple[str, ...] | None:
    """Open what a webhook signs with; after a rotation the older one may be unreadable, all of them may not."""
    node_secret = work.settings.secret.get_secret_value()
    opened: list[str] = []
    for sealed in await work.store.webhooks.secrets(webhook.id, work.now):
        with suppress(Unreadable):
            opened.append(unseal(sealed, webhook.id, node_secret))
    if not opened:
        await _disable(webhook, Outcome.secret_unreadable.value, work)
        return None
    return tuple(opened)


async def keep_replies(done: Sequence[Done], random: Random, work: Work[Store]) -> None:
    """Keep what came back, and what follows for each push and each webhook."""
    by_webhook: dict[str, list[Reply]] = defaultdict(list)
    for one in done:
        by_webhook[one.push.webhook_id].append(one.reply)
    # In one order, or two copies of the service could wait for each other; webhooks first, as those who remove them do.
    for webhook_id in sorted(by_webhook):
        await _judge(webhook_id, by_webhook[webhook_id], random, work)
    sent = await work.store.pushes.locked(one.push.id for one in done)
    ended = [(sent[one.push.id], one.reply) for one in done if _is_under_way(one.push, sent.get(one.push.id))]
    await work.store.pushes.end_attempts(ended, work.now)
    moved = [after(push, reply, work.now, random) for push, reply in ended]
    await work.store.pushes.keep(moved)
    for push in moved:
        if push.state is PushState.given_up:
            _say_given_up(push)


def _is_under_way(attempted: Push, found: Push | None) -> bool:
    """Tell whether an attempt still counts: its lease may have ended, and the next one is a story of its own."""
    counts = found is not None and found.state is PushState.sending and found.attempts == attempted.attempts
    if not counts:
        log.warning("reply_too_late", push=attempted.id, attempt=attempted.attempts)
    return counts


async def _judge(webhook_id: str, replies: list[Reply], random: Random, work: Work[Store]) -> None:
    circuit = await work.store.webhooks.circuit(webhook_id, lock=True)
    if circuit is None:
        return
    moved = circuit
    for reply in replies:
        moved = _answered(moved, reply, work, random)
    if moved != circuit:
        await work.store.webhooks.keep_circuit(webhook_id, moved)
    if any(reply.outcome is Outcome.gone for reply in replies):
        await _disable(await work.store.webhooks.webhook(webhook_id), "gone", work)
    elif moved.lasting(work.now):
        await _disable(await work.store.webhooks.webhook(webhook_id), "failing", work)


def _answered(circuit: Circuit, reply: Reply, work: Work[Store], random: Random) -> Circuit:
    if reply.outcome is Outcome.delivered:
        return worked(circuit)
    if reply.outcome in {Outcome.refused, Outcome.fault}:
        return noted(circuit, work.now)
    return failed(circuit, work.now, random, reply.pause)


def _say_given_up(push: Push) -> None:
    log.warning("push_given_up", push=push.id, webhook=push.webhook_id, type=push.type, outcome=push.last_outcome)


async def _disable(webhook: Webhook | None, reason: str, work: Work[Store]) -> None:
    if webhook is not None:
        await work.store.webhooks.keep(disable(webhook, reason))
        log.error("webhook_disabled", webhook=webhook.id, institution=webhook.institution, reason=reason)


async def recover(work: Work[Store], holder: str | None = None) -> int:
    """Have pushes made again whose sender died; give how many."""
    abandoned = await work.store.pushes.abandoned(work.now, holder)
    await work.store.pushes.end_attempts([(one, Reply(Outcome.unknown)) for one in abandoned], work.now)
    await work.store.pushes.keep(forget_attempt(one, work.now) for one in abandoned)
    for one in abandoned:
        log.warning("push_made_again", push=one.id, webhook=one.webhook_id)
    return len(abandoned)


async def give_up_old(work: Work[Store]) -> int:
    """Give up what nobody took for 72 hours, and webhooks for which more waits than is kept; give how many pushes."""
    old = [
        replace(one, state=PushState.given_up, changed_at=work.now) for one in await work.store.pushes.too_old(work.now)
    ]
    await work.store.pushes.keep(old)
    for one in old:
        _say_given_up(one)
    for crowded in await work.store.webhooks.overfull(BACKLOG):
        await _disable(crowded, "backlog_full", work)
    return len(old)


async def forget_pushes(work: Work[Store]) -> None:
    """Drop what ended long ago."""
    await work.store.pushes.forget(work.now - KEPT_FOR)
