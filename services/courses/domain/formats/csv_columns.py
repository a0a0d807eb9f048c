"""The columns of a table of courses, in German and in English."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_SPELT: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
# What a spreadsheet takes for a formula, and could send what stands beside it anywhere.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r＝＋－＠]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the field it fills (none: only written), its German head, and other heads that are understood."""

    name: str
    german: str
    also: tuple[str, ...] = ()
    read: bool = True


COLUMNS: Final = (
    Column("number", "Kursnummer", ("nummer", "nr", "course number")),
    Column("title", "Titel", ("kurstitel", "course")),
    Column("description", "Beschreibung", ("inhalt",)),
    Column("kind", "Kursart", ("art",)),
    Column("from_level", "Von Niveau", ("niveau von",)),
    Column("to_level", "Bis Niveau", ("niveau bis", "niveau", "level")),
    Column("ue", "UE", ("unterrichtseinheiten", "units")),
    Column("starts_on", "Beginn", ("start", "starts", "start date")),
    Column("ends_on", "Ende", ("end", "ends", "end date")),
    Column("sessions", "Termine", ("dates",)),
    Column("building", "Gebäude", ("haus", "venue")),
    Column("room", "Raum"),
    Column("street", "Straße", ("strasse",)),
    Column("postcode", "PLZ", ("postleitzahl", "zip")),
    Column("town", "Ort", ("stadt", "city")),
    Column("quarter", "Stadtteil"),
    Column("part_time", "Teilzeit"),
    Column("mornings", "Vormittags"),
    Column("childcare", "Kinderbetreuung"),
    Column("minimum", "Mindestzahl", ("mindestteilnehmerzahl", "min")),
    Column("capacity", "Plätze", ("hoechstteilnehmerzahl", "seats", "max")),
    Column("cancelled", "Ausgefallen", ("abgesagt",)),
    Column("institution", "Einrichtung"),
    Column("registered", "Angemeldet"),
    Column("waiting", "Warteliste"),
    Column("subtitle", "Untertitel"),
    Column("subject_area", "Fachbereich", ("subject area",)),
    Column("register_until", "Anmeldung bis", ("register until",)),
    Column("fee", "Gebühr", ("preis", "price")),
    Column("reduced_fee", "Ermäßigt", ("reduced fee",)),
    Column("state", "Stand", ("status",), read=False),
    Column("free", "Frei", ("free seats",), read=False),
    Column("queue", "Wartende", read=False),
    Column("as_of", "Gesehen", read=False),
    Column("run_id", "Kennung", read=False),
)
BY_NAME: Final[Mapping[str, Column]] = MappingProxyType({each.name: each for each in COLUMNS})


def plain(head: str) -> str:
    """Give a head as it is compared: small letters, umlauts spelt out, nothing but letters and digits."""
    return re.sub(r"[^a-z0-9]", "", head.casefold().translate(_SPELT))


_KNOWN: Final = {plain(head): each for each in COLUMNS for head in (each.name, each.german, *each.also)}


def columns_of(heads: Iterable[str]) -> list[Column | None]:
    """Find the column behind each head; None for one that nobody knows, and for one that comes again."""
    found: list[Column | None] = []
    for head in heads:
        column = _KNOWN.get(plain(head))
        found.append(None if column in found else column)
    return found


def known(heads: Sequence[str]) -> int:
    """Count the heads that are understood."""
    return sum(column is not None for column in columns_of(heads))


def armed(text: str) -> str:
    """Write a cell so that no spreadsheet takes it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def disarmed(text: str) -> str:
    """Undo `armed`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text
