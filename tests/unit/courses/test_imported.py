"""From a catalogue row to a run, and back to what was edited here."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.courses.domain.catalogue import CatalogueRow, CatalogueSession
from services.courses.domain.guessing import in_the_morning, quarter_of
from services.courses.domain.imported import Imported, edited_here, plan_of, updated_plan
from services.courses.domain.merging import merge
from services.courses.domain.run import Run
from shared.contract.words import Level, Place, RunKind

MORNING = CatalogueSession(datetime(2027, 4, 5, 7, tzinfo=UTC), datetime(2027, 4, 5, 10, 45, tzinfo=UTC))
EVENING = CatalogueSession(datetime(2027, 4, 5, 16, tzinfo=UTC), datetime(2027, 4, 5, 19, tzinfo=UTC))
ROW = CatalogueRow(
    number="K-1",
    title="Basisberufssprachkurs B1 > B2 (DeuFöV)",
    description="In Teilzeit, mit Kinderbetreuung",
    sessions=(MORNING,),
    capacity=20,
    minimum=15,
    registered=3,
    postcode="30451",
    town="Hannover",
)


def _run(row: CatalogueRow = ROW) -> Run:
    return Run(id="run_00000001", institution="vhs-nord", offer_id="offer_00000001", **plan_of(row))


def _imported(row: CatalogueRow = ROW) -> Imported:
    return Imported("run_00000001", row.number, row, row)


def test_a_row_tells_and_lets_guess() -> None:
    """Kind, levels, length and the three ways of attending come from the words and the times."""
    run = _run()
    assert (run.kind, run.from_level, run.to_level, run.ue) == (RunKind.DEUFOEV_BASIS, Level.B1, Level.B2, 5)
    assert (run.part_time, run.mornings, run.childcare) == (True, True, True)
    assert (run.capacity, run.minimum, run.registered_elsewhere, run.limit) == (20, 15, 3, 17)


def test_no_childcare_is_no_childcare() -> None:
    """The word alone is not enough where it is denied."""
    assert not plan_of(replace(ROW, description="Leider keine Kinderbetreuung"))["childcare"]


def test_a_row_without_a_limit_gives_no_seats() -> None:
    """Seats that nobody stated are not given."""
    assert _run(replace(ROW, capacity=None)).limit == 0


@pytest.mark.parametrize("postcode", ["D-30451", "3045", "٣٠٤٥١", None])
def test_a_postcode_that_is_none_is_left_out(postcode: str | None) -> None:
    """Five plain digits or nothing."""
    assert plan_of(replace(ROW, postcode=postcode))["place"].postcode is None


@pytest.mark.parametrize(
    ("town", "building", "quarter"),
    [
        ("Hannover-Linden-Nord", None, "Linden-Nord"),
        ("Hannover (List)", None, "List"),
        ("Hannover", "Lernhaus Linden-Nord", "Linden-Nord"),
        ("Hannover-Kreuzberg", "Haus List", None),
        ("Hannover", "Listhaus", None),
        ("Garbsen", "Haus Mitte", None),
        (None, "Haus Mitte", None),
    ],
)
def test_a_quarter_is_only_a_real_one(town: str | None, building: str | None, quarter: str | None) -> None:
    """From the town's name, or the last word of a building in Hannover; never elsewhere, never by chance."""
    assert quarter_of(town, building) == quarter


def test_a_course_with_one_evening_is_not_in_the_morning() -> None:
    """All sessions count, and no session is no morning."""
    assert not in_the_morning((MORNING, EVENING))
    assert not in_the_morning(())


def test_a_friendlier_title_keeps_the_levels() -> None:
    """What was guessed from the file's title is not guessed again from the words of staff."""
    run = replace(_run(), title="Deutsch im Café")
    imported = edited_here(_imported(), run, ["title"])
    merged = merge(imported.base, imported.local, replace(ROW, registered=4))
    plan = updated_plan(run, imported, merged)
    assert (plan["title"], plan["to_level"], plan["registered_elsewhere"]) == ("Deutsch im Café", Level.B2, 4)


def test_a_new_title_in_the_file_brings_new_levels_unless_they_were_corrected() -> None:
    """The file's guess follows the file; a corrected level stays for good."""
    incoming = replace(ROW, title="Basisberufssprachkurs B2 > C1 (DeuFöV)")
    followed = updated_plan(_run(), _imported(), merge(ROW, ROW, incoming))
    assert (followed["from_level"], followed["to_level"]) == (Level.B2, Level.C1)
    run = replace(_run(), to_level=Level.C2)
    corrected = edited_here(_imported(), run, ["to_level"])
    kept = updated_plan(run, corrected, merge(corrected.base, corrected.local, incoming))
    assert (kept["from_level"], kept["to_level"]) == (Level.B2, Level.C2)


def test_an_edited_place_stays_with_its_quarter() -> None:
    """The quarter that staff gave is not in the file and survives it."""
    run = replace(_run(), place=Place(name="Haus", quarter="List", town="Hannover"))
    imported = edited_here(_imported(), run, ["place"])
    merged = merge(imported.base, imported.local, replace(ROW, registered=9))
    assert updated_plan(run, imported, merged)["place"] == run.place
