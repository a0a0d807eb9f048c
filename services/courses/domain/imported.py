"""From a catalogue row to a run: what the row says, what is guessed, and what was edited here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from typing import Any, Final

from services.courses.domain.catalogue import BERLIN, CatalogueRow, CatalogueSession
from services.courses.domain.guessing import guess_kind, guess_levels, units
from services.courses.domain.merging import Merged
from services.courses.domain.run import Run
from shared.contract.words import Level, Place, RunKind, Session, districts

CANCELLED_BY_FILE: Final = "Im Kursprogramm als ausgefallen gekennzeichnet"
_TITLE, _LINE, _PROSE = 200, 200, 4000
_NOON, _EARLY_AFTERNOON = time(12), time(14)
_PART_TIME: Final = re.compile(r"\bteilzeit", re.IGNORECASE)
_CHILDCARE: Final = re.compile(r"\bkinderbetreuung", re.IGNORECASE)
_NO_CHILDCARE: Final = re.compile(r"\b(keine|ohne) kinderbetreuung", re.IGNORECASE)
# What a row does not say but its words let guess: an edit of one of these is remembered by its name.
GUESSED: Final = ("kind", "from_level", "to_level", "ue", "part_time", "mornings", "childcare")


@dataclass(frozen=True)
class Imported:
    """A run that a file brought: the row as it was there, as it stands here, and which guesses were corrected."""

    run_id: str
    number: str
    base: CatalogueRow
    local: CatalogueRow
    edited: frozenset[str] = frozenset()


def plan_of(row: CatalogueRow) -> dict[str, Any]:
    """Give the fields of a run that a row tells or lets guess.

    A row without a limit gives no seats until staff states one.
    """
    from_level, to_level = guess_levels(row.title)
    text = " ".join(filter(None, (row.title, row.subtitle, row.description)))
    return {
        "number": row.number,
        "title": _cut(row.title, _TITLE),
        "description": _cut(row.description, _PROSE) if row.description else None,
        "kind": RunKind(guess_kind(row.title, row.subject_area)),
        "from_level": Level(from_level) if from_level else None,
        "to_level": Level(to_level) if to_level else None,
        "ue": units(row.sessions),
        "starts_on": row.starts_on,
        "ends_on": row.ends_on,
        "sessions": tuple(_session(each) for each in row.sessions),
        "place": place_of(row),
        "part_time": bool(_PART_TIME.search(text)),
        "mornings": in_the_morning(row.sessions),
        "childcare": bool(_CHILDCARE.search(text)) and not _NO_CHILDCARE.search(text),
        "minimum": row.minimum or 0,
        "capacity": row.capacity or 0,
        "registered_elsewhere": row.registered,
    }


def updated_plan(run: Run, imported: Imported, merged: Merged) -> dict[str, Any]:
    """Give the fields of a run after its row changed; what was guessed changes only where the file's words did.

    A guess is never made from words that staff wrote here: a friendlier title must not take the level away.
    """
    plan = plan_of(merged.row)
    before, after = plan_of(imported.base), plan_of(merged.base)
    for name in GUESSED:
        keeps = name in imported.edited or before[name] == after[name]
        plan[name] = getattr(run, name) if keeps else after[name]
    if "place" in imported.edited:
        plan["place"] = plan["place"].model_copy(update={"quarter": run.place.quarter})
    return plan


def edited_here(imported: Imported, run: Run, names: Iterable[str]) -> Imported:
    """Remember that staff changed these fields of a run, so that the next import leaves them alone."""
    names = frozenset(names)
    values = {name: value for source in sorted(names) for name, value in _row_values(source, run).items()}
    local = replace(imported.local, **values)
    return replace(imported, local=local, edited=imported.edited | (names & {*GUESSED, "place"}))


def _row_values(name: str, run: Run) -> Mapping[str, Any]:
    if name == "place":
        place = run.place
        return {
            "building": place.name, "room": place.room, "street": place.street,
            "postcode": place.postcode, "town": place.town,
        }  # fmt: skip
    if name == "sessions":
        sessions = tuple(CatalogueSession(each.starts, each.ends, each.room) for each in run.sessions)
        return {"sessions": sessions, "starts_on": run.starts_on, "ends_on": run.ends_on}
    if name in ("title", "description", "starts_on", "ends_on", "minimum", "capacity"):
        return {name: getattr(run, name)}
    return {"registered": run.registered_elsewhere} if name == "registered_elsewhere" else {}


def place_of(row: CatalogueRow) -> Place:
    """Give where a course takes place; a postcode that is none is left out."""
    postcode = row.postcode if row.postcode and re.fullmatch(r"[0-9]{5}", row.postcode) else None
    return Place(
        name=_line(row.building),
        room=_line(row.room),
        street=_line(row.street),
        postcode=postcode,
        town=_line(row.town),
        quarter=quarter_of(row.town, row.building),
    )


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


def in_the_morning(sessions: tuple[CatalogueSession, ...]) -> bool:
    """Tell whether every session begins before noon and is over in the early afternoon."""
    times = [(each.starts.astimezone(BERLIN).time(), each.ends.astimezone(BERLIN).time()) for each in sessions]
    return bool(times) and all(begins < _NOON and ends <= _EARLY_AFTERNOON for begins, ends in times)


def _session(session: CatalogueSession) -> Session:
    return Session(starts=session.starts, ends=session.ends, room=_line(session.room))


def _line(text: str | None) -> str | None:
    return _cut(text, _LINE) if text and text.strip() else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
