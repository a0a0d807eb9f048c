"""Entitlements: who paid for or demanded a place in a course, and what that means for the queue."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from services.courses.domain.refusal import Misfit, Refused
from shared.seats.rule import Priority


class EntitlementState(StrEnum):
    """The life of an entitlement."""

    RECORDED = "recorded"
    VALID = "valid"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Entitlement:
    """A right to a place, or a duty to take one; `valid_until` is the last day."""

    id: str
    institution: str
    participant_id: str
    issuing_office: str
    obliged: bool
    valid_from: date
    valid_until: date
    state: EntitlementState = EntitlementState.RECORDED


def dated(entitlement: Entitlement, today: date) -> Entitlement:
    """Give the entitlement in the state that this day brings; used and revoked ones stay.

    Raises Misfit where it ends before it begins.
    """
    if entitlement.valid_until < entitlement.valid_from:
        raise Misfit("entitlement_ends_before_it_starts", "the entitlement ends before it has begun")
    if entitlement.state not in (EntitlementState.RECORDED, EntitlementState.VALID):
        return entitlement
    if today > entitlement.valid_until:
        return replace(entitlement, state=EntitlementState.EXPIRED)
    state = EntitlementState.VALID if today >= entitlement.valid_from else EntitlementState.RECORDED
    return replace(entitlement, state=state)


def use(entitlement: Entitlement) -> Entitlement:
    """Use an entitlement up by a seat; what is not valid any more stays as it is."""
    if entitlement.state is not EntitlementState.VALID:
        return entitlement
    return replace(entitlement, state=EntitlementState.USED)


def give_back(entitlement: Entitlement, today: date) -> Entitlement:
    """Make a used entitlement count again, because its run does not take place."""
    if entitlement.state is not EntitlementState.USED:
        return entitlement
    return dated(replace(entitlement, state=EntitlementState.VALID), today)


def revoke(entitlement: Entitlement) -> Entitlement:
    """Take an entitlement back; raises Refused with `entitlement_is_<state>` where it has ended."""
    if entitlement.state not in (EntitlementState.RECORDED, EntitlementState.VALID):
        raise Refused(f"entitlement_is_{entitlement.state}", f"the entitlement is {entitlement.state}")
    return replace(entitlement, state=EntitlementState.REVOKED)


def best(entitlements: Iterable[Entitlement], today: date) -> Entitlement | None:
    """Give the valid entitlement that helps most: one that obliges, then the one that ends first."""
    valid = [each for each in entitlements if dated(each, today).state is EntitlementState.VALID]
    return min(valid, key=lambda each: (not each.obliged, each.valid_until, each.id), default=None)


def priority_of(entitlement: Entitlement | None) -> Priority:
    """Give the class in the queue: obliged, entitled, other (DeuFöV § 8)."""
    if entitlement is None:
        return Priority.OTHER
    return Priority.OBLIGED if entitlement.obliged else Priority.ENTITLED
