"""Webhooks of an institution: addresses to which the network's public facts are pushed."""

from datetime import datetime
from random import Random, SystemRandom
from typing import Annotated, cast

from fastapi import APIRouter, Path, Query, Request, Response

from services.notifications.api.webhook_models import (
    NewWebhook,
    PushAttemptView,
    PushDetails,
    PushPage,
    PushView,
    WebhookChange,
    WebhookMade,
    WebhookPage,
    WebhookSecret,
    WebhookView,
)
from services.notifications.domain.push import Attempt, Push, PushState
from services.notifications.domain.webhook import Circuit, Webhook
from services.notifications.handlers import webhooks as handlers
from services.notifications.handlers.receiver import WebhookSettings
from services.notifications.handlers.webhooks import Wish, WithSecret
from services.notifications.store import Store
from shared.contract.words import Slug
from shared.kit.errors import NotFound
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}/webhooks", tags=["webhooks"])

WebhookId = Annotated[str, Path(pattern=r"^webhook_[0-9a-z]{26}$")]
PushId = Annotated[str, Path(pattern=r"^push_[0-9a-z]{26}$")]
_random: Random = SystemRandom()


@router.post("", status_code=201)
async def make_webhook(
    institution: Slug, body: NewWebhook, request: Request, response: Response, key: WriteKey
) -> WebhookMade:
    """Register an address for the network's public facts; it gets what is told from now on.

    What was told before is at `/changes` of the services. The secret is shown in this answer only.
    """
    node = node_of(request)
    ends = await node.subscriptions.ends()
    wish = Wish(body.url, body.types, body.institutions, body.signing)
    async with node.works() as work:
        made = await handlers.make_webhook(institution, wish, ends, _private(request), _random, work)
        view = await _view(made.webhook, work.store, work.now)
    _once(response)
    return WebhookMade(**dict(view), secret=made.secret)


@router.get("")
async def list_webhooks(institution: Slug, request: Request, key: ReadKey) -> WebhookPage:
    """List the institution's webhooks."""
    now = node_of(request).works.clock.now()
    async with node_of(request).works.looking() as store:
        return WebhookPage(items=[await _view(one, store, now) for one in await store.webhooks.of(institution)])


@router.get("/{webhook_id}", responses=TAGGED)
async def show_webhook(
    institution: Slug, webhook_id: WebhookId, request: Request, response: Response, key: ReadKey
) -> WebhookView:
    """Show a webhook."""
    async with node_of(request).works.looking() as store:
        found = await _found(institution, webhook_id, store)
        response.headers["ETag"] = tag_of(found)
        return await _view(found, store, node_of(request).works.clock.now())


@router.patch("/{webhook_id}")
async def change_webhook(
    institution: Slug, webhook_id: WebhookId, body: WebhookChange, request: Request, key: WriteKey
) -> WebhookView:
    """Change address or filters, pause, or make active again; a paused webhook gets later what is told meanwhile."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    # Null stands for all types and all institutions; an address and a state have no such thing.
    wanted = {name: value for name, value in given.items() if value is not None or name in {"types", "institutions"}}
    async with node_of(request).works() as work:
        changed = await handlers.change_webhook(institution, webhook_id, wanted, _private(request), work)
        return await _view(changed, work.store, work.now)


@router.delete("/{webhook_id}", status_code=204)
async def remove_webhook(institution: Slug, webhook_id: WebhookId, request: Request, key: WriteKey) -> None:
    """Remove a webhook; what waits for it is dropped."""
    async with node_of(request).works() as work:
        await handlers.remove_webhook(institution, webhook_id, work)


@router.post("/{webhook_id}/rotate")
async def rotate_secret(
    institution: Slug, webhook_id: WebhookId, request: Request, response: Response, key: WriteKey
) -> WebhookSecret:
    """Give a webhook a new secret; the one before signs along for 24 hours, so receivers can change over."""
    async with node_of(request).works() as work:
        made: WithSecret = await handlers.rotate_secret(institution, webhook_id, _random, work)
    _once(response)
    return WebhookSecret(webhook_id=webhook_id, secret=made.secret, public_keys=made.public_keys)


@router.post("/{webhook_id}/ping", status_code=201)
async def ping_webhook(institution: Slug, webhook_id: WebhookId, request: Request, key: WriteKey) -> PushView:
    """Push a test message of the type `notifications.webhook.pinged.v1`, whatever the filters say."""
    async with node_of(request).works() as work:
        return _push_view(await handlers.ping(institution, webhook_id, work))


@router.get("/{webhook_id}/deliveries")
async def list_pushes(
    institution: Slug,
    webhook_id: WebhookId,
    request: Request,
    key: ReadKey,
    state: PushState | None = None,
    after: Annotated[
        str, Query(pattern=r"^(push_[0-9a-z]{26})?$", description="Where the page before ended: its `next`")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> PushPage:
    """List what was and is to be pushed, the newest first; what ended is kept for 30 days."""
    async with node_of(request).works.looking() as store:
        await _found(institution, webhook_id, store)
        page = await store.pushes.page(webhook_id, state=state, before=after or None, count=limit + 1)
    shown = [_push_view(one) for one in page[:limit]]
    return PushPage(items=shown, next=shown[-1].delivery_id if len(page) > limit else None)


@router.get("/{webhook_id}/deliveries/{push_id}")
async def show_push(
    institution: Slug, webhook_id: WebhookId, push_id: PushId, request: Request, key: ReadKey
) -> PushDetails:
    """Show a delivery with its attempts."""
    async with node_of(request).works.looking() as store:
        await _found(institution, webhook_id, store)
        found = await store.pushes.push(push_id, webhook_id)
        attempts = await store.pushes.attempts(push_id) if found else []
    if found is None:
        raise NotFound("there is no such delivery")
    return _details(found, attempts)


@router.post("/{webhook_id}/deliveries/{push_id}/retry")
async def retry_push(
    institution: Slug, webhook_id: WebhookId, push_id: PushId, request: Request, key: WriteKey
) -> PushView:
    """Push a message at once that waits, was given up, or shall come a second time."""
    async with node_of(request).works() as work:
        return _push_view(await handlers.push_again_for(institution, webhook_id, push_id, work))


async def _found(institution: str, webhook_id: str, store: Store) -> Webhook:
    found = await store.webhooks.webhook(webhook_id, institution)
    if found is None:
        raise NotFound("there is no such webhook")
    return found


def _private(request: Request) -> bool:
    return cast("WebhookSettings", node_of(request).settings).webhook_private


def _once(response: Response) -> None:
    # A kept answer would be a second place where the secret lies.
    response.headers["Cache-Control"] = "no-store"


async def _view(one: Webhook, store: Store, now: datetime) -> WebhookView:
    counts = await store.pushes.counts([one.id])
    circuit = await store.webhooks.circuit(one.id) or Circuit()
    return WebhookView(
        webhook_id=one.id,
        url=one.url,
        types=one.types,
        institutions=one.institutions,
        signing=one.signing,
        public_keys=tuple(await store.webhooks.public_keys(one.id, now)),
        state=one.state,
        reason=one.reason,
        made_at=one.made_at,
        waiting=counts.get((one.id, PushState.waiting), 0) + counts.get((one.id, PushState.sending), 0),
        given_up=counts.get((one.id, PushState.given_up), 0),
        failures_in_a_row=circuit.failures,
        failing_since=circuit.failing_since,
        resting_until=circuit.open_until,
    )


def _push_view(one: Push) -> PushView:
    return PushView(delivery_id=one.id, **{name: getattr(one, name) for name in _SHOWN})


_SHOWN = tuple(name for name in PushView.model_fields if name != "delivery_id")


def _details(one: Push, attempts: list[Attempt]) -> PushDetails:
    made = [PushAttemptView(**vars(attempt)) for attempt in attempts]
    return PushDetails(**dict(_push_view(one)), attempts_made=made)
