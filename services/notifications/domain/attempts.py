"""One attempt at a delivery, as it is remembered."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Attempt:
    """One attempt; without `outcome` it is under way, with `uncertain` nobody knows how it ended."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    phase: str | None
    code: int | None
    answer: str | None
