"""Catalogue rows: stored and read back, merged with local edits, compared with what is there."""

import json
from dataclasses import fields, replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.courses.domain.catalogue import (
    BrokenRow,
    CatalogueRow,
    CatalogueSession,
    Entry,
    Finding,
    from_json,
    to_json,
)
from services.courses.domain.kufer import read_kufer
from services.courses.domain.merging import MERGED_FIELDS, Known, Preview, compare, merge
from tests.unit.courses.kufer_samples import SAMPLES, Sample, course, export, read

MORNING = CatalogueSession(
    datetime(2027, 4, 5, 7, 0, tzinfo=UTC), datetime(2027, 4, 5, 10, 45, tzinfo=UTC), "Großer Saal"
)
words = st.sampled_from([None, "Linden", "Döhren"])
days = st.sampled_from([None, date(2027, 4, 5), date(2027, 4, 6)])
numbers = st.sampled_from([None, 0, 15, 18])
flags = st.sampled_from([None, True, False])
CATALOGUE_ROWS = st.builds(
    CatalogueRow,
    number=st.just("K-1"),
    title=st.sampled_from(["Deutsch", "Deutsch B2", "Übung"]),
    subtitle=words,
    subject_area=words,
    categories=st.sampled_from([(), ("A / B",), ("A / B", "C")]),
    description=words,
    material=words,
    starts_on=days,
    ends_on=days,
    register_until=days,
    sessions=st.sampled_from([(), (MORNING,), (replace(MORNING, room=None), MORNING)]),
    capacity=numbers,
    minimum=numbers,
    registered=st.sampled_from([0, 3]),
    waiting=st.sampled_from([0, 3]),
    room=words,
    building=words,
    street=words,
    postcode=words,
    town=words,
    fee_cents=numbers,
    reduced_fee_cents=numbers,
    fee_note=words,
    web_registration=flags,
    cancelled=st.booleans(),
)


def named(number: str, **values: object) -> CatalogueRow:
    """Make a course with a title and these values."""
    return replace(CatalogueRow(number, "Deutsch"), **values)  # type: ignore[arg-type]  # the test names its fields


def known(*rows: CatalogueRow) -> dict[str, Known]:
    """Make courses that were imported once and not edited since."""
    return {row.number: Known(row, row) for row in rows}


def after(preview: Preview) -> dict[str, Known]:
    """Keep what a preview says, as an import does."""
    merged = [*preview.changed, *preview.unchanged]
    return known(*preview.new) | {each.row.number: Known(each.base, each.row) for each in merged}


@given(CATALOGUE_ROWS)
def test_a_row_comes_back_from_json_as_it_went(row: CatalogueRow) -> None:
    """The stored base is exactly the row of the last import."""
    assert from_json(json.loads(json.dumps(to_json(row)))) == row


def test_the_drawn_rows_fill_every_field() -> None:
    """A field added later cannot stay outside the properties below."""
    of_the_file_alone = {"unstated", "remarks"}
    assert {each.name for each in fields(CatalogueRow)} - of_the_file_alone == {"number", *MERGED_FIELDS}
    assert set(to_json(CatalogueRow("K-1", "Deutsch"))) == {"number", *MERGED_FIELDS}


def test_a_base_stored_before_a_field_existed_takes_its_default() -> None:
    """An old row is read by a newer programme, and a newer row by an older one."""
    assert from_json({"number": "K-1", "title": "Deutsch", "from_the_future": 1}) == CatalogueRow("K-1", "Deutsch")


@given(CATALOGUE_ROWS, CATALOGUE_ROWS)
def test_without_edits_the_file_is_taken_whole(base: CatalogueRow, incoming: CatalogueRow) -> None:
    """Nothing edited here, nothing to keep."""
    merged = merge(base, base, incoming)
    assert (merged.row, merged.kept) == (incoming, ())


@given(CATALOGUE_ROWS, CATALOGUE_ROWS, CATALOGUE_ROWS)
def test_every_local_edit_survives(base: CatalogueRow, local: CatalogueRow, incoming: CatalogueRow) -> None:
    """A field edited here keeps its value; every other field is the file's."""
    merged = merge(base, local, incoming)
    for name in MERGED_FIELDS:
        edited = getattr(local, name) != getattr(base, name)
        assert getattr(merged.row, name) == getattr(local if edited else incoming, name)


@given(CATALOGUE_ROWS, CATALOGUE_ROWS, CATALOGUE_ROWS)
def test_what_changed_and_what_was_kept_is_told(
    base: CatalogueRow, local: CatalogueRow, incoming: CatalogueRow
) -> None:
    """Changed are the fields that differ from before; kept those where the file wanted otherwise and lost."""
    merged = merge(base, local, incoming)
    assert set(merged.changed) == {name for name in MERGED_FIELDS if getattr(merged.row, name) != getattr(local, name)}
    lost = {name for name in MERGED_FIELDS if getattr(merged.row, name) != getattr(incoming, name)}
    assert set(merged.kept) == {name for name in lost if getattr(incoming, name) != getattr(base, name)}


@given(CATALOGUE_ROWS, CATALOGUE_ROWS, CATALOGUE_ROWS)
def test_the_same_file_again_changes_nothing(base: CatalogueRow, local: CatalogueRow, incoming: CatalogueRow) -> None:
    """Whatever was edited in between, a second import of one file has no effect."""
    once = merge(base, local, incoming)
    twice = merge(once.base, once.row, incoming)
    assert (twice.row, twice.changed, twice.kept) == (once.row, (), ())


def test_where_both_changed_the_local_value_stays_and_is_named() -> None:
    """The office moved the course, the file moved it elsewhere, and raised the seats."""
    base = named("K-1", room="Raum 1", capacity=15)
    merged = merge(base, replace(base, room="Raum 2"), replace(base, room="Raum 3", capacity=18))
    assert (merged.row.room, merged.row.capacity) == ("Raum 2", 18)
    assert (merged.changed, merged.kept) == (("capacity",), ("room",))


def test_a_merge_that_forgets_the_base_loses_the_edit() -> None:
    """The control: it is the remembered base that protects a local edit."""
    base = named("K-1", room="Raum 1")
    local = replace(base, room="Raum 2")
    assert merge(base, local, base).row.room == "Raum 2"
    assert merge(local, local, base).row.room == "Raum 1"


def test_an_edit_the_file_follows_is_no_edit_any_more() -> None:
    """Once the file agrees with the office, its next change is taken."""
    base = named("K-1", room="Raum 1")
    agreed = merge(base, replace(base, room="Raum 2"), replace(base, room="Raum 2"))
    assert merge(agreed.base, agreed.row, replace(base, room="Raum 3")).row.room == "Raum 3"


def test_a_comparison_sorts_into_new_changed_unchanged_and_gone() -> None:
    """Each course is in exactly one of the four."""
    before = known(named("SAME"), named("MORE", capacity=15), named("GONE"))
    preview = compare(before, [named("SAME"), named("MORE", capacity=18), named("NEW")])
    assert [row.number for row in preview.new] == ["NEW"]
    assert [(each.row.number, each.changed) for each in preview.changed] == [("MORE", ("capacity",))]
    assert [each.row.number for each in preview.unchanged] == ["SAME"]
    assert preview.gone == ("GONE",)


def test_a_course_where_only_a_local_edit_held_counts_as_unchanged() -> None:
    """Nothing changes for anybody, but the new base is to be kept."""
    base = named("K-1", room="Raum 1")
    incoming = replace(base, room="Raum 3")
    preview = compare({"K-1": Known(base, replace(base, room="Raum 2"))}, [incoming])
    (only,) = preview.unchanged
    assert (only.kept, only.base) == (("room",), incoming)


def test_of_a_number_that_comes_twice_the_first_counts() -> None:
    """The second is a finding and reaches nothing."""
    preview = compare({}, [named("K-1", capacity=15), named("K-1", capacity=18)])
    assert [row.capacity for row in preview.new] == [15]
    assert [finding.kind for finding in preview.findings] == ["duplicate"]


def test_a_course_that_cannot_be_read_is_not_gone() -> None:
    """It is in the file, so it stays as it is until it can be read again."""
    bad = BrokenRow("K-1", (Finding("bad_date", ("K-1",), "Course K-1 has a bad date."),))
    preview = compare(known(named("K-1"), named("K-2")), [bad])
    assert preview.gone == ("K-2",)
    assert [finding.kind for finding in preview.findings] == ["bad_date"]


LAST = BrokenRow(None, (Finding("broken_file", (), "The file is cut off."),), ends_file=True)
NAMELESS = BrokenRow(None, (Finding("unreadable_row", (), "Course no. 2 has no number."),))


@pytest.mark.parametrize(("bad", "reason"), [(LAST, "to its end"), (NAMELESS, "without number")])
def test_nothing_is_gone_where_the_missing_course_may_be_in_the_unread_part(bad: BrokenRow, reason: str) -> None:
    """A file cut off on its way takes no running course away, and says why."""
    entries: list[Entry] = [named("K-1"), bad]
    preview = compare(known(named("K-1"), named("K-2")), entries)
    assert preview.gone == ()
    assert preview.findings[-1].kind == "gone_withheld"
    assert reason in preview.findings[-1].sentence
    assert compare(known(named("K-1"), named("K-2")), entries[:1]).gone == ("K-2",)


def test_a_cut_off_file_read_for_real_takes_nothing_away() -> None:
    """From the bytes to the preview: the courses after the cut stay."""
    text = export(course("K-1"), course("K-2"))
    whole = compare({}, read(text))
    cut = compare(after(whole), read(text[:-60]))
    assert [each.row.number for each in cut.unchanged] == ["K-1"]
    assert cut.gone == ()
    assert [finding.kind for finding in cut.findings] == ["broken_file", "gone_withheld"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.name)
def test_a_whole_export_is_all_new_once_and_unchanged_ever_after(sample: Sample) -> None:
    """The second import of a whole file changes nothing, also through JSON."""
    with sample.path.open("rb") as stream:
        entries = tuple(read_kufer(stream))
    first = compare({}, entries)
    assert (len(first.new), first.changed, first.unchanged, first.gone) == (sample.courses, (), (), ())
    stored = {number: from_json(json.loads(json.dumps(to_json(each.base)))) for number, each in after(first).items()}
    second = compare(known(*stored.values()), entries)
    assert (second.new, second.changed, len(second.unchanged), second.gone) == ((), (), sample.courses, ())
