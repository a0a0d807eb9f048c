"""The cells of one course in a table: each either reads, or leaves a finding behind and reads as nothing."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from services.courses.domain.catalogue import CatalogueSession, Finding, Kind, Trouble
from services.courses.domain.formats.csv_columns import BY_NAME, Column, disarmed
from services.courses.domain.formats.csv_sessions import read_sessions
from services.courses.domain.formats.zones import Unreadable
from services.courses.domain.kufer_fields import day_of
from shared.contract.words import Level, RunKind, districts
from shared.contract.zone import BERLIN

MOST_SESSIONS: Final = 400
_LINE, _PROSE, _MOST_PEOPLE = 200, 4_000, 10_000
_YES: Final = frozenset({"ja", "j", "x", "yes", "y", "true", "wahr", "w", "1"})
_NO: Final = frozenset({"nein", "n", "no", "false", "falsch", "f", "0"})
_EUROS: Final = re.compile(r"([0-9]{1,5})(?:[.,]([0-9]{2}))?(?: ?(?:€|EUR|Euro))?")


class Cells:
    """What one line of a table says; `troubles` fills with what could not be read, `remarks` with what was left out."""

    def __init__(self, columns: Sequence[Column | None], cells: Sequence[str], position: int) -> None:
        pairs = zip(columns, cells, strict=False)
        self._cells = {column.name: disarmed(cell) for column, cell in pairs if column and column.read}
        self.names = {column.name for column in columns if column and column.read}
        self.troubles: list[Finding] = []
        self.remarks: list[Finding] = []
        self._name, self.number = f"Course no. {position} in the file", ""
        number = self.line("number")
        if number:
            self.number, self._name = number, f"Course {number}"
        elif not self.troubles:
            self._trouble("unreadable_row", "has no course number.")
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            self._trouble("unreadable_row", "has more cells than the first line has heads.")

    def title(self, name: str) -> str:
        """Give the title; a course without one cannot be shown."""
        troubles = len(self.troubles)
        title = self.line(name)
        if title is None and len(self.troubles) == troubles:
            self._trouble("unreadable_row", "has no title.")
        return title or ""

    def line(self, name: str) -> str | None:
        """Give a cell as one line; None for an empty one."""
        return self._short(name, " ".join(self._cells.get(name, "").split()), _LINE)

    def text(self, name: str) -> str | None:
        """Give a cell with its line breaks; None for an empty one."""
        lines = self._cells.get(name, "").splitlines()
        return self._short(name, "\n".join(line.strip() for line in lines).strip(), _PROSE)

    def count(self, name: str) -> int | None:
        """Give a number of people or units."""
        text = self.line(name)
        if text is None:
            return None
        if not re.fullmatch("[0-9]{1,5}", text) or int(text) > _MOST_PEOPLE:
            self._wrong(name, text, "a whole number up to 10,000")
            return None
        return int(text)

    def day(self, name: str) -> date | None:
        """Give a day, as 05.04.2027 or 2027-04-05."""
        text = self.line(name)
        day = day_of(text) if text else None
        if text and day is None:
            self._wrong(name, text, "a day of the calendar", "bad_date")
        return day

    def period(self, first: str, last: str, sessions: tuple[CatalogueSession, ...]) -> tuple[date | None, date | None]:
        """Give the first and the last day; where there are sessions, theirs."""
        starts_on, ends_on = self.day(first), self.day(last)
        if sessions:
            ends = max(session.ends for session in sessions)
            return sessions[0].starts.astimezone(BERLIN).date(), ends.astimezone(BERLIN).date()
        if starts_on and ends_on and ends_on < starts_on:
            self._trouble("bad_date", f"ends on {ends_on:%d.%m.%Y}, before it starts on {starts_on:%d.%m.%Y}.")
        return starts_on, ends_on

    def sessions(self, name: str) -> tuple[CatalogueSession, ...]:
        """Give all sessions of the one cell that holds them."""
        try:
            found = read_sessions(self._cells.get(name, ""))
        except Unreadable as unreadable:
            self._trouble(unreadable.kind, str(unreadable))
            return ()
        if len(found) > MOST_SESSIONS:
            self._trouble("unreadable_row", f"has {len(found)} sessions; {MOST_SESSIONS} are read at most.")
        return found

    def flag(self, name: str) -> bool | None:
        """Give ja or nein; None for an empty cell."""
        text = self.line(name)
        if text is None:
            return None
        if text.casefold() not in _YES | _NO:
            self._wrong(name, text, "'ja' or 'nein'")
        return text.casefold() in _YES

    def kind(self, name: str) -> str | None:
        """Give the kind of course, by its word in messages."""
        return self._one_of(name, [each.value for each in RunKind])

    def level(self, name: str) -> str | None:
        """Give a level from A1 to C2."""
        return self._one_of(name, [each.value for each in Level])

    def quarter(self, name: str) -> str | None:
        """Give a Stadtteil of Hannover."""
        return self._one_of(name, [quarter for quarters in districts().values() for quarter in quarters])

    def postcode(self, name: str) -> str | None:
        """Give a postcode; what is none, such as one whose zero a spreadsheet has eaten, is left out."""
        text = self.line(name)
        if text is None or re.fullmatch("[0-9]{5}", text):
            return text
        self.remarks.append(self._finding("remark", f"has the postcode '{text[:20]}', which is none; it is left out."))
        return None

    def cents(self, name: str) -> int | None:
        """Give an amount of euros in cents."""
        text = self.line(name)
        match = _EUROS.fullmatch(text) if text else None
        if text and not match:
            self._wrong(name, text, "an amount in euros")
        return int(match.group(1)) * 100 + int(match.group(2) or 0) if match else None

    def _one_of(self, name: str, known: Sequence[str]) -> str | None:
        text = self.line(name)
        found = next((each for each in known if text and each.casefold() == text.casefold()), None)
        if text and found is None:
            self._wrong(name, text, f"one of {', '.join(known[:8])}{' ...' if len(known) > 8 else ''}")
        return found

    def _short(self, name: str, text: str, most: int) -> str | None:
        if len(text) > most:
            german = BY_NAME[name].german
            self._trouble("unreadable_row", f"has {len(text):,} characters in {german}; {most:,} are read at most.")
            return None
        return text or None

    def _wrong(self, name: str, text: str, wanted: str, kind: Kind | Trouble = "unreadable_row") -> None:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        self._trouble(kind, f"has '{shown}' in {BY_NAME[name].german}, which is not {wanted}.")

    def _trouble(self, kind: Kind | Trouble, words: str) -> None:
        self.troubles.append(self._finding(kind, words))

    def _finding(self, kind: Kind | Trouble, words: str) -> Finding:
        return Finding(kind, (self.number,) if self.number else (), f"{self._name} {words}")
