"""What is odd in a catalogue: seats, rooms, doubles."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.courses.domain.catalogue import KINDS, BrokenRow, CatalogueRow, CatalogueSession, Finding
from services.courses.domain.findings import count_findings, findings
from services.courses.domain.kufer import read_kufer
from tests.unit.courses.kufer_samples import SAMPLES, Sample, course, export, read, session

MONDAY = datetime(2027, 4, 5, 7, 0, tzinfo=UTC)


def at(hour: float, hours: float = 1, room: str | None = None) -> CatalogueSession:
    """Make a session that many hours after Monday, nine o'clock."""
    return CatalogueSession(MONDAY + timedelta(hours=hour), MONDAY + timedelta(hours=hour + hours), room)


def in_room(number: str, *sessions: CatalogueSession, room: str | None = "Raum 1") -> CatalogueRow:
    """Make a course in the building "Haus"."""
    return CatalogueRow(number, "Deutsch", sessions=sessions, room=room, building="Haus")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.name)
def test_the_findings_of_a_whole_export_are_those_it_is_known_for(sample: Sample) -> None:
    """Counts by kind, the courses over capacity by number, and overlaps as pairs of courses."""
    with sample.path.open("rb") as stream:
        found = findings(read_kufer(stream))
    assert count_findings(found) == sample.findings
    assert tuple(each.numbers[0] for each in found if each.kind == "over_capacity") == sample.over_capacity
    assert len({each.numbers for each in found if each.kind == "room_overlap"}) == sample.clashing


def test_no_findings_are_counted_as_nought_of_each_kind() -> None:
    """All seven kinds are always there, so a script can rely on them."""
    assert count_findings(()) == dict.fromkeys(KINDS, 0)
    assert len(KINDS) == 7


@pytest.mark.parametrize(
    ("registered", "capacity", "minimum", "kinds"),
    [
        (15, 14, 8, ["over_capacity"]),
        (14, 14, 8, ["exactly_full"]),
        (13, 14, 8, []),
        (8, 14, 8, []),
        (7, 14, 8, ["below_minimum"]),
        (0, 14, 8, ["below_minimum"]),
        (0, 14, 0, []),
        (3, 3, 5, ["exactly_full", "below_minimum"]),
        (99, None, None, []),
    ],
)
def test_seats_are_judged_at_their_edges(
    registered: int, capacity: int | None, minimum: int | None, kinds: list[str]
) -> None:
    """Over means more than the seats, full means all of them, below means fewer than the minimum, nobody included."""
    row = CatalogueRow("K-1", "Deutsch", registered=registered, capacity=capacity, minimum=minimum)
    assert [finding.kind for finding in findings([row])] == kinds


def test_a_finding_is_a_sentence_an_office_understands() -> None:
    """The number, what is, and what should be."""
    row = CatalogueRow("K-1", "Deutsch", registered=15, capacity=14, minimum=20)
    over, below = findings([row])
    assert over == Finding("over_capacity", ("K-1",), "Course K-1 has 15 people for 14 seats.", ("15/14",))
    assert below.sentence == "Course K-1 has 15 people and needs 20 to start."


def test_a_cancelled_course_takes_no_seats_and_no_rooms() -> None:
    """What does not take place cannot be too full nor in the way."""
    row = replace(in_room("K-1", at(0)), registered=15, capacity=14)
    other = in_room("K-2", at(0))
    assert len(findings([row, other])) == 2
    assert findings([replace(row, cancelled=True), other]) == ()


def test_two_sessions_in_one_room_at_one_time_are_found_with_day_and_hours() -> None:
    """The office reads the room, the day and both times in its own time zone."""
    (clash,) = findings([in_room("K-2", at(0.5)), in_room("K-1", at(0))])
    assert (clash.kind, clash.numbers, clash.count) == ("room_overlap", ("K-1", "K-2"), 1)
    words = "Courses K-1 and K-2 overlap in the room Raum 1 (Haus) once, on 05.04.2027 09:00-10:00 / 09:30-10:30."
    assert clash.sentence == words


def test_sessions_that_touch_do_not_overlap() -> None:
    """One group leaves at ten, the next comes at ten."""
    assert findings([in_room("K-1", at(0)), in_room("K-2", at(1))]) == ()


def test_several_overlaps_of_two_courses_are_one_finding_that_counts_them() -> None:
    """An office wants one sentence for two courses, and the count is that of the pairs of sessions."""
    found = findings([in_room("K-1", at(0), at(24), at(48)), in_room("K-2", at(0), at(24.5), at(50))])
    assert [finding.count for finding in found] == [2]
    assert len(found[0].detail) == 2
    assert count_findings(found)["room_overlap"] == 2


def test_a_session_that_covers_others_overlaps_with_each() -> None:
    """A long session stays present while short ones come and go."""
    found = findings([in_room("K-1", at(0, 8)), in_room("K-2", at(1), at(3), at(5))])
    assert count_findings(found)["room_overlap"] == 3


def test_a_course_can_be_in_its_own_way() -> None:
    """A date entered twice is an overlap of one course."""
    (clash,) = findings([in_room("K-1", at(0), at(0))])
    assert clash.numbers == ("K-1",)


def test_only_the_same_room_of_the_same_building_counts() -> None:
    """Other room, other building, no room, or no real room: nobody is in anybody's way."""
    here = in_room("K-1", at(0))
    others = [
        in_room("K-2", at(0), room="Raum 2"),
        replace(in_room("K-3", at(0)), building="Anderes Haus"),
        in_room("K-4", at(0), room=None),
        in_room("K-5", at(0), room=None),
        in_room("K-6", at(0), room="Online"),
        in_room("K-7", at(0), room="online"),
    ]
    assert findings([here, *others]) == ()


def test_the_room_of_a_session_goes_before_the_room_of_its_course() -> None:
    """A session that moved out is not in the way, one that moved in is."""
    moved = in_room("K-1", at(0, room="Raum 2"))
    assert findings([moved, in_room("K-2", at(0))]) == ()
    assert len(findings([moved, in_room("K-3", at(0), room="Raum 2")])) == 1


def test_a_file_built_of_overlaps_alone_does_not_run_away() -> None:
    """The search stops at its limit and says so; just below the limit nothing is cut."""
    crowd = [in_room(f"K-{n}", at(0)) for n in range(10)]
    assert count_findings(findings(crowd, most_pairs=45))["room_overlap"] == 45
    cut = findings(crowd, most_pairs=44)
    assert count_findings(cut)["room_overlap"] == 44
    assert "More than 44" in cut[-1].sentence


def test_a_number_that_comes_again_is_found_and_left_out() -> None:
    """The double is named and is judged by nothing else: its seats and rooms are not real."""
    first = in_room("K-1", at(0))
    found = findings([first, replace(first, registered=9, capacity=3), first])
    assert [(finding.kind, finding.numbers) for finding in found] == [("duplicate", ("K-1",))] * 2


def test_bad_dates_and_times_are_counted_with_the_rest() -> None:
    """What the reader could not read arrives in the same list."""
    bad = course("K-1", session("31.02.2027"), session("32.02.2027"), session(ends="25:00"))
    counts = count_findings(findings(read(export(bad, course("K-2"), course("K-2")))))
    assert (counts["bad_date"], counts["bad_time"], counts["duplicate"]) == (2, 1, 1)


def test_what_cannot_be_read_at_all_is_listed_but_is_no_kind() -> None:
    """The seven counts stay seven; the sentence is there for a person."""
    trouble = Finding("broken_file", (), "The file is cut off.")
    found = findings([BrokenRow(None, (trouble,), ends_file=True)])
    assert found == (trouble,)
    assert count_findings(found) == dict.fromkeys(KINDS, 0)


times = st.tuples(st.integers(0, 12), st.integers(1, 4)).map(lambda pair: at(pair[0], pair[1]))
groups = st.lists(st.lists(times, max_size=6), max_size=6)


@given(groups)
def test_the_sweep_finds_exactly_the_pairs_that_comparing_all_finds(drawn: list[list[CatalogueSession]]) -> None:
    """The quick way gives what the slow way gives."""
    rows = [in_room(f"K-{n}", *sessions) for n, sessions in enumerate(drawn)]
    flat = [each for sessions in drawn for each in sessions]
    slow = sum(one.starts < other.ends and other.starts < one.ends for one, other in combinations(flat, 2))
    assert count_findings(findings(rows))["room_overlap"] == slow
