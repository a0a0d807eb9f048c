"""What an institution does with its webhooks: make, change, give a new secret, test, try again, remove."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

from services.notifications.domain.push import Push, PushState, release
from services.notifications.domain.signing import new_secret, public_key_of, seal
from services.notifications.domain.targets import NotAllowed, checked_url
from services.notifications.domain.webhook import MOST, Circuit, Signing, Webhook, WebhookState
from services.notifications.handlers.hearing import new_push
from services.notifications.store import Store
from shared.contract.catalogue import CATALOGUE
from shared.contract.envelope import source_of
from shared.contract.words import Audience
from shared.kit.errors import Conflict, Invalid, NotFound
from shared.kit.streams import Position
from shared.kit.work import Work

SIGNS_ALONG = timedelta(hours=24)
"""How long the secret before the newest one signs along."""
PING = "notifications.webhook.pinged.v1"


@dataclass(frozen=True)
class Wish:
    """What is wanted of a new webhook."""

    url: str
    types: tuple[str, ...] | None
    institutions: tuple[str, ...] | None
    signing: Signing


@dataclass(frozen=True)
class WithSecret:
    """A webhook with the secret that is shown once; what signs by Ed25519 has nothing to show but its public key."""

    webhook: Webhook
    secret: str | None = field(repr=False)
    public_keys: tuple[str, ...]


async def make_webhook(
    institution: str, wish: Wish, ends: Mapping[str, Position], private: bool, random: Random, work: Work[Store]
) -> WithSecret:
    """Make a webhook that gets what comes behind the ends of the streams."""
    await work.store.webhooks.lock_making()
    if len(await work.store.webhooks.of(institution)) >= MOST:
        raise Conflict(f"an institution has at most {MOST} webhooks; remove one first", code="too_many_webhooks")
    new = Webhook(
        id=work.ids.new("webhook"),
        institution=institution,
        url=_checked(wish.url, private),
        types=_known(wish.types),
        institutions=wish.institutions,
        signing=wish.signing,
        made_at=work.now,
    )
    if not await work.store.webhooks.any():
        await work.store.webhooks.read_from(ends)
    await work.store.webhooks.add(new, ends)
    return await _with_new_secret(new, random, work)


async def change_webhook(
    institution: str, id: str, wanted: Mapping[str, Any], private: bool, work: Work[Store]
) -> Webhook:
    """Change address, filters or state; one that is made active again begins with a clean record of failures."""
    found = await _locked(institution, id, work)
    changes = dict(wanted)
    if "url" in changes:
        changes["url"] = _checked(changes["url"], private)
    if "types" in changes:
        changes["types"] = _known(changes["types"])
    if "state" in changes or "url" in changes:
        await work.store.webhooks.keep_circuit(id, Circuit())
    if "state" in changes:
        changes["reason"] = None
    changed = replace(found, **changes)
    await work.store.webhooks.keep(changed)
    return changed


async def rotate_secret(institution: str, id: str, random: Random, work: Work[Store]) -> WithSecret:
    """Give a webhook a new secret; the one before signs along for 24 hours."""
    return await _with_new_secret(await _locked(institution, id, work), random, work)


async def remove_webhook(institution: str, id: str, work: Work[Store]) -> None:
    """Remove a webhook and what waits for it."""
    await _locked(institution, id, work)
    await work.store.webhooks.remove(id)


async def ping(institution: str, id: str, work: Work[Store]) -> Push:
    """Push a test message."""
    _active(await _locked(institution, id, work))
    message_id = work.ids.new("msg")
    event = {
        "specversion": "1.0",
        "id": message_id,
        "source": source_of(institution, "notifications"),
        "type": PING,
        "subject": id,
        "time": work.now.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"institution": institution, "version": 1, "webhook_id": id},
    }
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    push = new_push(id, message_id, PING, work.now, work)
    await work.store.pushes.add({message_id: (PING, body)}, [push], work.now)
    await _close_circuit(id, work)
    return push


async def push_again(webhook_id: str, push_id: str, work: Work[Store]) -> Push:
    """Have a push tried at once, also one that was delivered or given up; raises Conflict while it is under way."""
    found = await work.store.pushes.push(push_id, webhook_id, lock=True)
    if found is None:
        raise NotFound("there is no such delivery")
    if found.state is PushState.sending:
        raise Conflict("this delivery is under way at this moment", code="under_way")
    released = release(found, work.now)
    await work.store.pushes.keep([released])
    await _close_circuit(webhook_id, work)
    return released


async def push_again_for(institution: str, webhook_id: str, push_id: str, work: Work[Store]) -> Push:
    """Have a push of an institution's webhook tried at once."""
    found = await _locked(institution, webhook_id, work)
    if found.state is WebhookState.disabled:
        _active(found)
    return await push_again(webhook_id, push_id, work)


async def _locked(institution: str, id: str, work: Work[Store]) -> Webhook:
    found = await work.store.webhooks.webhook(id, institution, lock=True)
    if found is None:
        raise NotFound("there is no such webhook")
    return found


def _active(webhook: Webhook) -> None:
    if webhook.state is not WebhookState.active:
        raise Conflict(f"the webhook is {webhook.state}; make it active first", code="webhook_not_active")


async def _close_circuit(id: str, work: Work[Store]) -> None:
    """Let the next attempt happen now: somebody has looked at it."""
    circuit = await work.store.webhooks.circuit(id, lock=True)
    if circuit is not None:
        await work.store.webhooks.keep_circuit(id, replace(circuit, open_until=None))


async def _with_new_secret(webhook: Webhook, random: Random, work: Work[Store]) -> WithSecret:
    secret = new_secret(webhook.signing, random)
    public_key = public_key_of(secret)
    sealed = seal(secret, webhook.id, work.settings.secret.get_secret_value(), random)
    await work.store.webhooks.add_secret(webhook.id, sealed, public_key, now=work.now, old=work.now + SIGNS_ALONG)
    shown = tuple(await work.store.webhooks.public_keys(webhook.id, work.now))
    return WithSecret(webhook, None if public_key else secret, shown)


def _checked(url: str, private: bool) -> str:
    try:
        return checked_url(url, private=private)
    except NotAllowed as error:
        raise Invalid(str(error), code="url_not_allowed") from error


def _known(types: tuple[str, ...] | None) -> tuple[str, ...] | None:
    public = {word for word, message in CATALOGUE.items() if message.audience is Audience.NETWORK}
    unknown = sorted(set(types or ()) - public)
    if unknown:
        raise Invalid(f"no public message has the type '{unknown[0]}'", code="unknown_type")
    return types
