"""From a catalogue row to a run: what the row says, what is guessed, and what was edited here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.courses.domain.catalogue import CatalogueRow, CatalogueSession
from services.courses.domain.guessing import GUESSED, quarter_of, said_or_guessed
from services.courses.domain.merging import Merged
from services.courses.domain.run import Run
from shared.contract.words import Level, Place, RunKind, RunState, Session

CANCELLED_BY_FILE: Final = "Im Kursprogramm als ausgefallen gekennzeichnet"
_TITLE, _LINE, _PROSE = 200, 200, 4000
_SAID: Final = ("title", "description", "starts_on", "ends_on", "sessions", "minimum", "capacity")


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
    said = said_or_guessed(row)
    return {
        "number": row.number,
        "title": _cut(row.title, _TITLE),
        "description": _cut(row.description, _PROSE) if row.description else None,
        "kind": RunKind(said["kind"]),
        "from_level": Level(said["from_level"]) if said["from_level"] else None,
        "to_level": Level(said["to_level"]) if said["to_level"] else None,
        "ue": said["ue"],
        "starts_on": row.starts_on,
        "ends_on": row.ends_on,
        "sessions": tuple(_session(each) for each in row.sessions),
        "place": place_of(row),
        "part_time": said["part_time"],
        "mornings": said["mornings"],
        "childcare": said["childcare"],
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


def told_otherwise(row: CatalogueRow, run: Run) -> tuple[str, ...]:
    """Name what a row says of a run that came by another way, and that does not stand so here."""
    plan = plan_of(row)
    stated = [name for name in GUESSED if getattr(row, name) is not None]
    stated += [name for name in _SAID if name not in row.unstated]
    places = ("building", "room", "street", "postcode", "town")
    wrong = [name for name in stated if plan[name] != getattr(run, name)]
    wrong += [
        name for name in places if name not in row.unstated and _where(name, plan["place"]) != _where(name, run.place)
    ]
    wrong += ["cancelled"] if row.cancelled != (run.state is RunState.CANCELLED) else []
    return tuple(wrong)


def _where(name: str, place: Place) -> object:
    return getattr(place, "name" if name == "building" else name)


def edited_here(imported: Imported, run: Run, names: Iterable[str]) -> Imported:
    """Remember that staff changed these fields of a run, so that the next import leaves them alone."""
    names = frozenset(names)
    values = {name: value for source in sorted(names) for name, value in _row_values(source, run).items()}
    local = replace(imported.local, **values)
    return replace(imported, local=local, edited=imported.edited | (names & {*GUESSED, "place"}))


def cancelled_here(imported: Imported) -> Imported:
    """Remember that the run does not take place any more, whatever the file said of it."""
    return replace(imported, local=replace(imported.local, cancelled=True))


def _row_values(name: str, run: Run) -> Mapping[str, Any]:
    if name == "place":
        place = run.place
        return {
            "building": place.name, "room": place.room, "street": place.street,
            "postcode": place.postcode, "town": place.town, "quarter": place.quarter,
        }  # fmt: skip
    if name == "sessions":
        sessions = tuple(CatalogueSession(each.starts, each.ends, each.room) for each in run.sessions)
        return {"sessions": sessions, "starts_on": run.starts_on, "ends_on": run.ends_on}
    if name in ("title", "description", "starts_on", "ends_on", "minimum", "capacity", *GUESSED):
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
        quarter=row.quarter or quarter_of(row.town, row.building),
    )


def _session(session: CatalogueSession) -> Session:
    return Session(starts=session.starts, ends=session.ends, room=_line(session.room))


def _line(text: str | None) -> str | None:
    return _cut(text, _LINE) if text and text.strip() else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
