"""Writes a table of runs (CSV) that the import reads back without a change."""

import csv
import io
from collections.abc import Iterable

from services.courses.domain.catalogue import CatalogueSession
from services.courses.domain.formats.csv_columns import COLUMNS, armed
from services.courses.domain.formats.csv_sessions import write_sessions
from services.courses.domain.formats.writing import Heading, Shown
from shared.contract.words import RunState, WaitingBand
from shared.contract.zone import BERLIN

# What the public picture of a run does not hold has no column: an import of the table leaves it as it was.
_LEFT_OUT = frozenset({"registered", "waiting", "subtitle", "subject_area", "register_until", "fee", "reduced_fee"})
WRITTEN = tuple(column for column in COLUMNS if column.name not in _LEFT_OUT)


class CsvWriter:
    """One line for each run, with German heads, as German spreadsheets open it by a double click."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading

    def begin(self) -> str:
        """Give the byte order mark, by which spreadsheets know UTF-8, and the heads."""
        return "\ufeff" + _line(column.german for column in WRITTEN)

    def add(self, shown: Shown) -> str:
        """Give one run."""
        values = values_of(shown)
        return _line(armed(values[column.name]) for column in WRITTEN)

    def end(self) -> str:
        """Give nothing: a table just ends."""
        return ""


def values_of(shown: Shown) -> dict[str, str]:
    """Give the cells of a run by the names of their columns."""
    run, place = shown.picture, shown.picture.place
    sessions = [CatalogueSession(each.starts, each.ends, each.room) for each in run.sessions]
    waiting = run.availability.waiting
    return {
        "number": run.number,
        "title": run.title,
        "description": run.description or "",
        "kind": run.kind.value,
        "from_level": run.from_level or "",
        "to_level": run.to_level or "",
        "ue": str(run.ue),
        "starts_on": f"{run.starts_on:%d.%m.%Y}" if run.starts_on else "",
        "ends_on": f"{run.ends_on:%d.%m.%Y}" if run.ends_on else "",
        "sessions": write_sessions(sessions),
        "building": place.name or "",
        "room": place.room or "",
        "street": place.street or "",
        "postcode": place.postcode or "",
        "town": place.town or "",
        "quarter": place.quarter or "",
        "part_time": _flag(run.part_time),
        "mornings": _flag(run.mornings),
        "childcare": _flag(run.childcare),
        "minimum": str(run.minimum or ""),
        "capacity": str(run.capacity or ""),
        "cancelled": _flag(run.state is RunState.CANCELLED),
        "institution": shown.institution,
        "state": run.state.value,
        "free": str(run.availability.free),
        # A spreadsheet would make a day of "1-4".
        "queue": "" if waiting is WaitingBand.NONE else f"{waiting.value} Personen",
        "as_of": f"{run.availability.as_of.astimezone(BERLIN):%d.%m.%Y %H:%M}",
        "run_id": run.run_id,
    }


def _flag(value: bool) -> str:
    return "ja" if value else "nein"


def _line(cells: Iterable[str]) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(list(cells))
    return written.getvalue()
