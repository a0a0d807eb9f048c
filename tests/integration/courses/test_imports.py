"""A Kufer file becomes runs: whole files through the command, small ones through HTTP."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from services.courses import commands
from services.courses.app import service
from services.courses.store import Store
from shared.contract.courses import RunCancelled, RunChanged, RunConfirmed, RunMessage, RunPublished
from shared.kit import migrate
from shared.kit.database import Database
from shared.kit.sentences import Unable
from shared.kit.tables import outbox
from tests.integration.courses.courses_house import OWNER, House, admit, open_house
from tests.unit.courses.kufer_samples import SAMPLES, Sample, course, export, session


async def _send(house: House, text: str, preview: bool = False) -> dict[str, Any]:
    answer = await house.api.post(
        f"/institutions/{OWNER}/imports",
        files={"file": ("catalogue.xml", text.encode(), "text/xml")},
        params={"preview": preview},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _run(house: House, number: str = "K-1") -> dict[str, Any]:
    page = await house.get(f"runs?number={number}")
    found: dict[str, Any] = page["items"][0]
    return found


def _command(*arguments: str) -> tuple[int, str]:
    """Run an import; gives the exit code with what was printed, or the sentence with which `album` ends."""
    result = CliRunner().invoke(commands.app_for(lambda: service), ["import", "kufer", *arguments])
    if isinstance(result.exception, Unable):
        return result.exit_code, str(result.exception)
    return result.exit_code, result.output


@pytest.fixture
def migrated(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a migrated database that the command finds in its environment."""
    migrate.upgrade_now(service, database_url)
    admit(database_url, "vhs-x")
    monkeypatch.setenv("ALBUM_DATABASE", database_url)
    return database_url


def _count(url: str, table: sa.FromClause) -> int:
    async def count() -> int:
        database = Database(url)
        async with database.reading() as connection:
            found = (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
        await database.close()
        return int(found)

    return asyncio.run(count())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.name)
def test_a_whole_file_comes_in_once(sample: Sample, migrated: str) -> None:
    """The numbers are those the file is known for; the second time nothing is new and nothing is told."""
    code, out = _command(str(sample.path), "--institution", "vhs-x", "--json")
    first = json.loads(out)
    assert code == 0
    assert (first["courses"], first["sessions"], first["new"]) == (sample.courses, sample.sessions, sample.courses)
    assert first["findings"] == sample.findings
    assert (first["changed"], first["gone"], first["failed"]) == (0, 0, 0)
    told = _count(migrated, outbox)
    assert told >= sample.courses
    second = json.loads(_command(str(sample.path), "--institution", "vhs-x", "--json")[1])
    assert (second["new"], second["changed"], second["unchanged"]) == (0, 0, sample.courses)
    assert _count(migrated, outbox) == told


def test_a_preview_keeps_and_tells_nothing(migrated: str) -> None:
    """The preview says that all is new, twice."""
    path = str(SAMPLES[0].path)
    for _ in range(2):
        found = json.loads(_command(path, "--institution", "vhs-x", "--preview", "--json")[1])
        assert found["new"] == SAMPLES[0].courses
    assert _count(migrated, outbox) == 0


def test_the_table_names_courses_and_says_what_to_look_at(migrated: str) -> None:
    """Without --json a person reads findings with course numbers and one closing sentence."""
    code, out = _command(str(SAMPLES[0].path), "--institution", "vhs-y", "--preview")
    assert code == 0
    assert SAMPLES[0].over_capacity[0] in out
    said = " ".join(out.split())
    assert "would be new" in said
    assert f"room_overlap {SAMPLES[0].findings['room_overlap']}" in said
    assert "'vhs-y' is not known here yet" in said
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_file_that_is_no_catalogue_ends_with_one(migrated: str, tmp_path: Path) -> None:
    """Whoever imports by a timer sees from the exit code that nothing came in, and the JSON says why."""
    path = tmp_path / "no.xml"
    path.write_text("this is no XML")
    code, out = _command(str(path), "--institution", "vhs-x", "--json")
    assert (code, json.loads(out)["sentences"][0]["kind"]) == (1, "broken_file")


def test_another_schema_is_said(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a database that holds something else the command ends with the command that helps."""
    monkeypatch.setenv("ALBUM_DATABASE", sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"))) as connection:
        connection.execute("CREATE TABLE something_else (id INTEGER)")
    code, out = _command(str(SAMPLES[0].path), "--institution", "vhs-x")
    assert code != 0
    assert "album migrate" in out


def test_a_preview_needs_no_database_and_makes_none(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look at a catalogue works on a machine with nothing; an import there says what is missing."""
    monkeypatch.setenv("ALBUM_DATABASE", sqlite_url)
    code, out = _command(str(SAMPLES[0].path), "--institution", "vhs-x", "--preview", "--json")
    assert (code, json.loads(out)["new"] > 0) == (0, True)
    code, out = _command(str(SAMPLES[0].path), "--institution", "vhs-x")
    assert (code, "album migrate" in out) == (1, True)
    assert list(tmp_path.glob("*.db*")) == []


def test_nothing_is_imported_under_a_slug_that_nobody_has(migrated: str) -> None:
    """The whole network would hear of courses that are nobody's; a slug that is near is named."""
    code, out = _command(str(SAMPLES[0].path), "--institution", "vhs-xx")
    assert (code, out) == (1, "'vhs-xx' is not known here; there are vhs-x")
    assert _count(migrated, outbox) == 0


def test_a_slug_that_is_none_is_refused(migrated: str) -> None:
    """An institution with a capital letter never gets a run."""
    code, _ = _command(str(SAMPLES[0].path), "--institution", "VHS X")
    assert code != 0
    assert _count(migrated, outbox) == 0


SEATS = "<tnmax>18</tnmax><tnmin>3</tnmin><tnanmeldungen>{0}</tnanmeldungen>"


async def test_a_new_row_is_published_and_confirmed_by_those_registered_elsewhere(house: House) -> None:
    """Published first; the minimum is reached at once, and four seats are left."""
    await _send(house, export(course("K-1", session(), more=SEATS.format(14))))
    assert [type(each) for each in await house.told()] == [RunPublished, RunConfirmed]
    run = await _run(house)
    assert (run["state"], run["availability"]["free"], run["capacity"]) == ("confirmed", 4, 18)


async def test_local_edits_survive_the_next_import_field_by_field(house: House) -> None:
    """The edited title stays, the file's new time comes; the next file is compared with the last one."""
    await _send(house, export(course("K-1", session(), more=SEATS.format(0))))
    run = await _run(house)
    await house.patch(f"runs/{run['run_id']}", {"title": "Deutsch im Café", "childcare": True, "capacity": 20})
    mark = await house.mark()
    changed = await _send(house, export(course("K-1", session("06.04.2027"), title="Neu", more=SEATS.format(2))))
    after = await _run(house)
    assert (changed["changed"], changed["kept_local"]) == (1, {"K-1": ["title"]})
    assert (after["title"], after["childcare"], after["capacity"]) == ("Deutsch im Café", True, 20)
    assert (after["starts_on"], after["registered_elsewhere"]) == ("2027-04-06", 2)
    assert [type(each) for each in await house.told_since(mark)] == [RunChanged]
    again = await _send(house, export(course("K-1", session("06.04.2027"), title="Neu", more=SEATS.format(2))))
    assert (again["changed"], again["kept_local"]) == (0, {})
    assert len(await house.told_since(mark)) == 1


async def test_without_the_memory_of_edits_the_file_wins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where an edit is not remembered, the next change of the row overwrites it."""
    monkeypatch.setattr("services.courses.handlers.runs.edited_here", lambda imported, run, names: imported)
    await _send(house, export(course("K-1", session())))
    run = await _run(house)
    await house.patch(f"runs/{run['run_id']}", {"title": "Deutsch im Café"})
    await _send(house, export(course("K-1", session("06.04.2027"))))
    assert (await _run(house))["title"] == "Deutsch für alle"


async def test_a_seat_given_back_elsewhere_is_offered_here(house: House) -> None:
    """Fewer people in the institution's own software: the seat goes to whoever waits."""
    await _send(house, export(course("K-1", session(), more=SEATS.format(18))))
    run = await _run(house)
    asked = await house.ask(run["run_id"])
    assert asked["state"] == "waiting"
    await _send(house, export(course("K-1", session(), more=SEATS.format(17))))
    assert (await house.enrolment(asked["enrolment_id"]))["state"] == "offered"


async def test_a_row_marked_as_cancelled_cancels_its_run(house: House) -> None:
    """The people in it are told; the network reads the cancellation."""
    await _send(house, export(course("K-1", session(), more=SEATS.format(0))))
    asked = await house.ask((await _run(house))["run_id"])
    await _send(house, export(course("K-1", session(), more=f"{SEATS.format(0)}<ausfall>W</ausfall>")))
    assert (await _run(house))["state"] == "cancelled"
    assert (await house.enrolment(asked["enrolment_id"]))["reason"]
    assert isinstance([each for each in await house.told() if isinstance(each, RunMessage)][-1], RunCancelled)


async def test_a_missing_row_is_reported_and_stays(house: House) -> None:
    """What the file does not have any more is named; the run lives on."""
    await _send(house, export(course("K-1", session()), course("K-2", session("08.04.2027"))))
    found = await _send(house, export(course("K-1", session())))
    assert (found["gone"], found["gone_numbers"]) == (1, ["K-2"])
    assert (await _run(house, "K-2"))["state"] == "published"


async def test_a_broken_row_stops_nothing_else(house: House) -> None:
    """The row with an impossible day is named with its number, the two others come in."""
    text = export(course("K-1", session()), course("K-2", session("31.02.2027")), course("K-3", session("09.04.2027")))
    found = await _send(house, text)
    assert (found["new"], found["findings"]["bad_date"]) == (2, 1)
    assert any(each["numbers"] == ["K-2"] for each in found["sentences"])


async def test_a_row_that_cannot_be_kept_is_reported_and_its_neighbours_are_kept(house: House) -> None:
    """A course with more sessions than a message holds fails alone, and nothing is told of it."""
    many = [session(f"{day:02}.{month:02}.2027") for month in range(1, 13) for day in range(1, 29) for _ in range(3)]
    found = await _send(house, export(course("K-1", session()), course("K-2", *many), course("K-3", session())))
    assert found["failed"] == 1
    assert [each["numbers"] for each in found["sentences"] if "could not be kept" in each["sentence"]] == [["K-2"]]
    page = await house.get("runs")
    assert {each["number"] for each in page["items"]} == {"K-1", "K-3"}
    assert len(await house.told()) == 2


async def test_a_file_of_many_pages_comes_in_whole(house: House) -> None:
    """More rows than one transaction holds, one of them not keepable: all others are there."""
    rows = [course(f"K-{number}", session()) for number in range(120)]
    rows[60] = course("K-" + "6" * 250, session())
    found = await _send(house, export(*rows))
    assert (found["new"], found["failed"]) == (120, 1)
    assert len((await house.get("runs?limit=200"))["items"]) == 119


async def test_a_postcode_that_is_none_is_left_out(house: House) -> None:
    """The run comes without it; a quarter in the town's name is recognised."""
    where = "<ortgebaeude>Haus</ortgebaeude><ortplz>D-30451</ortplz><ortname>Hannover-Linden-Nord</ortname>"
    await _send(house, export(course("K-1", session(), more=where)))
    place = (await _run(house))["place"]
    assert (place["postcode"], place["quarter"], place["name"]) == (None, "Linden-Nord", "Haus")


async def test_two_imports_at_once_keep_each_course_once(database_url: str) -> None:
    """The same file sent twice at the same moment makes one run of each row."""
    async with open_house(database_url, Store) as house:
        text = export(*(course(f"K-{number}", session()) for number in range(20)))
        await asyncio.gather(_send(house, text), _send(house, text))
        page = await house.get("runs?limit=200")
        assert sorted(each["number"] for each in page["items"]) == sorted(f"K-{number}" for number in range(20))


def test_the_samples_are_there() -> None:
    """At least the file of this repository is imported, wherever the tests run."""
    assert Path(SAMPLES[0].path).exists()
