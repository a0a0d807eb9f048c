"""A webhook: an address of a partner system to which public facts are pushed, and how it has been answering."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Final

from services.notifications.domain.retry import LONGEST

MOST: Final = 20
"""Webhooks that one institution may have."""
AT_ONCE: Final = 4
"""Attempts under way at the same time to one address."""
TRIPPED: Final = 3
"""So many failures in a row, and the address is tried by one attempt at a time, with growing waits."""
_FIRST_WAIT = 2.0
_LONGEST_WAIT = 15 * 60.0


class WebhookState(StrEnum):
    """Whether a webhook is pushed to; a paused one still collects, a disabled one does not."""

    active = "active"
    paused = "paused"
    disabled = "disabled"


class Signing(StrEnum):
    """How what is pushed is signed: by a secret that both know, or by a key that only this node has."""

    hmac = "hmac"
    ed25519 = "ed25519"


@dataclass(frozen=True)
class Webhook:
    """What an institution has asked for; None for `types` or `institutions` stands for all.

    `reason` is a stable code and says why it is disabled.
    """

    id: str
    institution: str
    url: str
    types: tuple[str, ...] | None
    institutions: tuple[str, ...] | None
    signing: Signing
    made_at: datetime
    state: WebhookState = WebhookState.active
    reason: str | None = None


@dataclass(frozen=True)
class Listener:
    """What decides whether a webhook gets a message; `begins` has the positions behind which it listens, by stream."""

    webhook_id: str
    types: tuple[str, ...] | None
    institutions: tuple[str, ...] | None
    begins: Mapping[str, tuple[int, int]]

    def wants(self, stream: str, position: tuple[int, int], type_word: str, institution: str) -> bool:
        """Tell whether a message is for this webhook."""
        return (
            (self.types is None or type_word in self.types)
            and (self.institutions is None or institution in self.institutions)
            and tuple(position) > tuple(self.begins.get(stream, (0, 0)))
        )


@dataclass(frozen=True)
class Circuit:
    """How an address has been answering: failures in a row, since when, and until when it is left alone."""

    failures: int = 0
    failing_since: datetime | None = None
    open_until: datetime | None = None

    @property
    def room(self) -> int:
        """Give how many attempts may be under way at once."""
        return 1 if self.failures >= TRIPPED else AT_ONCE

    def lasting(self, now: datetime) -> bool:
        """Tell whether nothing has come through for as long as anything is tried."""
        return self.failing_since is not None and now - self.failing_since >= LONGEST


def worked(circuit: Circuit) -> Circuit:
    """Close the circuit: the address answers."""
    return Circuit() if circuit != Circuit() else circuit


def noted(circuit: Circuit, now: datetime) -> Circuit:
    """Note that one message was not taken: the receiver is at work, and the others may do better."""
    return replace(circuit, failing_since=circuit.failing_since or now)


def failed(circuit: Circuit, now: datetime, random: Random, pause: timedelta | None = None) -> Circuit:
    """Note that an address does not take what it gets; `pause` is what it has asked for by Retry-After."""
    failures = circuit.failures + 1
    until = circuit.open_until
    if pause is not None:
        until = max(until or now, now + pause)
    elif failures >= TRIPPED:
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failures - TRIPPED, 20))
        # At least a second, or the first draw of the jitter would make no pause at all.
        until = max(until or now, now + timedelta(seconds=max(1.0, random.uniform(0, longest))))
    return Circuit(failures, circuit.failing_since or now, until)


def disable(webhook: Webhook, reason: str) -> Webhook:
    """Stop pushing to an address until its owner wants it again."""
    return replace(webhook, state=WebhookState.disabled, reason=reason)
