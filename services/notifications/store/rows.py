"""From rows to the domain's values and back."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.notifications.domain.checking import Contact
from services.notifications.domain.delivery import Delivery, Facts, State
from services.notifications.domain.letter import Appointment, Kind
from services.notifications.domain.occasions import Picture
from services.notifications.store.tables import delivery

_FIXED = ("id", "institution", "participant_id", "subject_id", "business_key", "version", "occasion_id", "planned_at")
_MOVING = (
    "occasion_version", "picture", "starts", "not_before", "useless_after", "changed_at", "reason", "attempts",
    "first_attempt_at", "sent_once_more", "claimed_by", "claimed_until",
)  # fmt: skip

# The bytes of a letter are read and written by themselves: all else about a delivery is small.
COLUMNS = (*(column for column in delivery.c if column.name != "body"), delivery.c.body.is_not(None).label("written"))


def delivery_of(row: sa.Row[Any]) -> Delivery:
    """Read a delivery."""
    return Delivery(
        kind=Kind(row.kind),
        state=State(row.state),
        stopped=State(row.stopped) if row.stopped else None,
        facts=facts_of(row.facts),
        address=row.address,
        written=bool(row.written),
        forgotten=row.forgotten,
        **{name: getattr(row, name) for name in (*_FIXED, *_MOVING)},
    )


def new_row_of(new: Delivery) -> dict[str, Any]:
    """Write a new delivery."""
    return {
        **moving_row_of(new),
        **{name: getattr(new, name) for name in _FIXED},
        "kind": new.kind.value,
        "class": new.class_.value,
        "rank": new.class_.rank,
        "facts": facts_row(new.facts),
        "forgotten": False,
    }


def moving_row_of(changed: Delivery) -> dict[str, Any]:
    """Write what may change about a delivery; address, bytes and facts have ways of their own."""
    return {
        **{name: getattr(changed, name) for name in _MOVING},
        "state": changed.state.value,
        "stopped": changed.stopped.value if changed.stopped else None,
    }


def facts_row(facts: Facts) -> dict[str, Any]:
    """Write facts as JSON."""
    return {
        "place_in_queue": facts.place_in_queue,
        "offered_until": _word(facts.offered_until),
        "reason": facts.reason,
        "links": [[purpose, _word(until)] for purpose, until in facts.links],
        "seated": facts.seated,
        "referred_by": facts.referred_by,
        "referred_with": list(facts.referred_with),
    }


def facts_of(row: dict[str, Any]) -> Facts:
    """Read facts; after the end of retention they are empty."""
    return Facts(
        place_in_queue=row.get("place_in_queue"),
        offered_until=_moment(row.get("offered_until")),
        reason=row.get("reason"),
        links=tuple((purpose, datetime.fromisoformat(until)) for purpose, until in row.get("links", ())),
        seated=row.get("seated", True),
        referred_by=row.get("referred_by"),
        referred_with=tuple(row.get("referred_with", ())),
    )


def picture_row(picture: Picture) -> dict[str, Any]:
    """Write what letters show of an occasion as JSON."""
    dates = [{**asdict(one), "starts": _word(one.starts), "ends": _word(one.ends)} for one in picture.appointments]
    return {"sort": picture.sort, "title": picture.title, "dates": dates}


def picture_of(row: sa.Row[Any]) -> Picture:
    """Read what letters show of an occasion."""
    dates = tuple(
        Appointment(datetime.fromisoformat(one["starts"]), _moment(one["ends"]), one["place"], one["number"])
        for one in row.shown["dates"]
    )
    return Picture(row.occasion_id, row.shown["sort"], row.shown["title"], dates)


def contact_of(row: sa.Row[Any]) -> Contact:
    """Read a contact."""
    return Contact(**row._mapping)


def _word(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(word: str | None) -> datetime | None:
    return datetime.fromisoformat(word) if word else None
