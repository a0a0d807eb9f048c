"""What became of the mails, for the staff of an institution."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from services.notifications.domain.addresses import masked
from services.notifications.domain.attempts import Attempt
from services.notifications.domain.delivery import Class, Delivery, State
from services.notifications.domain.letter import Kind
from services.notifications.handlers.staff import try_again
from shared.contract.words import Slug
from shared.kit.bodies import Moment
from shared.kit.errors import NotFound
from shared.kit.http import ReadKey, WriteKey, node_of
from shared.kit.matching import TAGGED, tag_of

router = APIRouter(prefix="/institutions/{institution}/deliveries", tags=["deliveries"])

DeliveryId = Annotated[str, Path(pattern=r"^dlv_[0-9a-z]{26}$")]


class DeliveryView(BaseModel):
    """A mail and where it stands; the address is masked."""

    delivery_id: str
    kind: Kind
    class_: Annotated[Class, Field(serialization_alias="class")]
    state: State
    reason: str | None
    participant_id: str
    subject_id: str
    occasion_id: str
    address: str | None
    attempts: int
    planned_at: datetime
    not_before: datetime
    useless_after: datetime
    changed_at: datetime


class DeliveryPage(BaseModel):
    """A page of mails, the newest first; `next` is null at the end."""

    items: list[DeliveryView]
    next: str | None = None


class AttemptView(BaseModel):
    """One attempt: its class, and what the server answered; without `ended_at` it is under way or nobody knows."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    phase: str | None
    code: int | None
    answer: str | None


class DeliveryDetails(DeliveryView):
    """A mail with all its attempts."""

    attempts_made: list[AttemptView]


@router.get("")
async def list_deliveries(
    institution: Slug,
    request: Request,
    key: ReadKey,
    state: State | None = None,
    kind: Kind | None = None,
    since: Moment | None = None,
    after: Annotated[
        str, Query(pattern=r"^(dlv_[0-9a-z]{26})?$", description="Where the page before ended: its `next`")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> DeliveryPage:
    """List mails, the newest first; `since` is about the last change of a mail."""
    async with node_of(request).works.looking() as store:
        page = await store.deliveries.page(
            institution, state=state, kind=kind, since=since, before=after or None, count=limit + 1
        )
    shown = [_view(one) for one in page[:limit]]
    return DeliveryPage(items=shown, next=shown[-1].delivery_id if len(page) > limit else None)


@router.get("/{delivery_id}", responses=TAGGED)
async def show_delivery(
    institution: Slug, delivery_id: DeliveryId, request: Request, response: Response, key: ReadKey
) -> DeliveryDetails:
    """Show a mail with its attempts; its ETag may come back as `If-Match` with a change."""
    async with node_of(request).works.looking() as store:
        found = await store.deliveries.delivery(delivery_id, institution)
        attempts = await store.deliveries.attempts(delivery_id) if found else []
    if found is None:
        raise NotFound("there is no such delivery")
    response.headers["ETag"] = tag_of(found)
    return _details(found, attempts)


@router.post("/{delivery_id}/retry")
async def retry_delivery(institution: Slug, delivery_id: DeliveryId, request: Request, key: WriteKey) -> DeliveryView:
    """Try a mail again that is uncertain, undeliverable, held or rejected."""
    async with node_of(request).works() as work:
        released = await try_again(institution, delivery_id, work)
    return _view(released)


def _view(one: Delivery) -> DeliveryView:
    return DeliveryView(
        delivery_id=one.id,
        kind=one.kind,
        class_=one.class_,
        state=one.state,
        reason=one.reason,
        participant_id=one.participant_id,
        subject_id=one.subject_id,
        occasion_id=one.occasion_id,
        address=masked(one.address),
        attempts=one.attempts,
        planned_at=one.planned_at,
        not_before=one.not_before,
        useless_after=one.useless_after,
        changed_at=one.changed_at,
    )


def _details(one: Delivery, attempts: list[Attempt]) -> DeliveryDetails:
    made = [AttemptView(**vars(attempt)) for attempt in attempts]
    return DeliveryDetails(**dict(_view(one)), attempts_made=made)
