"""Tables come in as spreadsheets write them, and what goes out reads back."""

import io
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.courses.domain.catalogue import BrokenRow, CatalogueRow, CatalogueSession, Entry
from services.courses.domain.formats.csv_columns import COLUMNS, armed, disarmed
from services.courses.domain.formats.csv_in import read_csv
from services.courses.domain.formats.csv_sessions import read_sessions, write_sessions
from services.courses.domain.merging import merge

HEAD = "Kursnummer;Titel;Termine;Plätze"
LINE = "K-1;Deutsch B2;05.04.2027 09:00-12:15 @ Raum 3;18"


def read(text: str | bytes, institution: str | None = None) -> list[Entry]:
    """Read a table from memory."""
    return list(read_csv(io.BytesIO(text.encode() if isinstance(text, str) else text), institution))


def row(text: str | bytes) -> CatalogueRow:
    """Read a table that must hold exactly one good course."""
    (entry,) = read(text)
    assert isinstance(entry, CatalogueRow), entry
    return entry


EXPECTED = (datetime(2027, 4, 5, 7, 0, tzinfo=UTC), datetime(2027, 4, 5, 10, 15, tzinfo=UTC))


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_same_table_is_read_however_it_was_saved(delimiter: str, encoding: str, end: str) -> None:
    """Delimiters, encodings and line ends of every spreadsheet."""
    found = row(f"{HEAD}{end}{LINE}{end}".replace(";", delimiter).encode(encoding))
    assert (found.number, found.title, found.capacity) == ("K-1", "Deutsch B2", 18)
    assert [(each.starts, each.ends, each.room) for each in found.sessions] == [(*EXPECTED, "Raum 3")]
    assert (found.starts_on, found.ends_on) == (date(2027, 4, 5), date(2027, 4, 5))


def test_english_heads_and_iso_days_say_the_same() -> None:
    """A script writes names as they are in the interface."""
    english = "number,title,sessions,capacity\nK-1,Deutsch B2,2027-04-05 09:00-12:15 @ Raum 3,18\n"
    assert row(english) == row(f"{HEAD}\n{LINE}\n")


def test_a_field_without_a_column_is_not_taken_away() -> None:
    """A table of numbers, titles and sessions leaves seats and places as they were."""
    base = row("Kursnummer;Titel;Plätze;Angemeldet;Straße\nK-1;Deutsch;18;14;Weg 5\n")
    merged = merge(base, base, row("Kursnummer;Titel\nK-1;Deutsch B1\n"))
    assert merged.changed == ("title",)
    assert (merged.row.capacity, merged.row.registered, merged.row.street) == (18, 14, "Weg 5")
    emptied = merge(base, base, row("Kursnummer;Titel;Plätze\nK-1;Deutsch;\n"))
    assert (emptied.changed, emptied.row.capacity) == (("capacity",), None)


def test_to_state_what_was_guessed_is_no_change() -> None:
    """The table says what the title let guess; another level is one."""
    base = row("Kursnummer;Titel\nK-1;Berufssprachkurs B1 > B2\n")
    same = row("Kursnummer;Titel;Kursart;Von Niveau;Bis Niveau\nK-1;Berufssprachkurs B1 > B2;deufoev_basis;B1;B2\n")
    assert merge(base, base, same).changed == ()
    other = row("Kursnummer;Titel;Bis Niveau\nK-1;Berufssprachkurs B1 > B2;C1\n")
    assert merge(base, base, other).changed == ("to_level",)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ("K-1;Deutsch;31.02.2027 09:00-10:00;18", "bad_date"),
        ("K-1;Deutsch;05.04.2027 25:00-26:00;18", "bad_time"),
        ("K-1;Deutsch;05.04.2027 12:00-09:00;18", "bad_time"),
        ("K-1;Deutsch;28.03.2027 02:30-03:30;18", "bad_time"),
        ("K-1;Deutsch;jeden Montag;18", "bad_date"),
        ("K-1;Deutsch;;viele", "unreadable_row"),
        ("K-1;;;18", "unreadable_row"),
        (";Deutsch;;18", "unreadable_row"),
        ("K-1;Deutsch;;18;noch etwas", "unreadable_row"),
        (f"K-1;{'x' * 201};;18", "unreadable_row"),
    ],
)
def test_a_broken_row_is_named_and_the_next_one_comes_in(cells: str, kind: str) -> None:
    """One finding for the row, in words."""
    first, second = read(f"{HEAD}\n{cells}\n{LINE.replace('K-1', 'K-2')}\n")
    assert isinstance(first, BrokenRow)
    assert [each.kind for each in first.findings] == [kind]
    assert isinstance(second, CatalogueRow)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "Titel\nDeutsch\n", f"{HEAD}\n", f'{HEAD}\n"K-1;Deutsch\n', "x" * 300_000]
)
def test_what_is_no_table_of_courses_is_said_and_nothing_is_raised(text: str) -> None:
    """No head, no rows, a quote without an end, one endless line."""
    *_, last = read(text)
    assert isinstance(last, BrokenRow)
    assert last.ends_file


def test_a_row_of_another_institution_is_left_out() -> None:
    """Whoever imports the whole network's table gets only the own courses."""
    text = "Kursnummer;Titel;Einrichtung\nK-1;Deutsch;vhs-nord\nK-2;Deutsch;kargah\n"
    mine, other = read(text, "vhs-nord")
    assert isinstance(mine, CatalogueRow)
    assert isinstance(other, BrokenRow)
    assert all(isinstance(each, CatalogueRow) for each in read(text))


def test_an_unknown_column_is_named_once() -> None:
    """The office sees which column nobody reads."""
    found = row("Kursnummer;Titel;Lieblingsfarbe\nK-1;Deutsch;blau\n")
    assert "Lieblingsfarbe" in found.remarks[0].sentence


def test_no_two_columns_share_a_head() -> None:
    """Each head, German or English, means one column."""
    heads = [head.casefold() for each in COLUMNS for head in {each.name.replace("_", " "), each.german.casefold()}]
    assert len(heads) == len(set(heads))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(texts)
def test_no_cell_goes_out_as_a_formula_and_each_comes_back(text: str) -> None:
    """Whatever a title begins with, a spreadsheet reads text, and the import reads the title."""
    assert not armed(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert disarmed(armed(text)) == text


def test_without_the_quote_a_formula_would_go_out() -> None:
    """The control: it is the quote that takes the sign from the beginning."""
    assert armed("=1+1") == "'=1+1"
    assert armed("Deutsch") == "Deutsch"


moments = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given a zone
sessions = st.builds(
    lambda starts, lasts, room: CatalogueSession(
        starts.replace(microsecond=0), starts.replace(microsecond=0) + lasts, room
    ),
    moments,
    st.timedeltas(timedelta(minutes=1), timedelta(days=2)).map(
        lambda lasts: timedelta(seconds=int(lasts.total_seconds()))
    ),
    st.none() | st.sampled_from(["Raum 3", "A|B", "a@b", "x; y", "\\", "Raum \\|", "@"]),
)


@given(st.lists(sessions, max_size=4))
def test_sessions_come_back_to_the_second(found: list[CatalogueSession]) -> None:
    """Over midnight, in the doubled hour of autumn, in rooms with strange names."""
    ordered = tuple(sorted(found, key=lambda each: (each.starts, each.ends, each.room or "")))
    assert read_sessions(write_sessions(ordered)) == ordered
