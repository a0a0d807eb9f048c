"""A delivery and its states: the row is the record, and this is the only place that says where it may go."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.notifications.domain.letter import Kind


class State(StrEnum):
    """Where a delivery stands."""

    planned = "planned"
    queued = "queued"
    sending = "sending"
    handed_over = "handed_over"
    delivered = "delivered"
    assumed_delivered = "assumed_delivered"
    deferred = "deferred"
    held = "held"
    uncertain = "uncertain"
    undeliverable = "undeliverable"
    bounced = "bounced"
    complained = "complained"
    rejected_policy = "rejected_policy"
    suppressed = "suppressed"
    cancelled = "cancelled"
    superseded = "superseded"
    merged = "merged"
    expired = "expired"


class Class(StrEnum):
    """What kind of news a mail is; the order here is the order of sending."""

    security = "security"
    cancellation = "cancellation"
    change = "change"
    reminder = "reminder"
    info = "info"
    feedback = "feedback"
    newsletter = "newsletter"

    @property
    def rank(self) -> int:
        """Give the place in the order of sending, 0 first."""
        return list(Class).index(self)


CLASS_OF: Final[Mapping[Kind, Class]] = {
    Kind.registration_confirm: Class.security,
    Kind.run_cancelled: Class.cancellation,
    Kind.referral_ended: Class.cancellation,
    Kind.meeting_cancelled: Class.cancellation,
    Kind.run_changed: Class.change,
    Kind.meeting_changed: Class.change,
    Kind.reminder: Class.reminder,
    Kind.enrolled: Class.info,
    Kind.registered: Class.info,
    Kind.waiting: Class.info,
    Kind.seat_offered: Class.info,
    Kind.offer_expired: Class.info,
}

SENT_ONCE_MORE: Final = frozenset({Class.cancellation, Class.change})
"""Classes of which two copies do less harm than none, where nobody knows whether the first one arrived."""

# What ends a mail before it is sent.
_UNSENT_ENDS = frozenset({State.suppressed, State.cancelled, State.superseded, State.merged, State.expired})

OPEN: Final = frozenset({State.planned, State.queued, State.deferred, State.held, State.sending})
"""States from which a mail may still leave without anybody's hand."""

BY_HAND: Final = frozenset({State.uncertain, State.undeliverable, State.held, State.rejected_policy})
"""States from which staff may have a mail tried again."""

MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.planned: frozenset({State.queued}) | _UNSENT_ENDS,
    State.queued: frozenset({State.sending, State.held, State.planned}) | _UNSENT_ENDS,
    State.deferred: frozenset({State.sending, State.held, State.undeliverable, State.rejected_policy}) | _UNSENT_ENDS,
    State.held: frozenset({State.queued}) | _UNSENT_ENDS,
    State.sending: frozenset(
        {State.handed_over, State.deferred, State.held, State.uncertain, State.undeliverable, State.rejected_policy}
    )
    | _UNSENT_ENDS,
    # `deferred` is the one copy more of a cancellation or change, `queued` is the hand of staff.
    State.uncertain: frozenset({State.deferred, State.queued, State.delivered, State.bounced, State.complained}),
    State.handed_over: frozenset({State.delivered, State.assumed_delivered, State.bounced, State.complained}),
    State.assumed_delivered: frozenset({State.delivered, State.bounced, State.complained}),
    State.delivered: frozenset({State.complained}),
    State.undeliverable: frozenset({State.queued}),
    State.rejected_policy: frozenset({State.queued}),
    State.bounced: frozenset(),
    State.complained: frozenset(),
    State.suppressed: frozenset(),
    State.cancelled: frozenset(),
    State.superseded: frozenset(),
    State.merged: frozenset(),
    State.expired: frozenset(),
}


class IllegalMove(Exception):  # noqa: N818 - named for what was tried
    """A delivery was to go where its state does not lead; only a fault in the code asks for that."""


@dataclass(frozen=True)
class Facts:
    """What a letter says beyond its occasion; `links` are purposes with the end of each link.

    `seated` tells whether the reader has the seat, or only waits for one; `referred_by` is the slug of who referred
    them, `referred_with` names what came with that.
    """

    place_in_queue: int | None = None
    offered_until: datetime | None = None
    reason: str | None = None
    links: tuple[tuple[str, datetime], ...] = ()
    seated: bool = True
    referred_by: str | None = None
    referred_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """One mail to one participant.

    `reason` is a stable code; `stopped` is where it ends after the attempt that is under way; `written` means that its
    bytes are kept; `forgotten` that they were, and are kept no longer.
    """

    id: str
    institution: str
    participant_id: str
    subject_id: str
    business_key: str
    kind: Kind
    version: int
    occasion_id: str
    occasion_version: int
    picture: str
    starts: datetime | None
    facts: Facts
    not_before: datetime
    useless_after: datetime
    planned_at: datetime
    changed_at: datetime
    state: State = State.planned
    reason: str | None = None
    attempts: int = 0
    first_attempt_at: datetime | None = None
    sent_once_more: bool = False
    stopped: State | None = None
    address: str | None = None
    written: bool = False
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    forgotten: bool = False

    @property
    def class_(self) -> Class:
        """Give the class, by which mails are sorted and treated."""
        return CLASS_OF[self.kind]


def move(delivery: Delivery, state: State, now: datetime, reason: str | None = None) -> Delivery:
    """Bring a delivery into a state; raises IllegalMove where no path leads there."""
    if state not in MOVES[delivery.state]:
        raise IllegalMove(f"{delivery.id}: {delivery.state} does not lead to {state}")
    return replace(delivery, state=state, reason=reason, changed_at=now, claimed_by=None, claimed_until=None)


def claim(delivery: Delivery, holder: str, until: datetime, now: datetime) -> Delivery:
    """Take a delivery for an attempt, with a lease that ends by itself."""
    return replace(
        move(delivery, State.sending, now),
        claimed_by=holder,
        claimed_until=until,
        attempts=delivery.attempts + 1,
        first_attempt_at=delivery.first_attempt_at or now,
    )


def end(delivery: Delivery, state: State, now: datetime, reason: str) -> Delivery:
    """End a mail that is not true any more; one that is on its way ends only if it does not get through."""
    if delivery.state is State.sending:
        return replace(delivery, stopped=state)
    return move(delivery, state, now, reason)


def lose(delivery: Delivery, now: datetime, reason: str) -> Delivery:
    """Keep that nobody knows whether the mail arrived; a cancellation or change is sent once more, all others wait."""
    lost = move(delivery, State.uncertain, now, reason)
    if delivery.class_ not in SENT_ONCE_MORE or delivery.sent_once_more or delivery.stopped is not None:
        return lost
    return replace(move(lost, State.deferred, now, "sent_once_more"), not_before=now, sent_once_more=True)


def release(delivery: Delivery, now: datetime) -> Delivery:
    """Have a mail tried again by the hand of staff, with the full time for attempts."""
    if delivery.state not in BY_HAND:
        raise IllegalMove(f"{delivery.id}: {delivery.state} is not tried again by hand")
    released = move(delivery, State.queued, now, "released_by_staff")
    return replace(released, not_before=now, first_attempt_at=None)
