"""A referral as each of both sides sees it: what may follow what, and what changes nothing any more.

Neither side knows when a message of the other arrives, and a message may come late or twice. So each step asks for
the state alone; what does not fit is `Ignored` with a reason, and what was never part of the conversation is refused.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from services.courses.domain.consent import Consent, ends_at
from services.courses.domain.refusal import Refused
from shared.contract.referrals import Erased, ReferralField, ReferralOutcome
from shared.contract.words import EnrolmentState, SeatCause


class Side(StrEnum):
    """Who looks at the referral."""

    SENT = "sent"
    RECEIVED = "received"


class ReferralState(StrEnum):
    """The life of a referral, on both sides."""

    ASKED = "asked"
    OPENED = "opened"
    SENT = "sent"
    WAITING = "waiting"
    SEAT_HELD = "seat_held"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    NO_SEAT = "no_seat"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    RECALLED = "recalled"


State = ReferralState
Erasure = Literal["asked", "answered", "unverified", "done"]
"""`answered`: asked by the other side, and answered; else asked here, then with a receipt, then with a checked one."""

OPEN_SENT = frozenset({State.ASKED, State.SENT})
OPEN_RECEIVED = frozenset({State.OPENED, State.WAITING, State.SEAT_HELD})
OPEN = OPEN_SENT | OPEN_RECEIVED
PLACED = frozenset({State.WAITING, State.SEAT_HELD})


@dataclass(frozen=True)
class Receipt:
    """What the other side says it deleted; `verified`: is the signature theirs, None where no key is known."""

    what: tuple[Erased, ...]
    at: datetime
    signed_by: Literal["institution", "node"]
    kid: str
    signature: str
    verified: bool | None


@dataclass(frozen=True)
class Referral:
    """One side's row: ids, states and times, never what was sent.

    `other` is the institution on the other side; `known_before` tells that the receiver knew the person already;
    `forget` that what came is still to be deleted; `erasure` how far it has come where somebody asked for one.
    """

    id: str
    institution: str
    other: str
    side: Side
    run_id: str
    fields: tuple[ReferralField, ...]
    purpose: str
    expires_on: date
    state: ReferralState
    asked_at: datetime
    participant_id: str | None = None
    enrolment_id: str | None = None
    consent: Consent | None = None
    code: str | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    known_before: bool = False
    forget: bool = False
    erasure: Erasure | None = None
    erasure_at: datetime | None = None
    receipt: Receipt | None = None
    version: int = 1


class Ignored(Exception):  # noqa: N818 - no error: it says why a message changes nothing
    """A message came late or twice; `code` says which, and nothing is to be done."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Stranger(Refused):
    """A message about a referral that is not with who speaks."""


def of_theirs(found: Referral | None, referral_id: str, speaker: str, side: Side) -> Referral:
    """Give the referral that a message is about; raises Stranger where this side knows of none with the speaker."""
    if found is None:
        raise Stranger("referral_unknown", f"'{speaker}' speaks of a referral '{referral_id}' that nobody asked for")
    if found.other != speaker or found.side is not side:
        raise Stranger("referral_of_others", f"'{speaker}' speaks of a referral '{referral_id}' that is not with them")
    return found


def _ended(referral: Referral, state: ReferralState, now: datetime, code: str | None = None) -> Referral:
    return replace(referral, state=state, code=code, ended_at=now, version=referral.version + 1)


# What the sender does.


def sealed(referral: Referral, now: datetime) -> Referral:
    """Tell what was consented, once; raises Ignored where it was told already or must not be told any more."""
    if referral.state is not State.ASKED:
        raise Ignored("ended" if referral.ended_at else "doubled")
    return replace(referral, state=State.SENT, sent_at=now, version=referral.version + 1)


def wants_recalling(referral: Referral) -> bool:
    """Tell whether the receiver does not know yet that the sender has given up."""
    return referral.state in (State.RECALLED, State.EXPIRED)


def refused(referral: Referral, code: str, now: datetime) -> Referral:
    """Note that the receiver takes nobody; raises Ignored where the referral has ended."""
    if referral.state not in OPEN_SENT:
        raise Ignored("ended")
    return _ended(referral, State.REFUSED, now, code)


def answered(referral: Referral, outcome: ReferralOutcome, now: datetime) -> Referral:
    """Note what became of it; raises Ignored where nothing changes by that.

    Only the owner gives seats: an acceptance that crossed the recall or the end of the consent on its way stands.
    """
    given_up = referral.state in (State.RECALLED, State.EXPIRED) and referral.sent_at is not None
    if outcome is ReferralOutcome.ACCEPTED and (referral.state is State.SENT or given_up):
        return _ended(referral, State.ACCEPTED, now)
    if outcome is ReferralOutcome.ACCEPTED or referral.state not in OPEN_SENT:
        raise Ignored("not_sent" if referral.state is State.ASKED else "ended")
    return _ended(referral, State(outcome.value), now)


def recalled(referral: Referral, now: datetime, code: str = "recalled") -> Referral:
    """Take it back; raises Refused with `referral_is_<state>` where it has ended."""
    return given_up(referral, State.RECALLED, now, code)


def given_up(referral: Referral, state: ReferralState, now: datetime, code: str) -> Referral:
    """End it from the sender's side; raises Refused with `referral_is_<state>` where it has ended."""
    if referral.state not in OPEN_SENT:
        raise Refused(f"referral_is_{referral.state}", f"the referral is {referral.state} and cannot be recalled")
    return _ended(referral, state, now, code)


# What the receiver does.


def placed(referral: Referral, state: EnrolmentState, participant_id: str, enrolment_id: str) -> Referral:
    """Note where the person stands, as soon as what was sealed is read."""
    here = {EnrolmentState.OFFERED: State.SEAT_HELD, EnrolmentState.WAITING: State.WAITING}[state]
    return replace(
        referral,
        state=here,
        participant_id=participant_id,
        enrolment_id=enrolment_id,
        version=referral.version + 1,
    )


def check_waits_for_content(referral: Referral) -> None:
    """Raise Ignored unless the key was made and nothing came yet."""
    if referral.state is not State.OPENED:
        raise Ignored("ended" if referral.ended_at else "doubled")


def followed(referral: Referral, state: EnrolmentState, cause: SeatCause, now: datetime) -> Referral:
    """Give the referral as the person's place in the run is now; one that has ended stays as it is."""
    if referral.state not in PLACED:
        return referral
    if state in (EnrolmentState.OFFERED, EnrolmentState.WAITING):
        here = State.SEAT_HELD if state is EnrolmentState.OFFERED else State.WAITING
        return referral if here is referral.state else replace(referral, state=here, version=referral.version + 1)
    if state in (EnrolmentState.ENROLLED, EnrolmentState.ATTENDING, EnrolmentState.COMPLETED):
        return _ended(referral, State.ACCEPTED, now)
    ends = {
        SeatCause.DECLINED: State.DECLINED,
        SeatCause.WITHDRAWN: State.WITHDRAWN,
        SeatCause.OFFER_EXPIRED: State.EXPIRED,
    }
    return replace(_ended(referral, ends.get(cause, State.NO_SEAT), now), forget=True)


def ended_here(referral: Referral, state: ReferralState, now: datetime, code: str | None = None) -> Referral:
    """End a received referral: recalled, expired, unreadable; raises Ignored where it has ended.

    Whoever has accepted is the receiver's participant, and no sender takes that back.
    """
    if referral.state not in OPEN_RECEIVED:
        raise Ignored(referral.state.value)
    return replace(_ended(referral, state, now, code), forget=referral.participant_id is not None)


def outcome_of(referral: Referral) -> ReferralOutcome | None:
    """Give what the sender is told of an end; a recall is confirmed as a withdrawal, a refusal is told otherwise."""
    if referral.state is State.RECALLED:
        return ReferralOutcome.WITHDRAWN
    return ReferralOutcome(referral.state.value) if referral.state.value in set(ReferralOutcome) else None


def is_due(referral: Referral, now: datetime) -> bool:
    """Tell whether the consent ended while the referral is open; each side goes by its own clock."""
    return referral.state in OPEN and now >= ends_at(referral.expires_on)


def farewell_needed(referral: Referral) -> bool:
    """Tell whether a last mail says what became of it; who said no themselves have read it on the page."""
    return referral.state not in (State.DECLINED, State.WITHDRAWN)
