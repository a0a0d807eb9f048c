"""From what happened to a person's place to the mails that follow: which, when, with which links, and which end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.notifications.domain.delivery import OPEN, Delivery, Facts, State
from services.notifications.domain.letter import Kind, Purpose
from shared.contract.words import SeatCause

REMIND_BEFORE = timedelta(hours=24)
AGAIN_FOR = timedelta(days=30)
CONFIRM_FOR = timedelta(days=7)
CANCEL_FOR = timedelta(days=180)
USEFUL_WITHOUT_DATES = timedelta(days=30)

Sort = Literal["run", "meeting"]

_SEATED = frozenset({"enrolled", "attending", "registered"})
_ENDED = frozenset({"completed", "dropped", "rejected", "expired", "transferred", "attended", "no_show"})
_KINDS: Mapping[Sort, Mapping[SeatCause, Kind]] = {
    "run": {
        SeatCause.ASKED: Kind.registration_confirm,
        SeatCause.GIVEN: Kind.enrolled,
        SeatCause.ACCEPTED: Kind.enrolled,
        SeatCause.QUEUED: Kind.waiting,
        SeatCause.OFFERED: Kind.seat_offered,
        SeatCause.OFFER_EXPIRED: Kind.offer_expired,
        SeatCause.OCCASION_CHANGED: Kind.run_changed,
        SeatCause.OCCASION_CANCELLED: Kind.run_cancelled,
    },
    "meeting": {
        SeatCause.ASKED: Kind.registration_confirm,
        SeatCause.GIVEN: Kind.registered,
        SeatCause.ACCEPTED: Kind.registered,
        SeatCause.QUEUED: Kind.waiting,
        SeatCause.OFFERED: Kind.seat_offered,
        SeatCause.OFFER_EXPIRED: Kind.offer_expired,
        SeatCause.OCCASION_CHANGED: Kind.meeting_changed,
        SeatCause.OCCASION_CANCELLED: Kind.meeting_cancelled,
    },
}
_OWN_LINKS: Mapping[Kind, tuple[Purpose, ...]] = {
    Kind.enrolled: ("cancel",),
    Kind.registered: ("cancel",),
    Kind.waiting: ("cancel",),
    Kind.run_changed: ("cancel",),
    Kind.meeting_changed: ("cancel",),
    Kind.reminder: ("cancel",),
    Kind.seat_offered: ("accept", "decline"),
    Kind.offer_expired: ("again",),
    Kind.registration_confirm: ("confirm",),
}


@dataclass(frozen=True)
class Happening:
    """What was told about one person's place at a run or meeting; `starts` and `ends` are of the occasion."""

    institution: str
    subject_id: str
    participant_id: str
    version: int
    sort: Sort
    state: str
    cause: SeatCause
    occasion_id: str
    occasion_version: int
    starts: datetime | None
    ends: datetime | None
    place_in_queue: int | None = None
    offered_until: datetime | None = None
    confirm_until: datetime | None = None
    reason: str | None = None
    referred_by: str | None = None
    referred_with: tuple[str, ...] = ()
    referral_ended: bool = False


@dataclass(frozen=True)
class Planned:
    """A mail to be: `mark` is the version or start that makes it unique for its kind, subject and recipient."""

    kind: Kind
    mark: str
    not_before: datetime
    useless_after: datetime
    facts: Facts

    def business_key(self, happening: Happening) -> str:
        """Give the key that is unique for ever, so that a message handled twice makes one mail."""
        return f"{self.kind}:{happening.subject_id}:{self.mark}:{happening.participant_id}"


def kind_for(happening: Happening) -> Kind | None:
    """Give the kind of mail that follows from a cause; None where nobody is written to."""
    lacking = {
        SeatCause.ASKED: happening.state != "unconfirmed",
        SeatCause.QUEUED: happening.place_in_queue is None,
        SeatCause.OFFERED: happening.offered_until is None,
    }
    if lacking.get(happening.cause, False):
        return None
    if happening.cause is SeatCause.WITHDRAWN and happening.referral_ended:
        return Kind.referral_ended
    return _KINDS[happening.sort].get(happening.cause)


def plan(happening: Happening, now: datetime) -> list[Planned]:
    """Decide which mails follow; a reminder only for those who have a seat, and only if its time is still ahead."""
    kind = kind_for(happening)
    mails = [] if kind is None else [_mail(kind, happening, now)]
    reminder = _reminder(happening, now)
    return mails if reminder is None else [*mails, reminder]


def _mail(kind: Kind, happening: Happening, now: datetime) -> Planned:
    # A change of the occasion is one mail however often the places in it are told again.
    by_occasion = happening.cause in {SeatCause.OCCASION_CHANGED, SeatCause.OCCASION_CANCELLED}
    mark = f"o{happening.occasion_version}" if by_occasion else f"v{happening.version}"
    return Planned(kind, mark, now, _useless_after(kind, happening, now), _facts(kind, happening, now))


def _reminder(happening: Happening, now: datetime) -> Planned | None:
    starts = happening.starts
    may_bring_one = {SeatCause.GIVEN, SeatCause.ACCEPTED, SeatCause.OCCASION_CHANGED}
    if happening.cause not in may_bring_one or happening.state not in _SEATED or starts is None:
        return None
    if starts - REMIND_BEFORE <= now:
        return None
    # The version is in the mark, because a course may move away from a start and back to it.
    mark = f"{starts:%Y%m%dT%H%M%SZ}.v{happening.version}"
    return Planned(Kind.reminder, mark, starts - REMIND_BEFORE, starts, _facts(Kind.reminder, happening, now))


def _useless_after(kind: Kind, happening: Happening, now: datetime) -> datetime:
    by_kind = {Kind.seat_offered: happening.offered_until, Kind.registration_confirm: happening.confirm_until}
    if kind in {Kind.run_cancelled, Kind.meeting_cancelled, Kind.referral_ended}:
        return now + USEFUL_WITHOUT_DATES
    return by_kind.get(kind) or _still_ahead(happening.ends, now) or now + USEFUL_WITHOUT_DATES


def _facts(kind: Kind, happening: Happening, now: datetime) -> Facts:
    links = tuple((purpose, _link_until(purpose, happening, now)) for purpose in _links_of(kind, happening))
    return Facts(
        place_in_queue=happening.place_in_queue if kind is Kind.waiting else None,
        offered_until=happening.offered_until,
        reason=happening.reason,
        links=tuple((purpose, until) for purpose, until in links if until > now),
        seated=happening.state in _SEATED,
        referred_by=happening.referred_by,
        referred_with=happening.referred_with,
    )


def _links_of(kind: Kind, happening: Happening) -> tuple[Purpose, ...]:
    if happening.referred_by is not None and kind is Kind.offer_expired:
        return ()  # what came with a referral is deleted with its end: there is nobody left who could ask again
    return _OWN_LINKS.get(kind, ())


def _link_until(purpose: Purpose, happening: Happening, now: datetime) -> datetime:
    match purpose:
        case "accept" | "decline":
            return happening.offered_until or now
        case "confirm":
            return happening.confirm_until or now + CONFIRM_FOR
        case "again":
            return now + AGAIN_FOR
        case "cancel":
            return _still_ahead(happening.ends, now) or now + CANCEL_FOR


def _still_ahead(moment: datetime | None, now: datetime) -> datetime | None:
    # Whoever gives seats after the last known date has others in mind: such mails are written all the same.
    return moment if moment is not None and moment > now else None


@dataclass(frozen=True)
class Ending:
    """That an earlier mail is not to be sent any more, and why."""

    state: State
    reason: str


def ending_of(earlier: Delivery, happening: Happening, planned: list[Planned]) -> Ending | None:
    """Decide whether an earlier mail about the same place ends; None where it stays true."""
    if earlier.state not in OPEN or earlier.version > happening.version:
        return None
    reason = _without_a_place(earlier, happening)
    if reason is not None:
        return Ending(State.cancelled, reason)
    match happening.cause:
        case SeatCause.OFFER_EXPIRED if earlier.kind is Kind.seat_offered:
            return Ending(State.expired, "offer_expired")
        case SeatCause.ACCEPTED | SeatCause.GIVEN if earlier.kind is Kind.seat_offered:
            return Ending(State.superseded, happening.cause.value)
        case _:
            return _superseded(earlier, happening, planned)


def _without_a_place(earlier: Delivery, happening: Happening) -> str | None:
    """Say why a mail about the place is void, where the place itself has ended."""
    match happening.cause:
        case SeatCause.OCCASION_CANCELLED if earlier.kind not in {Kind.run_cancelled, Kind.meeting_cancelled}:
            return "occasion_cancelled"
        case SeatCause.WITHDRAWN | SeatCause.DECLINED:
            return happening.cause.value
        case SeatCause.PROGRESSED if happening.state in _ENDED:
            return happening.state
        case _:
            return None


def _superseded(earlier: Delivery, happening: Happening, planned: list[Planned]) -> Ending | None:
    if earlier.kind is Kind.reminder:
        moved = happening.cause is SeatCause.OCCASION_CHANGED and earlier.starts != happening.starts
        return Ending(State.superseded, "moved") if moved else None
    again = any(mail.kind is earlier.kind and mail.business_key(happening) != earlier.business_key for mail in planned)
    return Ending(State.superseded, "newer_version") if again else None


def wanted(mail: Planned, happening: Happening, earlier: list[Delivery]) -> bool:
    """Tell whether a planned mail is still needed beside the earlier ones: one reminder for one start."""
    if mail.kind is not Kind.reminder:
        return True
    gone = {State.superseded, State.cancelled, State.expired}
    return not any(
        one.kind is Kind.reminder and one.starts == happening.starts and one.state not in gone and not one.stopped
        for one in earlier
    )
