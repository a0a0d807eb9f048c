"""What travels: pictures of runs as the service makes them from a catalogue file."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import count, cycle
from pathlib import Path

from services.courses.domain.catalogue import CatalogueRow
from services.courses.domain.imported import plan_of
from services.courses.domain.kufer import read_kufer
from services.courses.domain.run import Run, picture, planned
from shared.contract.courses import RunPicture, RunPublished
from shared.contract.words import RunState

CATALOGUE = Path(__file__).parents[1] / "demo" / "catalogue.xml"
NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
SESSIONS = 5
"""Dates of a run: a course of a few evenings. Language courses have up to 80; `--sessions` measures them."""


@cache
def plans(sessions: int) -> tuple[Run, ...]:
    """Give the runs of the catalogue file, each with at most so many sessions."""
    with CATALOGUE.open("rb") as stream:
        rows = [row for row in read_kufer(stream) if isinstance(row, CatalogueRow)]
    runs = []
    for row in rows:
        plan = plan_of(row)
        plan["sessions"] = plan["sessions"][:sessions]
        run = Run(id="run_00000000", institution="bench", offer_id="offer_00000000", state=RunState.PUBLISHED, **plan)
        runs.append(replace(planned(run), counted_at=NOW, version=1))
    return tuple(runs)


@cache
def _pictures(sessions: int) -> tuple[RunPicture, ...]:
    return tuple(picture(run, NOW) for run in plans(sessions))


def published(institutions: list[str], *, sessions: int = SESSIONS, version: int = 1) -> Iterator[RunPublished]:
    """Give messages without end, of each institution in turn, each about a run of its own.

    The same numbers give the same runs, so that a higher version is about runs that were told before.
    """
    for number, shown, institution in zip(count(), cycle(_pictures(sessions)), cycle(institutions)):
        run_id = f"run_01jd3kq8w0{number:016d}"
        seen = shown.model_copy(update={"run_id": run_id, "number": f"27-{number:06}"})
        yield RunPublished(institution=institution, version=version, picture=seen)
