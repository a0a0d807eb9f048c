"""Careful guesses from German course titles; where a title leaves doubt, nothing is guessed."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import time, timedelta
from typing import Any, Final, Literal, TypeAlias, cast

from services.courses.domain.catalogue import CatalogueRow, CatalogueSession
from shared.contract.words import districts
from shared.contract.zone import BERLIN

CourseKind: TypeAlias = Literal["deufoev_basis", "deufoev_special", "deufoev_job_bsk", "deutsch_360", "other"]
Level: TypeAlias = Literal["A1", "A2", "B1", "B2", "C1", "C2"]

_DEUTSCH_360: Final = re.compile(r"\bdeutsch[ -]?360\b")
_JOB: Final = re.compile(r"\bjob[ -]?(bsk\b|berufssprachkurs)")
_VOCATIONAL: Final = re.compile(r"\bdeuf(ö|oe)v\b|berufssprachkurs|\bbsk\b|berufsbezogene deutschsprachförderung")
_BASIS: Final = re.compile(r"\bbasis(modul|kurs|bsk|berufssprachkurs)?\b")
_SPECIAL: Final = re.compile(
    r"\bspezial(modul|kurs|bsk|berufssprachkurs)?\b|\bfachsprach|\bfachunterricht|\banerkennung"
)
_BASIS_STEPS: Final = frozenset({("B1", "B2"), ("B2", "C1"), ("C1", "C2")})
_SPECIAL_STEPS: Final = frozenset({("A2", "B1"), ("A1", "A2"), (None, "A2")})

# No level: a driving licence "Klasse B1", "Vitamin B2", "Raum A1".
_LEVEL: Final = re.compile(
    r"(?P<word>\b[^\W\d]+\b[ .:]*)?(?<![\w.])(?P<letter>[ABC])\.?(?P<digit>[12])(?:\.[0-9])?(?P<plus>\+)?"
    r"(?![\w]|\.[0-9])"
)
_NO_LEVEL_AFTER: Final = frozenset({"klasse", "führerschein", "vitamin", "raum", "gebäude", "haus", "zimmer", "block"})
_STARTING_AFTER: Final = frozenset({"ab", "nach"})
_NOON, _EARLY_AFTERNOON = time(12), time(14)
_PART_TIME: Final = re.compile(r"\bteilzeit", re.IGNORECASE)
_CHILDCARE: Final = re.compile(r"\bkinderbetreuung", re.IGNORECASE)
_NO_CHILDCARE: Final = re.compile(r"\b(keine|ohne) kinderbetreuung", re.IGNORECASE)
# What most files do not say but the words of a row let guess: an edit of one of these is remembered by its name.
GUESSED: Final = ("kind", "from_level", "to_level", "ue", "part_time", "mornings", "childcare")


def said_or_guessed(row: CatalogueRow) -> dict[str, Any]:
    """Give what a row states of the fields that can be guessed, and a guess where it states nothing."""
    from_level, to_level = guess_levels(row.title)
    text = " ".join(filter(None, (row.title, row.subtitle, row.description)))
    guessed = {
        "kind": guess_kind(row.title, row.subject_area),
        "from_level": from_level,
        "to_level": to_level,
        "ue": units(row.sessions),
        "part_time": bool(_PART_TIME.search(text)),
        "mornings": in_the_morning(row.sessions),
        "childcare": bool(_CHILDCARE.search(text)) and not _NO_CHILDCARE.search(text),
        "quarter": quarter_of(row.town, row.building),
    }
    return {name: guess if getattr(row, name) is None else getattr(row, name) for name, guess in guessed.items()}


def guess_kind(title: str, subject_area: str | None) -> CourseKind:
    """Guess the kind of a course (DeuFöV §§ 12, 13; Deutsch 360 Grad); anything unclear is "other"."""
    text = _plain(f"{title} | {subject_area or ''}")
    if _DEUTSCH_360.search(text):
        return "deutsch_360"
    if _JOB.search(text):
        return "deufoev_job_bsk"
    if not _VOCATIONAL.search(text):
        return "other"
    step = guess_levels(title)
    if _SPECIAL.search(text) or step in _SPECIAL_STEPS:
        return "deufoev_special"
    return "deufoev_basis" if _BASIS.search(text) or step in _BASIS_STEPS else "other"


def guess_levels(title: str) -> tuple[Level | None, Level | None]:
    """Guess from which level to which a course leads, by the CEFR levels in its title.

    "B2 > C1" and "A2/B1" are from and to; one level alone is where the course leads; "B1+" and "ab B1" are where it
    begins. Three levels, or a way downwards, are no guess.
    """
    found = [match for match in _LEVEL.finditer(_normal(title)) if _word(match) not in _NO_LEVEL_AFTER]
    levels = list(dict.fromkeys(cast(Level, match["letter"] + match["digit"]) for match in found))
    if len(levels) == 2 and levels[0] < levels[1]:
        return levels[0], levels[1]
    if len(levels) != 1:
        return None, None
    begins = any(match["plus"] or _word(match) in _STARTING_AFTER for match in found)
    return (levels[0], None) if begins else (None, levels[0])


def units(sessions: Iterable[CatalogueSession]) -> int:
    """Give the length of a course in UE of 45 minutes, breaks included, rounded to the nearest."""
    minutes = sum((session.ends - session.starts for session in sessions), timedelta()) // timedelta(minutes=1)
    return (2 * minutes + 45) // 90


def in_the_morning(sessions: tuple[CatalogueSession, ...]) -> bool:
    """Tell whether every session begins before noon and is over in the early afternoon."""
    times = [(each.starts.astimezone(BERLIN).time(), each.ends.astimezone(BERLIN).time()) for each in sessions]
    return bool(times) and all(begins < _NOON and ends <= _EARLY_AFTERNOON for begins, ends in times)


def quarter_of(town: str | None, building: str | None) -> str | None:
    """Find the Stadtteil in "Hannover-Linden-Nord" or at the end of a building's name in Hannover; None in doubt."""
    if not town or not town.casefold().startswith("hannover"):
        return None
    known = [quarter for quarters in districts().values() for quarter in quarters]
    rest = town[len("Hannover") :].strip(" -(),")
    if rest:
        return rest if rest in known else None
    ends = [quarter for quarter in known if building and re.search(rf"(^|\s){re.escape(quarter)}$", building)]
    return max(ends, key=len, default=None)


def _word(match: re.Match[str]) -> str:
    return (match["word"] or "").strip(" .:").casefold()


def _plain(text: str) -> str:
    return " ".join(_normal(text).casefold().split())


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)
