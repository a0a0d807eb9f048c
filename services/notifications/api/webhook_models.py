"""What is sent and shown of webhooks."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.notifications.domain.push import PushState
from services.notifications.domain.targets import LONGEST_URL
from services.notifications.domain.webhook import Signing, WebhookState
from shared.contract.words import Slug

Url = Annotated[
    str,
    Field(
        max_length=LONGEST_URL,
        description="An https address of the public Internet, without name and password; port 443 or above 1023",
        examples=["https://software.example/album"],
    ),
]
Types = Annotated[
    tuple[Annotated[str, Field(max_length=100)], ...],
    Field(min_length=1, max_length=100, description="Types of public messages; null for all, also of later releases"),
]
Institutions = Annotated[
    tuple[Slug, ...], Field(min_length=1, max_length=200, description="Who speaks in the messages; null for everybody")
]


class NewWebhook(BaseModel):
    """What is wanted of a webhook."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    types: Types | None = None
    institutions: Institutions | None = None
    signing: Signing = Signing.hmac


class WebhookChange(BaseModel):
    """What is to be other than it is; fields that are left out stay."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    types: Types | None = None
    institutions: Institutions | None = None
    state: Literal[WebhookState.active, WebhookState.paused] | None = None


class WebhookView(BaseModel):
    """A webhook, and how its address has been answering.

    `public_keys` check what is signed by Ed25519, the newest first. `reason` says why it is disabled: `gone` (410),
    `failing` (nothing came through for 72 hours), `backlog_full`, `secret_unreadable`, `institution_left`.
    """

    webhook_id: str
    url: str
    types: tuple[str, ...] | None
    institutions: tuple[str, ...] | None
    signing: Signing
    public_keys: tuple[str, ...]
    state: WebhookState
    reason: str | None
    made_at: datetime
    waiting: int
    given_up: int
    failures_in_a_row: int
    failing_since: datetime | None
    resting_until: datetime | None


class WebhookSecret(BaseModel):
    """What receivers check signatures with: a secret that is shown this once, or public keys, the newest first."""

    webhook_id: str
    secret: str | None
    public_keys: tuple[str, ...]


class WebhookMade(WebhookView):
    """A new webhook with its secret, which is shown this once; null where a public key takes its place."""

    secret: str | None


class WebhookPage(BaseModel):
    """All webhooks of an institution; there are few, so `next` is always null."""

    items: list[WebhookView]
    next: None = None


class PushView(BaseModel):
    """One message on its way to a webhook; `message_id` is its `webhook-id` header in every attempt."""

    delivery_id: str
    message_id: str
    type: str
    state: PushState
    attempts: int
    last_outcome: str | None
    made_at: datetime
    changed_at: datetime
    not_before: datetime
    until: datetime


class PushPage(BaseModel):
    """A page of deliveries, the newest first; `next` is null at the end."""

    items: list[PushView]
    next: str | None = None


class PushAttemptView(BaseModel):
    """One attempt; without `ended_at` it is under way, with `unknown` its sender ended before the answer was kept."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    status: int | None
    answer: str | None


class PushDetails(PushView):
    """A delivery with all its attempts."""

    attempts_made: list[PushAttemptView]
