"""What no reader could hold is refused where it comes in, and what was told leaves every catalogue whole."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from services.courses.consume import runs
from services.courses.store.tables import network_run
from shared.contract.courses import RunPublished
from shared.contract.samples import sample
from shared.network.strict import parse
from tests.integration.courses.courses_house import OWNER, House

LARGE = 2**63 - 1
EXPORTS = ("ics", "jsonld", "moochub.json", "csv", "openqcat.xml")
FAR: list[dict[str, Any]] = [
    {"sessions": [{"starts": "0001-01-01T00:00:00+14:00", "ends": "2027-03-01T12:00:00Z"}]},
    {"sessions": [{"starts": "2027-03-01T09:00:00Z", "ends": "9999-12-31T23:59:59Z"}]},
    {"sessions": [{"starts": "2027-03-01T09:00:00Z", "ends": "9999-12-31T23:59:59-14:00"}]},
    {"starts_on": "9999-12-31", "ends_on": "9999-12-31"},
    {"starts_on": "0001-01-01"},
]
UNHEARD: list[dict[str, Any]] = [
    *FAR,
    {"availability": {"free": 1, "waiting": "0", "as_of": "0001-01-01T00:00:00+14:00"}},
    {"availability": {"free": 1, "waiting": "0", "as_of": "9999-12-31T23:59:59-14:00"}},
    *({name: number} for name in ("ue", "minimum", "capacity") for number in (LARGE, LARGE + 1)),
    {"availability": {"free": LARGE + 1, "waiting": "0", "as_of": "2026-11-23T08:00:00Z"}},
]


def _event(run_id: str, version: int = 1, **picture: Any) -> dict[str, Any]:
    shown = {**sample(RunPublished)["picture"], "run_id": run_id, "state": "published", **picture}
    return {
        "specversion": "1.0",
        "id": f"{run_id}-{version}",
        "source": "https://kufer.example",
        "type": "courses.run.published.v1",
        "data": {"institution": OWNER, "version": version, "picture": shown},
    }


async def _send(house: House, *events: dict[str, Any]) -> list[str]:
    headers = {"Content-Type": "application/cloudevents-batch+json", "Authorization": f"Bearer {OWNER}"}
    answer = await house.api.post("/messages", content=json.dumps(events), headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["code"] or one["status"] for one in answer.json()["answers"]]


async def _all_exports(house: House) -> None:
    for suffix in EXPORTS:
        answer = await house.api.get(f"/exports/runs.{suffix}")
        assert (answer.status_code, bool(answer.text)) == (200, True), suffix


async def _hear(house: House) -> None:
    async with house.works() as work:
        await runs([one for one in await house.told() if isinstance(one, RunPublished)], work)


async def test_what_no_reader_could_hold_is_refused_and_its_neighbours_are_taken(house: House) -> None:
    """Of a batch each is taken or refused for itself; what was told every border lets through and catalogues show."""
    bad = [_event(f"run_between{at:02}", **picture) for at, picture in enumerate(UNHEARD)]
    said = await _send(house, _event("run_before000"), *bad, _event("run_behind000"))
    assert said == ["accepted", *["too_far"] * len(UNHEARD), "accepted"]
    await _hear(house)
    await _all_exports(house)
    for told in await house.told():
        parse(told.model_dump_json().encode())


async def test_a_version_that_readers_would_round_is_refused(house: House) -> None:
    """Up to 2^53 every reader of JSON agrees; a moment in milliseconds is far below."""
    large = [_event(f"run_large{at:04}", version) for at, version in enumerate((2**53, LARGE, LARGE + 1, 2**70))]
    said = await _send(house, *large, _event("run_ordinary"), _event("run_moment00", 1_800_000_000_000))
    assert said == ["too_far"] * 4 + ["accepted"] * 2


async def test_what_the_schema_forbids_as_well_is_not_called_too_far(house: House) -> None:
    """Whoever breaks the schema has a fault to mend, not a bound to learn."""
    assert await _send(house, _event("run_below0000", capacity=-1, minimum=LARGE)) == ["invalid"]


async def test_versions_as_large_as_a_table_holds_leave_the_exports_alone(house: House) -> None:
    """An older release may have taken them: their sum must not overflow, as it does in SQLite."""
    assert await _send(house, _event("run_first0000"), _event("run_second000")) == ["accepted", "accepted"]
    await _hear(house)
    async with house.works.database.transaction() as connection:
        await connection.execute(sa.update(network_run).values(version=LARGE))
        if connection.dialect.name == "sqlite":
            with pytest.raises(sa.exc.OperationalError, match="overflow"):
                await connection.execute(sa.select(sa.func.sum(network_run.c.version)))
    await _all_exports(house)


async def test_a_run_far_from_any_course_is_no_fault_of_the_service(house: House) -> None:
    """Who plans one hears which field does not fit."""
    offer = await house.post("offers", {"title": "Deutsch", "kind": "deufoev_basis"}, 201)
    for plan in FAR:
        body = {"offer_id": offer["offer_id"], "number": "27-1", "capacity": 12, **plan}
        answer = await house.api.post(f"/institutions/{OWNER}/runs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "too_far"), answer.text
        assert next(iter(plan)) in answer.json()["detail"]


async def test_a_cursor_that_no_page_gave_is_named(house: House) -> None:
    """An empty page would say that there is nothing more."""
    for after in ("zzz", "run_1", "run_before000.", "run_before000.A"):
        answer = await house.api.get("/runs", params={"after": after})
        assert (answer.status_code, answer.json()["code"]) == (422, "cursor_unreadable"), after


async def test_the_head_of_an_answer_can_be_asked_for_alone(house: House) -> None:
    """HEAD is GET without the body: the same status, the same tag, the same length."""
    whole = await house.api.get("/exports/runs.csv")
    head = await house.api.head("/exports/runs.csv")
    assert (head.status_code, head.headers["etag"], head.content) == (200, whole.headers["etag"], b"")
    assert (await house.api.head("/runs/run_nowhere00")).status_code == 404


async def test_a_body_that_cannot_be_read_is_named_in_plain_words(house: House) -> None:
    """It says where it stops to be JSON, or that it is no text."""
    url, headers = f"/institutions/{OWNER}/offers", {"Content-Type": "application/json"}
    broken = await house.api.post(url, content=b'{"title": }', headers=headers)
    assert (broken.status_code, broken.json()["detail"]) == (422, "the body is no JSON at character 10")
    no_text = await house.api.post(url, content=b'{"title": "\xff"}', headers=headers)
    assert (no_text.status_code, no_text.json()["detail"]) == (400, "the body is no JSON in UTF-8")
