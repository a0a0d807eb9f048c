"""The facts of one letter to one participant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

Purpose = Literal["accept", "decline", "cancel", "confirm", "again"]


class Kind(StrEnum):
    """What a letter is about."""

    enrolled = "enrolled"
    registered = "registered"
    waiting = "waiting"
    seat_offered = "seat_offered"
    offer_expired = "offer_expired"
    run_changed = "run_changed"
    run_cancelled = "run_cancelled"
    meeting_changed = "meeting_changed"
    meeting_cancelled = "meeting_cancelled"
    reminder = "reminder"
    registration_confirm = "registration_confirm"
    referral_ended = "referral_ended"


@dataclass(frozen=True)
class Appointment:
    """One date of an occasion, in aware moments.

    `number` is the date's lasting number within its occasion; with it a calendar entry moves along with its date.
    """

    starts: datetime
    ends: datetime | None
    place: str
    number: int | None = None


@dataclass(frozen=True)
class Occasion:
    """A run or a meeting as its institution has published it; `version` counts its published states."""

    id: str
    sort: Literal["run", "meeting"]
    title: str
    institution_name: str
    reply_to: str | None
    appointments: tuple[Appointment, ...]
    version: int


@dataclass(frozen=True)
class Referral:
    """Who referred the reader, and which parts of their file came with that; what they say is not in the letter."""

    by: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Letter:
    """Everything one letter is made of; moments are aware, `language` is a tag such as "ar".

    `seated` tells whether the reader has the seat, or only waits for one.
    """

    kind: Kind
    delivery_id: str
    name: str
    address: str
    language: str
    occasion: Occasion
    place_in_queue: int | None
    offered_until: datetime | None
    reason: str | None
    links: Mapping[str, str]
    sender_name: str
    sender_address: str
    written_at: datetime
    seated: bool = True
    referral: Referral | None = None


_NEEDED_LINKS: Mapping[Kind, tuple[Purpose, ...]] = {
    Kind.seat_offered: ("accept", "decline"),
    Kind.registration_confirm: ("confirm",),
}


def lacks(letter: Letter) -> list[str]:
    """Return in plain words what a letter of this kind cannot do without."""
    findings = [
        f"no link to {purpose}" for purpose in _NEEDED_LINKS.get(letter.kind, ()) if purpose not in letter.links
    ]
    if letter.kind is Kind.seat_offered and letter.offered_until is None:
        findings.append("an offer without a deadline")
    if letter.kind is Kind.referral_ended and letter.referral is None:
        findings.append("nobody who referred")
    if letter.kind is Kind.waiting and letter.place_in_queue is None:
        findings.append("no place in the queue")
    return findings
