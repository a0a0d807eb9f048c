"""The conformance cases of CloudEvents at `/messages`: structured, binary and in a batch, each gets its own answer."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.kit.database import Database
from tests.integration.kit.partner_app import Opened, event, opened, prepare
from tests.unit.kit.cloudevents_samples import GOOD, LEAST, WRONG, made

STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
READ, NOT_READ = (422, "unknown_type"), (422, "not_cloudevent")
CONFORMING = dict.fromkeys(GOOD, READ) | dict.fromkeys(WRONG, NOT_READ)
"""What each case gets: a valid event is read, and then nobody here knows its type."""


@pytest.fixture
async def house(sqlite_url: str) -> AsyncIterator[Opened]:
    """Give the sample's application; how an event is read does not depend on the database."""
    database = Database(sqlite_url)
    await prepare(database)
    await database.close()
    async with opened(sqlite_url) as one:
        yield one


def _in_headers(document: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    """Write an event in binary mode: a header is a text, so `true` and 10 are their own spellings."""
    data = document.get("data")
    fields = {name: value for name, value in document.items() if value is not None and name != "data"}
    kind = fields.pop("datacontenttype", None)
    headers = {f"ce-{name}": value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    body = b"" if data is None else data.encode() if isinstance(data, str) else json.dumps(data).encode()
    return headers | ({} if kind is None else {"Content-Type": kind}), body


# What headers cannot say: they have no null, know only texts, and their names no capitals.
_ONLY_IN_JSON = {
    "id is a number",
    "id is an object",
    "extension with a capital",
    "extension is a fraction",
    "extension is a list",
    "extension beyond 32 bits",
    "data and data_base64",
    "data_base64 is no Base64",
    "data_base64 is a number",
    "empty datacontenttype",
    "control character",
    "bytes as data",
    "JSON as bytes",
}


async def _answer(house: Opened, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    answer = await house.api.post("/messages", content=body, headers=headers)
    return answer.status_code, answer.json()["code"]


async def test_every_case_in_structured_mode(house: Opened) -> None:
    """A valid event is read, an invalid one is refused as what it is."""
    cases = GOOD | WRONG
    found = {name: await _answer(house, json.dumps(made(case)).encode(), STRUCTURED) for name, case in cases.items()}
    assert found == CONFORMING


async def test_every_case_in_binary_mode(house: Opened) -> None:
    """The same with the attributes as headers, as far as headers can say it."""
    cases = {name: case for name, case in (GOOD | WRONG).items() if name not in _ONLY_IN_JSON}
    found = {}
    for name, case in cases.items():
        headers, body = _in_headers(made(case))
        found[name] = await _answer(house, body, headers)
    assert found == {name: CONFORMING[name] for name in cases}


async def test_every_case_in_one_batch(house: Opened) -> None:
    """Each event is answered in its place; a bad one spoils none of its neighbours."""
    batch = json.dumps([made(case) for case in (GOOD | WRONG).values()]).encode()
    answer = await house.api.post("/messages", content=batch, headers=BATCH)
    codes = [one["code"] for one in answer.json()["answers"]]
    assert (answer.status_code, codes) == (200, [code for _, code in CONFORMING.values()])


async def test_batches_of_the_suite(house: Opened) -> None:
    """Empty, two copies, mixed versions, no object: a batch is taken, and each of its events judged."""
    batches: dict[str, tuple[list[Any], list[str]]] = {
        "empty": ([], []),
        "two copies": ([LEAST, LEAST], ["unknown_type", "unknown_type"]),
        "mixed versions": ([LEAST, {**LEAST, "specversion": "0.9"}], ["unknown_type", "not_cloudevent"]),
        "no object": (["no object", LEAST], ["not_cloudevent", "unknown_type"]),
    }
    for name, (batch, codes) in batches.items():
        answer = await house.api.post("/messages", content=json.dumps(batch).encode(), headers=BATCH)
        assert [one["code"] for one in answer.json()["answers"]] == codes, name


async def test_a_conforming_message_of_the_network_is_accepted(house: Opened) -> None:
    """The control: what is refused above is refused for its type alone; extensions and a relative source go through."""
    extended = event(**GOOD["all kinds of extensions"], **GOOD["relative source"], time="2027-02-15T09:30:00+01:00")
    answer = await house.api.post("/messages", content=json.dumps(extended).encode(), headers=STRUCTURED)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
