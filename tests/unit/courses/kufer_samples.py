"""Small course exports for the tests of the import, and the whole files that are on this machine."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

from services.courses.domain.catalogue import BrokenRow, CatalogueRow, Entry
from services.courses.domain.kufer import DEFAULT_LIMITS, Limits, read_kufer

ROOT = Path(__file__).resolve().parents[3]
NAMED = os.environ.get("ALBUM_KUFER_FILE")


@dataclass(frozen=True)
class Sample:
    """A whole export and the numbers it is known for; `clashing` counts pairs of courses, the findings of sessions."""

    path: Path
    courses: int
    sessions: int
    clashing: int
    over_capacity: tuple[str, ...]
    findings: dict[str, int]


def _counts(over: int, full: int, below: int, overlap: int) -> dict[str, int]:
    seats = {"over_capacity": over, "exactly_full": full, "below_minimum": below}
    return seats | {"room_overlap": overlap, "bad_date": 0, "bad_time": 0, "duplicate": 0}


OWN = Sample(ROOT / "deploy/demo/catalogue.xml", 12, 488, 1, ("27S-1201",), _counts(1, 1, 2, 1))
REAL = Sample(
    Path(NAMED or ROOT.parent / "shared/data/kufer/courses_2017.xml"),
    courses=95,
    sessions=1969,
    clashing=13,
    over_capacity=("161A091-06", "161A091-13", "161A092-13"),
    findings=_counts(3, 13, 24, 49),
)
# The real export may not be passed on, so a clone elsewhere has only its own; both stand for the same promises.
# A file that is named must be there.
SAMPLES = [sample for sample in (OWN, REAL) if sample is OWN or NAMED or sample.path.exists()]


def session(day: str = "05.04.2027", begins: str = "09:00", ends: str = "12:45", more: str = "") -> str:
    """Write one `termin`."""
    return f"<termin><tag>{day}</tag><zeitvon>{begins}</zeitvon><zeitbis>{ends}</zeitbis>{more}</termin>"


def course(number: str = "K-1", *sessions: str, title: str = "Deutsch für alle", more: str = "") -> str:
    """Write one `kurs`; `more` is whatever else it says."""
    dates = f"<termine>{''.join(sessions)}</termine>"
    return f"<kurs><knr>{number}</knr><haupttitel>{title}</haupttitel>{dates}{more}</kurs>"


def export(*courses: str, head: str = "<?xml version='1.0' encoding='utf-8'?>") -> str:
    """Write a whole export."""
    return f"{head}<kurse>{''.join(courses)}</kurse>"


def read(text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> list[Entry]:
    """Read an export from memory, text as UTF-8."""
    return list(read_kufer(io.BytesIO(text.encode() if isinstance(text, str) else text), limits))


def row(text: str | bytes) -> CatalogueRow:
    """Read an export that must hold exactly one good course."""
    (entry,) = read(text)
    assert isinstance(entry, CatalogueRow), entry
    return entry


def broken(entry: Entry) -> BrokenRow:
    """Insist that this one could not be read."""
    assert isinstance(entry, BrokenRow), entry
    return entry
