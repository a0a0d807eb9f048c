"""What goes out is read back by others' libraries."""

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import jsonschema
import pytest
from defusedxml.ElementTree import fromstring

from services.courses.domain.formats.exporting import EXPORTS, ExportName
from services.courses.domain.formats.writing import Heading, Shown
from shared.contract.courses import RunPicture
from shared.contract.words import Availability, Level, Place, RunKind, RunState, Session, WaitingBand

NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "contract/moochub/schema-3.0.1.json").read_text("utf-8"))
NASTY = '=1+1; "Über" </script> & <b>,\\ 你好 ' + "ä" * 60
HEADING = Heading("Netzwerk ALBuM", "http://courses", "http://courses/exports/runs.x", None, NOW)


def session(*parts: int, hours: int = 3, room: str | None = None) -> Session:
    """Make a session that begins then in Hannover."""
    starts = datetime(*parts, tzinfo=BERLIN).astimezone(UTC)  # type: ignore[misc, arg-type]  # the test gives year to minute
    return Session(starts=starts, ends=starts.replace(hour=starts.hour + hours), room=room)


def shown(number: int = 1, **values: Any) -> Shown:
    """Make a run of the network."""
    plan: dict[str, Any] = {
        "run_id": f"run_0000000{number}",
        "offer_id": "offer_00000001",
        "number": f"27-{number}",
        "title": "Berufssprachkurs B2",
        "description": "Deutsch für den Beruf.\nMit Prüfung.",
        "kind": RunKind.DEUFOEV_BASIS,
        "state": RunState.CONFIRMED,
        "from_level": Level.B1,
        "to_level": Level.B2,
        "ue": 8,
        "starts_on": date(2027, 3, 26),
        "ends_on": date(2027, 3, 29),
        "sessions": (session(2027, 3, 26, 9, 0), session(2027, 3, 29, 9, 0, room="Saal")),
        "place": Place(name="Haus", street="Weg 5", postcode="30451", town="Hannover"),
        "minimum": 15,
        "capacity": 18,
        "availability": Availability(free=4, waiting=WaitingBand.NONE, as_of=NOW),
    }
    return Shown("vhs-nord", "VHS Nord", 3, NOW, RunPicture(**{**plan, **values}))


def written(name: ExportName, *runs: Shown) -> str:
    """Write a whole export."""
    writer = EXPORTS[name].writer(HEADING)
    return writer.begin() + "".join(writer.add(each) for each in runs) + writer.end()


def events(text: str) -> list[Any]:
    """Read the events of a calendar with the library."""
    return list(icalendar.Calendar.from_ical(text).walk("VEVENT"))


def test_a_calendar_is_read_back_with_the_same_moments() -> None:
    """One VEVENT for each session, on both sides of the change to summer time, under lasting names."""
    found = events(written("ics", shown()))
    assert [(each["DTSTART"].dt.astimezone(UTC), each["DTEND"].dt.astimezone(UTC)) for each in found] == [
        (each.starts, each.ends) for each in shown().picture.sessions
    ]
    assert [str(each["UID"]) for each in found] == ["run_00000001-p0@album", "run_00000001-p1@album"]
    assert {each["DTSTART"].params["TZID"] for each in found} == {"Europe/Berlin"}
    assert "Saal" in found[1]["LOCATION"]


def test_the_zone_in_the_calendar_is_hannovers() -> None:
    """The definition that goes with the file has the hours of the operating system's zone."""
    (defined,) = icalendar.Calendar.from_ical(written("ics")).walk("VTIMEZONE")
    assert isinstance(defined, icalendar.Timezone)
    zone = defined.to_tz(lookup_tzid=False)
    for month in range(1, 13):
        noon = datetime(2027, month, 28, 12, 0)  # noqa: DTZ001 - both zones are asked about it
        assert zone.utcoffset(noon) == BERLIN.utcoffset(noon)


def test_the_doubled_hour_of_autumn_is_written_without_doubt() -> None:
    """The second half past two is a moment of its own."""
    starts = datetime(2027, 10, 31, 1, 30, tzinfo=UTC)
    run = shown(sessions=(Session(starts=starts, ends=starts.replace(hour=3)),))
    (found,) = events(written("ics", run))
    assert found["DTSTART"].dt.astimezone(UTC) == starts


def test_states_and_days_of_a_calendar() -> None:
    """A cancelled run is cancelled, a published one tentative, one without sessions lasts whole days."""
    runs = [
        shown(1, state=RunState.CANCELLED, cancelled_reason="krank"),
        shown(2, state=RunState.PUBLISHED, sessions=()),
    ]
    found = events(written("ics", *runs))
    assert [str(each["STATUS"]) for each in found] == ["CANCELLED", "CANCELLED", "TENTATIVE"]
    assert (found[2]["DTSTART"].dt, found[2]["DTEND"].dt) == (date(2027, 3, 26), date(2027, 3, 30))


def test_lines_of_a_calendar_are_short_and_texts_whole() -> None:
    """No line has more than 75 bytes; a title of signs comes back as it was."""
    text = written("ics", shown(title=NASTY))
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    assert str(events(text)[0]["SUMMARY"]) == NASTY


def test_schema_org_has_courses_with_instances_and_events() -> None:
    """Two runs of one offer share the Course; times carry their offset."""
    graph = json.loads(written("jsonld", shown(1), shown(2)))["@graph"]
    assert {each["@id"] for each in graph} == {"http://courses/runs#offer_00000001"}
    instance = graph[0]["hasCourseInstance"]
    assert (instance["@type"], instance["remainingAttendeeCapacity"]) == ("CourseInstance", 4)
    assert datetime.fromisoformat(instance["startDate"]) == shown().picture.sessions[0].starts
    assert [each["@type"] for each in instance["subEvent"]] == ["Event", "Event"]
    assert graph[0]["provider"]["name"] == "VHS Nord"


def test_no_title_closes_the_script_that_carries_it() -> None:
    """JSON-LD stands inside pages."""
    text = written("jsonld", shown(title=NASTY))
    assert "</script>" not in text
    assert json.loads(text)["@graph"][0]["name"] == NASTY


def valid(document: object) -> None:
    """Judge a document by the schema of MOOChub, formats of times and ids among it."""
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(document)


def test_the_moochub_export_passes_its_schema() -> None:
    """Full and nearly empty runs, an empty network, and strange signs; what is over is not listed."""
    bare = shown(2, sessions=(), starts_on=None, ends_on=None, description=None, ue=0, place=Place(), from_level=None)
    runs = [shown(1, title=NASTY), bare, shown(3, kind=RunKind.OTHER, to_level=None)]
    document = json.loads(written("moochub", *runs, shown(4, state=RunState.COMPLETED)))
    valid(document)
    assert len({each["id"] for each in document["data"]}) == 3
    valid(json.loads(written("moochub")))


@pytest.mark.parametrize("name", ["moochub", "openqcat"])
def test_what_is_over_is_offered_to_nobody(name: ExportName) -> None:
    """A run that was published and never began ends with its last session."""
    over = shown(1, title="Lange her", sessions=(session(2026, 3, 26, 9, 0),))
    text = written(name, over, shown(2))
    assert "Lange her" not in text
    assert "run_00000002" in text


def test_the_schema_would_find_a_missing_field() -> None:
    """The control: without its title no course passes."""
    document = json.loads(written("moochub", shown()))
    del document["data"][0]["attributes"]["name"]
    with pytest.raises(jsonschema.ValidationError):
        valid(document)


def test_open_q_cat_has_the_offer_once_and_each_run_pointing_at_it() -> None:
    """The shape of KURSNET's format: services of offers and of runs."""
    root: Any = fromstring(written("openqcat", shown(1, title=NASTY), shown(2), shown(3, state=RunState.CANCELLED)))
    services = root.findall("NEW_CATALOG/SERVICE")
    kinds = [each.find("SERVICE_DETAILS/SERVICE_MODULE/EDUCATION").get("type") for each in services]
    assert (root.tag, root.get("version"), kinds) == ("OPENQCAT", "1.1", ["true", "false", "false"])
    points = {each.findtext("SERVICE_DETAILS/SERVICE_MODULE/EDUCATION/COURSE_ID") for each in services}
    assert points == {"offer_00000001"}
    assert services[1].findtext("SERVICE_DETAILS/SERVICE_DATE/START_DATE") == "2027-03-26T09:00:00"
    assert services[0].findtext("SERVICE_DETAILS/TITLE") == NASTY


SYNTHETIC = Path(__file__).resolve().parents[3].parent / "shared/data/openqcat/openqcat_minimal_SYNTHETIC.xml"
HEAD_PATHS = {
    "HEADER/GENERATOR_INFO", "HEADER/CATALOG/LANGUAGE", "HEADER/CATALOG/CATALOG_ID", "HEADER/CATALOG/CATALOG_VERSION",
    "HEADER/CATALOG/CATALOG_NAME", "HEADER/CATALOG/GENERATION_DATE", "HEADER/CATALOG/CURRENCY",
    "HEADER/SUPPLIER/SUPPLIER_ID", "HEADER/SUPPLIER/SUPPLIER_NAME", "HEADER/SUPPLIER/ADDRESS/NAME",
    "HEADER/SUPPLIER/ADDRESS/COUNTRY",
}  # fmt: skip


def test_open_q_cat_uses_the_elements_of_the_known_shape() -> None:
    """The head is whole; beside the sample, no element has a name that the sample has not, but for two."""
    root = fromstring(written("openqcat", shown()))
    assert all(root.find(path) is not None for path in HEAD_PATHS)
    if SYNTHETIC.exists():
        names = {each.tag for each in fromstring(SYNTHETIC.read_text("utf-8")).iter()}
        assert {each.tag for each in root.iter()} - names <= {"DESCRIPTION_LONG"}


def test_a_table_opens_in_a_german_spreadsheet_and_holds_no_formula() -> None:
    """Byte order mark, semicolons, German heads; a title that begins with = is text."""
    text = written("csv", shown(title=NASTY))
    assert text.startswith("\ufeff")
    head, line = csv.reader(io.StringIO(text[1:], newline=""), delimiter=";")
    cells = dict(zip(head, line, strict=True))
    assert cells["Titel"] == f"'{NASTY}"
    assert cells["Termine"] == "26.03.2027 09:00-12:00 | 29.03.2027 09:00-12:00 @ Saal"
    assert cells["Einrichtung"] == "vhs-nord"
