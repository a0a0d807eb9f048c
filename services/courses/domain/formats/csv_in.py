"""Reads a table of courses (CSV), German or English, as spreadsheets write it."""

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from services.courses.domain.catalogue import KEPT_FIELDS, BrokenRow, CatalogueRow, Entry, Finding
from services.courses.domain.characters import Characters, UnreadableFileError
from services.courses.domain.formats.csv_cells import Cells
from services.courses.domain.formats.csv_columns import BY_NAME, Column, columns_of, known

MOST_BYTES: Final = 16 * 1024 * 1024
MOST_IN_A_LINE: Final = 120_000
MOST_ROWS: Final = 20_000
DELIMITERS: Final = (";", ",", "\t")
_FEES: Final = {"fee_cents": "fee", "reduced_fee_cents": "reduced_fee"}


def read_csv(stream: BinaryIO, institution: str | None = None) -> Iterator[Entry]:
    """Read a table course by course, as `COLUMNS` describes it; the delimiter is the one that fits the head.

    A row that names another institution is left out. A field without a column is `unstated`. Nothing is raised.
    """
    try:
        yield from _rows(stream, institution)
    except (UnreadableFileError, csv.Error) as error:
        sentence = (
            str(error) if isinstance(error, UnreadableFileError) else "The file is no table: a quote is not closed."
        )
        yield BrokenRow(None, (Finding("broken_file", (), sentence),), ends_file=True)


def _rows(stream: BinaryIO, institution: str | None) -> Iterator[Entry]:
    lines = _lines(Characters(stream, MOST_BYTES))
    head = next((line for line in lines if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda each: known(next(csv.reader([head], delimiter=each), [])))
    heads = next(csv.reader([head], delimiter=delimiter), [])
    columns = columns_of(heads)
    _check(columns)
    remarks = tuple(_remarks(heads, columns))
    position = 0
    for cells in csv.reader(lines, delimiter=delimiter, strict=True):
        if not any(cell.strip() for cell in cells):
            continue
        position += 1
        if position > MOST_ROWS:
            raise UnreadableFileError(f"The file holds more than {MOST_ROWS:,} courses; the others are not read.")
        yield _entry(Cells(columns, cells, position), institution, remarks if position == 1 else ())
    if not position:
        raise UnreadableFileError("The file holds no course.")


def _lines(source: Characters) -> Iterator[str]:
    """Give line by line; the reader of cells keeps the breaks that stand in quotes."""
    rest = ""
    while piece := source.read():
        rest += piece
        *whole, rest = rest.split("\n")
        for line in whole:
            yield f"{line}\n"
        if len(rest) > MOST_IN_A_LINE:
            raise UnreadableFileError(
                f"A line is longer than {MOST_IN_A_LINE:,} characters; this is no table of courses."
            )
    if rest:
        yield rest


def _check(columns: Sequence[Column | None]) -> None:
    names = {column.name for column in columns if column}
    for name in ("number", "title"):
        if name not in names:
            raise UnreadableFileError(f"The first line names no column '{BY_NAME[name].german}' ('{name}').")


def _remarks(heads: Sequence[str], columns: Sequence[Column | None]) -> Iterator[Finding]:
    unknown = [
        head.strip()[:40] for head, column in zip(heads, columns, strict=True) if column is None and head.strip()
    ]
    if unknown:
        yield Finding(
            "remark", (), f"These columns are not known, or come again, and are left out: {', '.join(unknown)}."
        )


def _entry(read: Cells, institution: str | None, remarks: tuple[Finding, ...]) -> Entry:
    owner = read.line("institution")
    if institution and owner and owner != institution:
        sentence = f"Course {read.number} is of {owner[:40]}, not of {institution}; it is left out."
        return BrokenRow(read.number or None, (*remarks, Finding("unreadable_row", (read.number,), sentence)))
    row = _row(read, remarks)
    return BrokenRow(read.number or None, (*remarks, *read.troubles)) if read.troubles else row


def _row(read: Cells, remarks: tuple[Finding, ...]) -> CatalogueRow:
    sessions = read.sessions("sessions")
    starts_on, ends_on = read.period("starts_on", "ends_on", sessions)
    postcode = read.postcode("postcode")
    return CatalogueRow(
        number=read.number,
        title=read.title("title"),
        subtitle=read.line("subtitle"),
        subject_area=read.line("subject_area"),
        description=read.text("description"),
        starts_on=starts_on,
        ends_on=ends_on,
        register_until=read.day("register_until"),
        sessions=sessions,
        capacity=read.count("capacity") or None,
        minimum=read.count("minimum") or None,
        registered=read.count("registered") or 0,
        waiting=read.count("waiting") or 0,
        room=read.line("room"),
        building=read.line("building"),
        street=read.line("street"),
        postcode=postcode,
        town=read.line("town"),
        fee_cents=read.cents("fee"),
        reduced_fee_cents=read.cents("reduced_fee"),
        cancelled=read.flag("cancelled") or False,
        quarter=read.quarter("quarter"),
        kind=read.kind("kind"),
        from_level=read.level("from_level"),
        to_level=read.level("to_level"),
        ue=read.count("ue"),
        part_time=read.flag("part_time"),
        mornings=read.flag("mornings"),
        childcare=read.flag("childcare"),
        unstated=_unstated(read),
        remarks=(*remarks, *read.remarks),
    )


def _unstated(read: Cells) -> tuple[str, ...]:
    """Name the fields that the table has no column for; days come from the sessions where these have one."""
    days = {"starts_on", "ends_on"} if "sessions" in read.names else set()
    stated = read.names | days
    return tuple(name for name in KEPT_FIELDS if _FEES.get(name, name) not in stated)
