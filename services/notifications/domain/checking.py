"""The last look before a mail leaves: is it still useful, and may this person be written to?"""

from dataclasses import dataclass
from datetime import datetime

from services.notifications.domain.delivery import Delivery, State


@dataclass(frozen=True)
class Contact:
    """How a participant is reached; after erasure only the fact that there was one is left.

    `forget_at` is set for those to whom only the last mails are still sent.
    """

    institution: str
    participant_id: str
    version: int
    name: str = ""
    mail: str | None = None
    language: str = "de"
    erased: bool = False
    forget_at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """Where a mail goes instead of leaving, and why."""

    state: State
    reason: str


def look(delivery: Delivery, contact: Contact | None, suppressed_for: str | None, now: datetime) -> Verdict | None:
    """Decide whether a mail may leave now; None if it may, `suppressed_for` is why its address is left alone."""
    if delivery.useless_after <= now:
        return Verdict(State.expired, "too_late")
    if contact is None:
        return Verdict(State.planned, "no_contact_yet")
    if contact.erased:
        return Verdict(State.cancelled, "erased")
    if not contact.mail:
        return Verdict(State.suppressed, "no_address")
    return Verdict(State.suppressed, suppressed_for) if suppressed_for else None
