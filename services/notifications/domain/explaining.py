"""Says in words what became of a mail, for staff and operators."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from services.notifications.domain.addresses import masked
from services.notifications.domain.attempts import Attempt
from services.notifications.domain.delivery import Delivery, State
from shared.texts.texts import in_berlin

_STATES: Final[Mapping[State, str]] = {
    State.planned: "It is planned: its time has not come, or the contact of its reader has not.",
    State.queued: "It waits to be sent.",
    State.sending: "It is being sent at this moment.",
    State.handed_over: "The mail server took it.",
    State.delivered: "It was delivered.",
    State.assumed_delivered: "The mail server took it, and nothing came back within five days.",
    State.deferred: "It could not be sent yet and will be tried again.",
    State.held: "It is held until staff have it tried again.",
    State.uncertain: "Nobody knows whether it arrived: it is not sent again without staff.",
    State.undeliverable: "It could not be delivered: somebody should call.",
    State.bounced: "It came back.",
    State.complained: "Its reader complained about it.",
    State.rejected_policy: "The server does not take mail from us: the operator has to act.",
    State.suppressed: "It was not sent: there is no address, or the address is left alone.",
    State.cancelled: "It was not sent: it was not true any more.",
    State.superseded: "It was not sent: a newer one took its place.",
    State.merged: "It was not sent by itself: it is part of another one.",
    State.expired: "It was not sent: it would have come too late.",
}


def explained(delivery: Delivery, attempts: Sequence[Attempt]) -> list[str]:
    """Give the lines that say where a mail stands, why, and what was tried; the address is masked."""
    head = [
        f"{delivery.id}: {delivery.kind} ({delivery.class_}) of {delivery.institution}",
        f"for {delivery.participant_id}, address {masked(delivery.address) or 'not kept'}, about {delivery.subject_id}",
        f"planned {_when(delivery.planned_at)}, of use until {_when(delivery.useless_after)}",
        f"since {_when(delivery.changed_at)} {delivery.state}{_because(delivery.reason)}. {_STATES[delivery.state]}",
    ]
    if delivery.state in {State.planned, State.deferred}:
        head.append(f"next look {_when(delivery.not_before)}")
    return [*head, *(_attempt(one) for one in attempts)] if attempts else [*head, "No attempt was made."]


def _attempt(one: Attempt) -> str:
    began = f"attempt {one.number}, {_when(one.started_at)}:"
    if one.outcome is None:
        return f"{began} under way, or its sender died"
    if one.phase is None:
        return f"{began} {one.outcome}, its sender died before it could say how it ended"
    said = f"{one.code} {one.answer}" if one.code else f"no answer ({one.answer})"
    return f"{began} {one.outcome}, in the phase {one.phase}: {said}"


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _when(moment: datetime) -> str:
    return f"{in_berlin(moment):%d.%m.%Y %H:%M:%S}"
