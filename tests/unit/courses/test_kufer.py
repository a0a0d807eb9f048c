"""The reader of KuferSQL exports: encodings, dirt, danger, and memory."""

import codecs
import io
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import BinaryIO, cast
from xml.etree import ElementTree

import pytest

from services.courses.domain import kufer
from services.courses.domain.catalogue import CatalogueRow, to_json
from services.courses.domain.characters import Characters
from services.courses.domain.kufer import Limits, courses_in, read_kufer
from tests.unit.courses.kufer_samples import (
    SAMPLES,
    Sample,
    broken,
    course,
    export,
    read,
    row,
    session,
)

UNDECLARED = "<?xml version='1.0'?>"
WINDOWS = "<?xml version='1.0' encoding='windows-1252'?>"
LATIN = "<?xml version='1.0' encoding='ISO-8859-1'?>"
TITLE = "Übung „Groß“ – 5 €"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.name)
def test_a_whole_export_is_read_to_its_last_session(sample: Sample) -> None:
    """The numbers of courses and sessions are those the file is known for."""
    with sample.path.open("rb") as stream:
        rows = [entry for entry in read_kufer(stream) if isinstance(entry, CatalogueRow)]
    assert len(rows) == sample.courses
    assert sum(len(each.sessions) for each in rows) == sample.sessions


def test_a_course_says_all_that_the_public_picture_of_a_run_needs() -> None:
    """Every listed tag arrives in its field, times as UTC."""
    more = (
        "<fachbtext>Sprache</fachbtext><titellang>Deutsch, ganz lang</titellang><inhalt>Eins\n  zwei</inhalt>"
        "<material>Buch</material><beginndat>05.04.2027</beginndat><endedat>06.12.2027</endedat>"
        "<anm_ende>01.04.2027</anm_ende><tnmax>18</tnmax><tnmin>15</tnmin><tnanmeldungen>7</tnanmeldungen>"
        "<tnwarteliste>2</tnwarteliste><ortraumname>Raum 1</ortraumname><ortgebaeude>Haus</ortgebaeude>"
        "<ortstr>Ahornbogen 12</ortstr><ortplz>30451</ortplz><ortname>Hannover</ortname><gebnorm>85,50</gebnorm>"
        "<geberm>0</geberm><gebuehrergaenztext>ohne Buch</gebuehrergaenztext><keinewebanmeldung>W</keinewebanmeldung>"
        "<ausfall>F</ausfall><kategorien><kategorie><bezeichnungstruktur>A / B</bezeichnungstruktur></kategorie>"
        "</kategorien>"
    )
    read_row = row(export(course("K-1", session(), session("06.12.2027"), more=more)))
    assert (read_row.number, read_row.title, read_row.subtitle) == ("K-1", "Deutsch für alle", "Deutsch, ganz lang")
    assert (read_row.subject_area, read_row.categories) == ("Sprache", ("A / B",))
    assert (read_row.description, read_row.material) == ("Eins\nzwei", "Buch")
    assert (read_row.starts_on, read_row.ends_on) == (date(2027, 4, 5), date(2027, 12, 6))
    assert read_row.register_until == date(2027, 4, 1)
    assert (read_row.capacity, read_row.minimum, read_row.registered, read_row.waiting) == (18, 15, 7, 2)
    assert (read_row.room, read_row.building) == ("Raum 1", "Haus")
    assert (read_row.street, read_row.postcode, read_row.town) == ("Ahornbogen 12", "30451", "Hannover")
    assert (read_row.fee_cents, read_row.reduced_fee_cents, read_row.fee_note) == (8550, 0, "ohne Buch")
    assert (read_row.web_registration, read_row.cancelled) == (False, False)
    summer, winter = read_row.sessions
    assert summer.starts == datetime(2027, 4, 5, 7, 0, tzinfo=UTC)
    assert winter.starts == datetime(2027, 12, 6, 8, 0, tzinfo=UTC)


def test_a_session_may_name_a_room_of_its_own() -> None:
    """The room of the session is kept beside the room of the course."""
    (only,) = row(export(course("K-1", session(more="<ort>Raum 9</ort>"), more="<ort>Raum 1</ort>"))).sessions
    assert only.room == "Raum 9"


def test_a_capacity_of_nought_is_no_limit() -> None:
    """The software writes 0 where nothing is set; nobody means a course without seats."""
    assert row(export(course(more="<tnmax>0</tnmax>"))).capacity is None


def test_a_fee_in_words_is_kept_as_words() -> None:
    """A fee that is no amount is not lost and breaks nothing."""
    read_row = row(export(course(more="<gebnorm>auf Anfrage</gebnorm>")))
    assert (read_row.fee_cents, read_row.fee_note) == (None, "auf Anfrage")


PERSON = "<titel>Dr.</titel><vorname>Ada</vorname><name>Geheim</name><telefon>0511 4711</telefon><mail>a@b.c</mail>"


@pytest.mark.parametrize("tag", ["dozenten", "dozent", "sachbearbeiter"])
def test_nothing_about_people_passes(tag: str) -> None:
    """Names, phones and mails of teachers and planners are nowhere in what is read."""
    text = export(course(more=f"<{tag}><dozent>{PERSON}</dozent></{tag}><telefon>0511 4711</telefon>"))
    assert "Geheim" in text
    stored = str(to_json(row(text)))
    assert not [word for word in ("Geheim", "Ada", "4711", "a@b.c") if word in stored]


def test_what_is_not_listed_is_dropped_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whitelist itself empties the element; the control lists the tags and sees the name come through."""
    text = export(course(more=f"<dozenten><dozent>{PERSON}</dozent></dozenten>")).encode()

    def told() -> str:
        source = Characters(io.BytesIO(text), len(text))
        return "".join(word for element in courses_in(source) for word in element.itertext())

    assert told() == "K-1Deutsch für alle"
    monkeypatch.setattr(kufer, "LISTED", kufer.LISTED | {"dozenten", "dozent", "name"})
    assert told() == "K-1Deutsch für alleGeheim"


ENCODED = {
    "UTF-8, declared": export(course(title=TITLE)).encode(),
    "UTF-8 with a mark": codecs.BOM_UTF8 + export(course(title=TITLE), head=UNDECLARED).encode(),
    "UTF-8 with a mark, declared as windows-1252": codecs.BOM_UTF8 + export(course(title=TITLE), head=WINDOWS).encode(),
    "UTF-8, not declared": export(course(title=TITLE), head="").encode(),
    "windows-1252, declared": export(course(title=TITLE), head=WINDOWS).encode("cp1252"),
    "windows-1252, declared as Latin-1": export(course(title=TITLE), head=LATIN).encode("cp1252"),
    "windows-1252, not declared": export(course(title=TITLE), head="").encode("cp1252"),
    "windows-1252, declared as UTF-8": export(course(title=TITLE)).encode("cp1252"),
    "UTF-16 with a mark": export(course(title=TITLE), head="<?xml version='1.0' encoding='utf-16'?>").encode("utf-16"),
}


@pytest.mark.parametrize("text", ENCODED.values(), ids=ENCODED.keys())
def test_umlauts_quotes_and_the_euro_arrive_in_every_encoding(text: bytes) -> None:
    """German course software writes many encodings and does not always say which."""
    assert row(text).title == TITLE


def test_an_old_row_in_windows_1252_far_down_in_a_utf8_file_is_read() -> None:
    """One row of an old database does not break the file, and the rows around it stay right."""
    before = "".join(course(f"V-{n}", title=TITLE) for n in range(1500))
    text = export(before).removesuffix("</kurse>").encode() + course("ALT", title="Übung").encode("cp1252")
    entries = read(text + course("NEU", title="Übung").encode() + b"</kurse>")
    titles = {entry.number: entry.title for entry in entries if isinstance(entry, CatalogueRow)}
    assert (titles["V-0"], titles["ALT"], titles["NEU"]) == (TITLE, "Übung", "Übung")


def test_characters_cut_in_two_by_the_network_are_put_together() -> None:
    """A stream that gives one byte at a time reads like a whole file."""

    class Drops(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(1 if size else 0)

    (entry,) = read_kufer(Drops(export(course(title=TITLE)).encode()))
    assert isinstance(entry, CatalogueRow)
    assert entry.title == TITLE


def test_an_encoding_nobody_uses_is_named_in_the_finding() -> None:
    """A strange encoding is refused with its name."""
    (entry,) = read(export(course(), head="<?xml version='1.0' encoding='EBCDIC-CP-BE'?>"))
    assert "EBCDIC-CP-BE" in broken(entry).findings[0].sentence


def test_control_characters_out_of_a_word_processor_are_dropped() -> None:
    """A vertical tab, which XML forbids, does not cost the whole file."""
    assert row(export(course(title="Deutsch\x0b für alle\x1f"))).title == "Deutsch für alle"


BAD = {
    "a day that does not exist": (course("K-2", session("31.02.2027")), "bad_date", "31.02.2027"),
    "a year far away": (course("K-2", session("05.04.0217")), "bad_date", "05.04.0217"),
    "no date": (course("K-2", session("")), "bad_date", "without a date"),
    "a first day in words": (course("K-2", more="<beginndat>Ostern</beginndat>"), "bad_date", "Ostern"),
    "an end before the start": (
        course("K-2", more="<beginndat>05.04.2027</beginndat><endedat>04.04.2027</endedat>"),
        "bad_date",
        "04.04.2027",
    ),
    "25 o'clock": (course("K-2", session(ends="25:00")), "bad_time", "25:00"),
    "minute 60": (course("K-2", session(begins="08:60")), "bad_time", "08:60"),
    "an hour that ends before it began": (course("K-2", session(begins="13:00")), "bad_time", "before it began"),
    "no time at all": (course("K-2", session(begins="")), "bad_time", "no time"),
    "an hour that summer time leaves out": (
        course("K-2", session("28.03.2027", "02:30", "04:00")),
        "bad_time",
        "summer time",
    ),
    "seats in words": (course("K-2", more="<tnmax>viele</tnmax>"), "unreadable_row", "viele"),
    "fewer than no people": (course("K-2", more="<tnanmeldungen>-3</tnanmeldungen>"), "unreadable_row", "-3"),
    "no title": (course("K-2", title=""), "unreadable_row", "no title"),
    "a text like a book": (course("K-2", more=f"<inhalt>{'x' * 20_001}</inhalt>"), "unreadable_row", "20,001"),
    "a second title like a page": (
        course("K-2", title="", more=f"<titellang>{'x' * 301}</titellang>"),
        "unreadable_row",
        "titellang",
    ),
    "a title like a page": (course("K-2", title="x" * 301), "unreadable_row", "301"),
}


@pytest.mark.parametrize(("bad", "kind", "word"), BAD.values(), ids=BAD.keys())
def test_a_broken_course_is_named_and_stops_nothing_else(bad: str, kind: str, word: str) -> None:
    """The courses before and after it are read, and the finding carries its number and what is wrong."""
    before, entry, after = read(export(course("K-1"), bad, course("K-3")))
    assert [before.number, broken(entry).number, after.number] == ["K-1", "K-2", "K-3"]
    (finding,) = broken(entry).findings
    assert (finding.kind, finding.numbers) == (kind, ("K-2",))
    assert "Course K-2" in finding.sentence
    assert word in finding.sentence


@pytest.mark.parametrize("number", ["", " \n ", "x" * 301])
def test_a_course_without_a_number_is_found_by_its_place(number: str) -> None:
    """Without a number, counting is how a person finds the course in the file."""
    _, entry, after = read(export(course("K-1"), course(number), course("K-3")))
    assert broken(entry).number is None
    assert [finding.sentence[:27] for finding in broken(entry).findings] == ["Course no. 2 in the file ha"]
    assert after.number == "K-3"


def test_each_wrong_value_of_a_course_is_found() -> None:
    """An office mends a course in one go, so it hears of all that is wrong with it."""
    (entry,) = read(export(course("K-1", session("31.02.2027"), session(ends="25:00"), session())))
    assert [finding.kind for finding in broken(entry).findings] == ["bad_date", "bad_time"]


def test_a_page_in_the_field_of_a_date_is_not_repeated_in_the_finding() -> None:
    """A finding stays readable whatever stands in the file."""
    (entry,) = read(export(course("K-1", session("1" * 300))))
    assert len(broken(entry).findings[0].sentence) < 150


def test_a_course_in_which_a_date_is_left_empty_is_not_broken() -> None:
    """The software writes empty elements; they say nothing and are nothing."""
    assert row(export(course("K-1", session("", "", ""), more="<beginndat/><tnmax/>"))).sessions == ()


@pytest.mark.parametrize("cut", [8, 60, 140])
def test_a_file_that_was_cut_off_gives_what_came_before(cut: int) -> None:
    """Two good courses, then one clear last word instead of a crash."""
    *rows, end = read(export(course("K-1"), course("K-2"), course("K-3", session()))[:-cut])
    assert [entry.number for entry in rows][:2] == ["K-1", "K-2"]
    assert broken(end).ends_file
    assert [finding.kind for finding in broken(end).findings] == ["broken_file"]
    assert "cut off" in broken(end).findings[0].sentence


@pytest.mark.parametrize(
    ("text", "word"),
    [("", "cut off"), ("not xml", "cut off"), ("<kurse/>", "no course"), ("<html><p>Anmelden</p></html>", "no course")],
)
def test_a_file_that_is_no_export_says_so(text: str, word: str) -> None:
    """An empty file, or the login page saved instead of the export, must not look like an empty catalogue."""
    (end,) = read(text)
    assert broken(end).ends_file
    assert word in broken(end).findings[0].sentence


LAUGHS = "<!DOCTYPE kurse [<!ENTITY a '{}'><!ENTITY b '{}'><!ENTITY c '{}'>]>".format("ha" * 50, "&a;" * 50, "&b;" * 50)
EXTERNAL = "<!DOCTYPE kurse [<!ENTITY c SYSTEM 'file:///etc/hostname'>]>"
PARAMETER = "<!DOCTYPE kurse [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/x.dtd'> %p;]>"


@pytest.mark.parametrize("head", [LAUGHS, EXTERNAL, PARAMETER, "<!DOCTYPE kurse SYSTEM 'kurse.dtd'>"])
def test_a_dangerous_file_is_refused(head: str) -> None:
    """Entities, inner or outer, are refused before the first course."""
    (end,) = read(export(course(title="&c;" if "ENTITY c" in head else "x"), head=head))
    assert broken(end).ends_file
    assert "can do harm" in broken(end).findings[0].sentence


def test_the_same_file_does_blow_up_in_an_unguarded_parser() -> None:
    """The control: without the guard a few hundred characters become a quarter of a million."""
    text = export(course(title="&c;"), head=LAUGHS)
    title = ElementTree.fromstring(text).findtext("kurs/haupttitel")
    assert title is not None
    assert len(title) == 250_000 > 300 * len(text)


def test_a_file_that_is_too_large_is_read_up_to_its_limit() -> None:
    """What fits is given, then one clear word about the limit."""
    text = export(*(course(f"K-{n}") for n in range(2000)))
    *rows, end = read(text, Limits(file_bytes=100_000))
    assert rows
    assert len(rows) < 2000
    assert "100,000 bytes" in broken(end).findings[0].sentence
    assert len(read(text, Limits(file_bytes=len(text.encode())))) == 2000


@pytest.mark.parametrize(
    "bad", [f"<kurs>{'<x/>' * 20_001}</kurs>", f"<kurs>{'<x>' * 20}{'</x>' * 20}</kurs>"], ids=["wide", "deep"]
)
def test_a_course_built_to_fill_the_memory_ends_the_reading(bad: str) -> None:
    """Too many or too deep elements in one course are no course; what came before stays."""
    first, end = read(export(course("K-1"), bad))
    assert first.number == "K-1"
    assert broken(end).ends_file


def _many(courses: int) -> BinaryIO:
    class Pieces(io.RawIOBase):
        def __init__(self) -> None:
            more = "<inhalt>" + "Deutsch für alle. " * 20 + "</inhalt><unbekannt>weg</unbekannt>"
            self._pieces = self._all(more)
            self._rest = b""

        def _all(self, more: str) -> Iterator[bytes]:
            yield b"<kurse>"
            for number in range(courses):
                yield course(f"K-{number}", session(), more=more).encode()
            yield b"</kurse>"

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # the buffer io passes is writable
            self._rest = self._rest or next(self._pieces, b"")
            piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
            buffer[: len(piece)] = piece
            return len(piece)

    return cast(BinaryIO, Pieces())


def _peak(read_all: Callable[[BinaryIO], Iterable[object]], courses: int) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_all(_many(courses))) >= courses
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_five_thousand_courses_take_no_more_memory_than_five_hundred() -> None:
    """Each course is forgotten once it has been given."""
    assert _peak(read_kufer, 5_000) < 1.5 * _peak(read_kufer, 500)


def test_a_parser_that_keeps_its_courses_grows_with_the_file() -> None:
    """The control: the same stream without forgetting grows with the file, so the measurement can fail."""
    assert _peak(ElementTree.iterparse, 2_500) > 3 * _peak(ElementTree.iterparse, 500)
