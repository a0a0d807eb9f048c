"""Reads the course export of KuferSQL: one `kurs` after the other, by a whitelist of tags, in constant memory.

Source of the tags: exports of KuferSQL 2017 and what importers of other institutions read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from services.courses.domain.catalogue import BrokenRow, CatalogueRow, Entry, Finding
from services.courses.domain.characters import Characters, UnreadableFileError
from services.courses.domain.kufer_fields import Fields

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is read: bytes of it, elements and depth of a course, characters of a text and of a line."""

    file_bytes: int = 64 * 1024 * 1024
    elements_per_course: int = 20_000
    depth: int = 12
    text_characters: int = 20_000
    line_characters: int = 300


DEFAULT_LIMITS: Final = Limits()

# What is not listed here is dropped while it is read. Never list a teacher: names, phones and mails are in there.
LISTED: Final = frozenset(
    [
        *("knr", "haupttitel", "titelkurz", "titellang", "fachb", "fachbtext", "inhalt", "web_info", "material"),
        *("beginndat", "endedat", "anm_ende", "termine", "termin", "tag", "zeitvon", "zeitbis"),
        *("ort", "ortraumname", "ortgebaeude", "ortaussenstelle", "ortstr", "ortplz", "ortname"),
        *("tnmax", "tnmin", "tnanmeldungen", "tnwarteliste", "keinewebanmeldung", "ausfall"),
        *("gebnorm", "geberm", "gebuehrergaenztext", "kategorien", "kategorie", "bezeichnungstruktur"),
    ]
)


def read_kufer(stream: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> Iterator[Entry]:
    """Read a KuferSQL export course by course.

    A course that cannot be read comes as a BrokenRow and the next one follows. Where the file itself ends too early,
    is no XML, too large or dangerous, a last BrokenRow with `ends_file` says so. Nothing is raised.
    """
    position = 0
    try:
        for course in courses_in(Characters(stream, limits.file_bytes), limits):
            position += 1
            yield _entry(course, position, limits)
    except ParseError as error:
        yield _broken_file(_malformed(error, position))
    except DefusedXmlException:
        yield _broken_file("The file carries a document type or entities, which can do harm; it is not read.")
    except UnreadableFileError as error:
        yield _broken_file(str(error))
    else:
        if not position:
            yield _broken_file("The file holds no course.")


def courses_in(source: Characters, limits: Limits = DEFAULT_LIMITS) -> Iterator["Element"]:
    """Give each `kurs` when it is complete and forget it afterwards, together with all that is not listed."""
    path: list[Element] = []
    elements = 0
    for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            path.append(element)
            elements += 1
            _within(len(path), elements, limits)
            continue
        path.pop()
        in_course = any(outer.tag == "kurs" for outer in path)
        if element.tag == "kurs" and not in_course:
            yield element
        if in_course and element.tag not in LISTED:
            element.clear()
        if not in_course:
            elements = 0
            # The parser runs ahead of these events: what follows in the parent is the next course, not this one.
            for parent in path[-1:]:
                parent.remove(element)


def _within(depth: int, elements: int, limits: Limits) -> None:
    if depth > limits.depth:
        raise UnreadableFileError(f"The file is nested deeper than {limits.depth} levels; it is no course export.")
    if elements > limits.elements_per_course:
        raise UnreadableFileError(f"One course has more than {limits.elements_per_course:,} elements; reading stops.")


def _malformed(error: ParseError, courses: int) -> str:
    read = f"{courses} course was" if courses == 1 else f"{courses} courses were"
    return f"The file is cut off or is no correct XML at line {error.position[0]}; {read} read before that."


def _broken_file(sentence: str) -> BrokenRow:
    return BrokenRow(None, (Finding("broken_file", (), sentence),), ends_file=True)


def _entry(course: "Element", position: int, limits: Limits) -> Entry:
    read = Fields(course, position, limits.text_characters, limits.line_characters)
    row = _row(read)
    return BrokenRow(read.number or None, tuple(read.troubles)) if read.troubles else row


def _row(read: Fields) -> CatalogueRow:
    starts_on, ends_on = read.period("beginndat", "endedat")
    fee_cents, reduced_fee_cents, fee_note = read.fees("gebnorm", "geberm", "gebuehrergaenztext")
    title = read.title("haupttitel", "titelkurz", "titellang")
    subtitle = read.line("titellang")
    return CatalogueRow(
        number=read.number,
        title=title,
        subtitle=subtitle if subtitle != title else None,
        subject_area=read.line("fachbtext", "fachb"),
        categories=read.lines("kategorien/kategorie/bezeichnungstruktur"),
        description=read.text("web_info", "inhalt"),
        material=read.text("material"),
        starts_on=starts_on,
        ends_on=ends_on,
        register_until=read.day("anm_ende"),
        sessions=read.sessions("termine/termin"),
        capacity=read.count("tnmax") or None,  # 0 is how the software writes "no limit"
        minimum=read.count("tnmin"),
        registered=read.count("tnanmeldungen") or 0,
        waiting=read.count("tnwarteliste") or 0,
        room=read.line("ortraumname", "ort"),
        building=read.line("ortgebaeude", "ortaussenstelle"),
        street=read.line("ortstr"),
        postcode=read.line("ortplz"),
        town=read.line("ortname"),
        fee_cents=fee_cents,
        reduced_fee_cents=reduced_fee_cents,
        fee_note=fee_note,
        web_registration=read.negated("keinewebanmeldung"),
        cancelled=read.flag("ausfall") or False,
    )
