"""An occasion as it is kept for letters: what a run or meeting shows of itself, once for everybody it is written to."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from services.notifications.domain.letter import Appointment, Occasion
from shared.contract.words import Place, Session


@dataclass(frozen=True)
class Picture:
    """What a letter shows of a run or meeting; its digest names it."""

    occasion_id: str
    sort: Literal["run", "meeting"]
    title: str
    appointments: tuple[Appointment, ...]

    @property
    def digest(self) -> str:
        """Give the SHA-256 of everything a reader would see."""
        return sha256(json.dumps(asdict(self), default=str, sort_keys=True).encode()).hexdigest()

    @property
    def starts(self) -> datetime | None:
        """Give the first moment."""
        return min((one.starts for one in self.appointments), default=None)

    @property
    def ends(self) -> datetime | None:
        """Give the last moment."""
        return max((one.ends or one.starts for one in self.appointments), default=None)

    def occasion(self, institution_name: str, version: int) -> Occasion:
        """Give the occasion of a letter, in the version that calendars count by."""
        return Occasion(self.occasion_id, self.sort, self.title, institution_name, None, self.appointments, version)


def where(place: Place, room: str | None = None) -> str:
    """Say a place in one line: house, room, street, town."""
    town = " ".join(part for part in (place.postcode, place.town) if part)
    return ", ".join(part for part in (place.name, room or place.room, place.street, town) if part)


def dates(sessions: Iterable[Session], place: Place) -> tuple[Appointment, ...]:
    """Give the dates of a run in order."""
    found = (Appointment(one.starts, one.ends, where(place, one.room)) for one in sessions)
    return tuple(sorted(found, key=lambda one: one.starts))
