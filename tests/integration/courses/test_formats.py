"""Calendars and tables come in by the same code as Kufer's files; the network's runs go out for everybody."""

import asyncio
import json
from pathlib import Path
from typing import Any

import icalendar
import jsonschema
import pytest
from defusedxml.ElementTree import fromstring
from typer.testing import CliRunner

from services.courses import commands
from services.courses.app import service
from services.courses.handlers import exporting
from shared.contract.courses import RunMessage
from shared.kit import migrate
from tests.integration.courses.courses_house import OWNER, House, admit
from tests.unit.courses.kufer_samples import SAMPLES, course, export, session
from tests.unit.courses.test_exports import SCHEMA
from tests.unit.courses.test_ics import event

SUFFIXES = {
    "ics": "text/calendar",
    "jsonld": "application/ld+json",
    "moochub.json": "application/vnd.api+json",
    "csv": "text/csv",
    "openqcat.xml": "application/xml",
}
TABLE = (
    "Kursnummer;Titel;Termine;Plätze;Mindestzahl;Angemeldet;PLZ;Ort;Beschreibung\r\n"
    "K-1;=Deutsch B2;05.04.2027 09:00-12:15 @ Raum 3 | 06.04.2027 09:00-12:15;"
    "18;15;3;30451;Hannover-Linden-Nord;Text\r\n"
    'K-2;"Kurs ""B1"" im Café";;;;;;;"Zwei\r\nZeilen"\r\n'
)


async def _send(house: House, form: str | None, text: str | bytes, preview: bool = False) -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    params = {"preview": preview} | ({"format": form} if form else {})
    answer = await house.api.post(f"/institutions/{OWNER}/imports", files={"file": ("file", data)}, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _hear(house: House) -> None:
    """Let the service hear what it told, as its reader would."""
    told = [each for each in await house.told() if isinstance(each, RunMessage)]
    newest = {each.picture.run_id: each for each in told}
    async with house.works() as work:
        await work.store.keep_seen(newest.values(), work.now)


async def _export(house: House, suffix: str, **params: str) -> str:
    answer = await house.api.get(f"/exports/runs.{suffix}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.text


CALENDAR = event("DTSTART;TZID=Europe/Berlin:20270405T090000", "DURATION:PT3H", "RRULE:FREQ=WEEKLY;COUNT=4")


async def test_a_calendar_comes_in_previewed_and_keeps_local_edits(house: House) -> None:
    """The preview keeps nothing; staff's title and seats stay when the calendar changes its times."""
    assert (await _send(house, "ics", CALENDAR, preview=True))["new"] == 1
    assert (await house.get("runs"))["items"] == []
    found = await _send(house, "ics", CALENDAR)
    assert (found["new"], found["sessions"]) == (1, 4)
    (run,) = (await house.get("runs"))["items"]
    await house.patch(f"runs/{run['run_id']}", {"title": "Deutsch im Café", "capacity": 20})
    later = CALENDAR.replace("T090000", "T100000").replace("Deutsch B2", "Anders")
    changed = await _send(house, "ics", later)
    (after,) = (await house.get("runs"))["items"]
    assert (changed["changed"], changed["kept_local"]) == (1, {"kurs-1": ["title"]})
    assert (after["title"], after["capacity"], after["sessions"][0]["starts"]) == (
        "Deutsch im Café", 20, "2027-04-05T08:00:00Z",
    )  # fmt: skip


async def test_remarks_and_broken_events_are_read_in_the_report(house: House) -> None:
    """The bounded rule comes in with a sentence; the unknown zone does not come in."""
    endless = event("DTSTART:20270405T090000Z", "DURATION:PT3H", "RRULE:FREQ=WEEKLY", uid="a")
    nowhere = event("DTSTART;TZID=Irgendwo:20270405T090000", "DURATION:PT3H", uid="b")
    found = await _send(house, "ics", endless + nowhere)
    assert found["new"] == 1
    assert {(each["kind"], *each["numbers"]) for each in found["sentences"]} == {("remark", "a"), ("bad_time", "b")}


async def test_a_table_goes_out_and_comes_back_without_a_change(house: House) -> None:
    """Formula signs, quotes, line breaks, unknown seats and those registered elsewhere survive the round."""
    assert (await _send(house, "csv", TABLE))["new"] == 2
    await _hear(house)
    told = await house.mark()
    text = await _export(house, "csv", institution=OWNER)
    found = await _send(house, "csv", text)
    assert (found["new"], found["changed"], found["unchanged"], found["failed"]) == (0, 0, 2, 0)
    assert await house.mark() == told
    run = (await house.get("runs?number=K-1"))["items"][0]
    assert (run["title"], run["registered_elsewhere"], run["place"]["quarter"]) == ("=Deutsch B2", 3, "Linden-Nord")


async def test_a_table_comes_back_after_edits_and_a_cancellation(house: House) -> None:
    """What staff changed here stands in the table that goes out; coming back it is no change."""
    await _send(house, "csv", TABLE)
    one, two = sorted((await house.get("runs"))["items"], key=lambda each: each["number"])
    edits = {"title": "Im Café", "kind": "deutsch_360", "to_level": "C1", "childcare": True, "ue": 99}
    await house.patch(f"runs/{one['run_id']}", edits)
    await house.post(f"runs/{two['run_id']}/cancel", {"reason": "krank"})
    await _hear(house)
    found = await _send(house, "csv", await _export(house, "csv"))
    assert (found["new"], found["changed"], found["failed"]) == (0, 0, 0)


async def test_runs_of_another_source_come_back_as_the_same_runs(house: House) -> None:
    """A Kufer catalogue goes out as a table and comes back: no course stands twice."""
    await _send(house, None, export(course("K-1", session()), course("K-2", session("06.04.2027"))))
    await _hear(house)
    text = await _export(house, "csv")
    found = await _send(house, "csv", text)
    assert (found["new"], found["changed"], found["unchanged"]) == (0, 0, 2)
    other = await _send(house, "csv", text.replace("09:00-12:45", "10:00-12:45", 1))
    assert [each["kind"] for each in other["sentences"]] == ["known_elsewhere"]
    assert len((await house.get("runs"))["items"]) == 2


async def test_an_unknown_format_is_refused(house: House) -> None:
    """Only the formats of the interface are read."""
    answer = await house.api.post(
        f"/institutions/{OWNER}/imports", files={"file": ("x", b"x")}, params={"format": "pdf"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_everybody_reads_the_runs_in_every_format(house: House, suffix: str) -> None:
    """Without a key, with the right type, and not again while nothing has changed."""
    await _send(house, "csv", TABLE)
    await _hear(house)
    house.api.headers.pop("Authorization")
    answer = await house.api.get(f"/exports/runs.{suffix}")
    assert answer.headers["content-type"].startswith(SUFFIXES[suffix])
    assert "Deutsch B2" in answer.text
    again = await house.api.get(f"/exports/runs.{suffix}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await house.api.get(f"/exports/runs.{suffix}?institution=kargah")
    assert "Deutsch B2" not in other.text
    assert other.headers["etag"] != answer.headers["etag"]


async def test_the_tag_changes_with_the_runs(house: House) -> None:
    """Whoever asks with the old tag gets the new runs."""
    await _send(house, "csv", TABLE)
    await _hear(house)
    tag = (await house.api.get("/exports/runs.csv")).headers["etag"]
    await _send(house, "csv", TABLE.replace("Raum 3", "Raum 4"))
    await _hear(house)
    answer = await house.api.get("/exports/runs.csv", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert "Raum 4" in answer.text


async def test_an_export_of_many_pages_is_whole(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three; every run is there once, in every format."""
    monkeypatch.setattr(exporting, "PAGE", 3)
    lines = "".join(f"K-{number};Kurs {number};05.04.2027 09:00-12:15\n" for number in range(9))
    await _send(house, "csv", f"Kursnummer;Titel;Termine\n{lines}")
    await _hear(house)
    assert len(icalendar.Calendar.from_ical(await _export(house, "ics")).walk("VEVENT")) == 9
    assert len(json.loads(await _export(house, "jsonld"))["@graph"]) == 9
    moochub = json.loads(await _export(house, "moochub.json"))
    jsonschema.Draft202012Validator(SCHEMA).validate(moochub)
    assert len(moochub["data"]) == 9
    assert len(fromstring(await _export(house, "openqcat.xml")).findall("NEW_CATALOG/SERVICE")) == 18
    assert (await _export(house, "csv")).count("\r\n") == 10


def _command(*arguments: str) -> tuple[int, bytes]:
    result = CliRunner().invoke(commands.app_for(lambda: service), arguments)
    return result.exit_code, result.stdout_bytes


@pytest.fixture
def migrated(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a migrated database that the command finds in its environment."""
    migrate.upgrade_now(service, database_url)
    admit(database_url, "vhs-x")
    monkeypatch.setenv("ALBUM_DATABASE", database_url)
    return database_url


def test_the_command_brings_calendars_and_tables_in(migrated: str, tmp_path: Path) -> None:
    """Both formats answer in the same words as Kufer's."""
    for form, text in (("ics", CALENDAR), ("csv", TABLE)):
        file = tmp_path / f"x.{form}"
        file.write_text(text, "utf-8")
        code, out = _command("import", form, str(file), "--institution", "vhs-x", "--preview", "--json")
        assert (code, json.loads(out)["new"]) == (0, 1 if form == "ics" else 2)
        assert _command("import", form, str(file), "--institution", "vhs-x")[0] == 0


def test_the_command_writes_to_the_screen_or_a_file(migrated: str, tmp_path: Path) -> None:
    """Both are the same bytes; nothing half stays behind."""
    for form in ("ics", "jsonld", "moochub", "csv", "openqcat"):
        out = tmp_path / f"runs.{form}"
        code, screen = _command("export", form)
        assert (code, _command("export", form, "--institution", "vhs-x", "--out", str(out))[0]) == (0, 0)
        assert len(screen) > 20
        assert out.stat().st_size > 20
    assert not list(tmp_path.glob("*.part"))
    assert _command("export", "pdf")[0] != 0


def test_nobodys_calendar_is_refused(migrated: str, tmp_path: Path) -> None:
    """An empty file would look like an institution without courses."""
    out = tmp_path / "runs.ics"
    assert _command("export", "ics", "--institution", "nobody", "--out", str(out))[0] == 1
    assert not out.exists()


def test_a_table_without_one_readable_row_ends_with_one(migrated: str, tmp_path: Path) -> None:
    """Whoever imports by a timer sees that nothing came in; one good row among bad ones is enough."""
    file = tmp_path / "x.csv"
    heading, bad, good = TABLE.splitlines()[0], ";Kurs ohne Nummer;;;;;;;", "K-1;Kurs;;;;;;;"
    file.write_text(f"{heading}\n{bad}\n{bad}\n", "utf-8")
    code, out = _command("import", "csv", str(file), "--institution", "vhs-x", "--json")
    assert (code, json.loads(out)["courses"]) == (1, 0)
    file.write_text(f"{heading}\n{bad}\n{good}\n", "utf-8")
    assert _command("import", "csv", str(file), "--institution", "vhs-x")[0] == 0


async def test_a_whole_catalogue_goes_through_every_format(house: House) -> None:
    """The demo's catalogue, as Kufer wrote it, in every format that others read, and back by the table."""
    await _send(house, None, await asyncio.to_thread(SAMPLES[0].path.read_bytes))
    await _hear(house)
    events = icalendar.Calendar.from_ical(await _export(house, "ics")).walk("VEVENT")
    assert len(events) == SAMPLES[0].sessions
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(
        json.loads(await _export(house, "moochub.json"))
    )
    back = await _send(house, "csv", await _export(house, "csv"))
    assert (back["new"], back["changed"], back["unchanged"]) == (0, 0, SAMPLES[0].courses)
