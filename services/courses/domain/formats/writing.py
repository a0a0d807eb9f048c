"""What every export is made of: the runs of the network as they were last heard of, one after the other."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Protocol

from shared.contract.courses import RunPicture
from shared.contract.words import RunState
from shared.contract.zone import BERLIN

OPEN_STATES = frozenset({RunState.PUBLISHED, RunState.CONFIRMED, RunState.RUNNING})


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as its institution told it; `name` is the institution's own."""

    institution: str
    name: str
    version: int
    seen_at: datetime
    picture: RunPicture


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above an export: whose runs, where the service is reached, and the moment."""

    title: str
    base: str
    url: str
    institution: str | None
    now: datetime


class Writer(Protocol):
    """Writes one export piece by piece, so that a large network needs no large memory."""

    def begin(self) -> str:
        """Give what stands before the first run."""

    def add(self, shown: Shown) -> str:
        """Give one run; empty where the format does not list it."""

    def end(self) -> str:
        """Give what stands behind the last run."""


def address(heading: Heading, run_id: str) -> str:
    """Give the public address of a run."""
    return f"{heading.base}/runs/{run_id}"


def times_of(shown: Shown) -> tuple[datetime | None, datetime | None]:
    """Give the beginning of the first session and the end of the last, or of the days in Hannover."""
    run = shown.picture
    if run.sessions:
        return run.sessions[0].starts, max(each.ends for each in run.sessions)
    first = datetime.combine(run.starts_on, time(), BERLIN) if run.starts_on else None
    # The last second belongs to the last day; a format that shows only the day shows the right one.
    ends = datetime.combine(run.ends_on, time(23, 59, 59), BERLIN) if run.ends_on else None
    return first, ends


def is_open(shown: Shown, now: datetime) -> bool:
    """Tell whether somebody could still join; a published run that never began stays published for ever."""
    _, last = times_of(shown)
    return shown.picture.state in OPEN_STATES and (last is None or last > now)
