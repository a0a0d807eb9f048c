"""A POST with an Idempotency-Key has its effect once, whoever sends it again and whatever ends in between."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shared.kit import idempotency, tables
from shared.kit.database import Database
from tests.integration.kit.partner_app import Opened, opened, prepare
from tests.integration.kit.sample import heard

THINGS = "/institutions/awo/things"
KEY = {"Idempotency-Key": "k"}


@pytest.fixture
async def prepared(database_url: str) -> str:
    """Give a database with the schema and two keys."""
    database = Database(database_url)
    await prepare(database)
    await database.close()
    return database_url


@pytest.fixture
async def house(prepared: str) -> AsyncIterator[Opened]:
    """Give the sample's application."""
    async with opened(prepared) as one:
        yield one


async def test_the_same_request_is_answered_again_and_done_once(house: Opened) -> None:
    """Status and body are those of the first answer, and say that they are repeated."""
    first = await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    again = await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    assert (first.status_code, first.json()) == (201, {"n": 1, "count": 1})
    assert (again.status_code, again.json(), again.headers["content-type"]) == (
        201,
        first.json(),
        first.headers["content-type"],
    )
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert (await house.count(heard), await house.count(tables.outbox)) == (1, 1)


async def test_without_a_key_it_is_done_twice(house: Opened) -> None:
    """The control: two requests without a key are two effects."""
    for _ in range(2):
        assert (await house.api.post(THINGS, json={"n": 1})).status_code == 201
    assert await house.count(heard) == 2


@pytest.mark.parametrize(("bearer", "status", "read"), [("", 401, 0), ("album_unknown", 401, 0), ("awo", 422, 3)])
async def test_who_has_no_key_sends_a_body_for_nothing(house: Opened, bearer: str, status: int, read: int) -> None:
    """Messages of a stranger are refused before a part of them is read; the control is who has a key."""
    parts = 0

    async def sent() -> AsyncIterator[bytes]:
        nonlocal parts
        for _ in range(3):
            parts += 1
            yield b" " * 1000

    headers = {**KEY, "Content-Type": "application/cloudevents+json", "Authorization": f"Bearer {bearer}".strip()}
    answer = await house.api.post("/messages", content=sent(), headers=headers)
    assert (answer.status_code, parts) == (status, read)


async def test_another_body_under_the_same_key_is_refused(house: Opened) -> None:
    """422 with its own code, and nothing is done."""
    await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    other = await house.api.post(THINGS, json={"n": 2}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await house.count(heard) == 1


async def test_keys_of_others_and_other_routes_are_other_keys(house: Opened) -> None:
    """The same word from another institution, or on another route, is a request of its own."""
    await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    theirs = await house.api.post(
        THINGS.replace("awo", "amfn"), json={"n": 1}, headers={**KEY, "Authorization": "Bearer amfn"}
    )
    other = await house.api.post("/institutions/awo/secrets", headers=KEY)
    assert [one.headers.get("idempotency-replayed") for one in (theirs, other)] == [None, None]
    assert await house.count(heard) == 3


async def test_a_replay_needs_a_key_that_opens_the_route(house: Opened) -> None:
    """What was answered is given to nobody who could not ask."""
    await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    stranger = await house.api.post(THINGS, json={"n": 1}, headers={**KEY, "Authorization": "Bearer amfn"})
    assert stranger.status_code == 403


async def test_what_is_refused_in_the_middle_has_no_effect_at_all(house: Opened) -> None:
    """With a key both halves of a request are one transaction, and a refusal is not kept."""
    for _ in range(2):
        answer = await house.api.post("/institutions/awo/halves", headers=KEY)
        assert (answer.status_code, "idempotency-replayed" in answer.headers) == (409, False)
    assert (await house.count(heard), await house.count(tables.answered)) == (0, 0)


async def test_an_answer_that_must_not_be_stored_is_not(house: Opened) -> None:
    """It is done once; who asks again is told that the answer is gone."""
    first = await house.api.post("/institutions/awo/secrets", headers=KEY)
    again = await house.api.post("/institutions/awo/secrets", headers=KEY)
    assert (first.status_code, again.status_code, again.json()["code"]) == (201, 409, "idempotency_answer_not_kept")
    async with house.works.database.reading() as connection:
        [row] = await connection.execute(sa.select(tables.answered))
    assert (row.answer, await house.count(heard)) == (None, 1)


async def test_an_erased_person_leaves_kept_answers(house: Opened) -> None:
    """An answer that names somebody is dropped; that the request was done stays known."""
    await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    async with house.works() as work:
        await idempotency.forget(work.connection, '"count":1')
    again = await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    assert (again.status_code, await house.count(heard)) == (409, 1)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
async def test_a_key_that_is_none_is_refused(house: Opened, key: str) -> None:
    """Empty, too long or unprintable: 422 and no effect."""
    answer = await house.api.post(THINGS, json={"n": 1}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_invalid")
    assert await house.count(heard) == 0


async def test_an_upload_sent_again_is_the_same_though_its_boundary_is_not(house: Opened) -> None:
    """The boundary of a multipart body is made anew for each attempt and does not make another body."""
    bodies = [
        (f"multipart/form-data; boundary={word}", f"--{word}\r\n\r\nx\r\n--{word}--".encode()) for word in ("aa", "bb")
    ]
    answers = [
        await house.api.post("/institutions/awo/secrets", content=body, headers={**KEY, "Content-Type": type_})
        for type_, body in bodies
    ]
    assert [one.status_code for one in answers] == [201, 409]
    assert answers[1].json()["code"] == "idempotency_answer_not_kept"


async def test_after_seven_days_a_key_is_new(house: Opened) -> None:
    """An old answer is not given again, and housekeeping drops it."""
    await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    await house.works.clock.sleep(timedelta(days=7, seconds=1).total_seconds())
    again = await house.api.post(THINGS, json={"n": 1}, headers=KEY)
    assert "idempotency-replayed" not in again.headers
    await house.works.clock.sleep(timedelta(days=7, seconds=1).total_seconds())
    async with house.works() as work:
        await idempotency.forget_old(work.connection, work.now)
    assert await house.count(tables.answered) == 0


async def test_of_many_at_once_one_is_done(house: Opened) -> None:
    """The others are told that it is being worked on, or get its answer."""
    answers = await asyncio.gather(*(house.api.post(THINGS, json={"n": 1}, headers=KEY) for _ in range(8)))
    assert await house.count(heard) == 1
    codes = [one.json().get("code") for one in answers if one.status_code != 201]
    assert set(codes) <= {"idempotency_key_in_use"}
    answered_again = [one for one in answers if "Idempotency-Replayed" in one.headers]
    assert len(codes) + len(answered_again) == 7


async def test_the_header_is_documented_at_every_post_and_nowhere_else(house: Opened) -> None:
    """Also when the document is asked for twice."""
    for _ in range(2):
        document = (await house.api.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = [one["name"] for one in operation.get("parameters", [])].count("Idempotency-Key")
            assert named == (method == "post"), (method, path)


def _process(url: str, moment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.kit.once_process", url, moment]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def _done(url: str) -> int:
    async with opened(url) as house:
        return await house.count(heard)


async def test_two_processes_that_race_have_one_effect(prepared: str) -> None:
    """Both get the same answer, or one is told to wait."""
    processes = [_process(prepared, "never") for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate()[0] for process in processes)
    assert await _done(prepared) == 1
    assert said[0].startswith("201")
    assert said[1].startswith("201 true") or "idempotency_key_in_use" in said[1] or said[0].startswith("201 true")


@pytest.mark.parametrize(("moment", "replayed"), [("before the commit", "no"), ("after the commit", "true")])
async def test_a_process_that_ends_in_the_middle_has_done_both_or_nothing(
    prepared: str, moment: str, replayed: str
) -> None:
    """The next attempt does it, or gets the answer that nobody has seen."""
    assert (await asyncio.to_thread(_process(prepared, moment).communicate, "go\n"))[0] == ""
    said, _ = await asyncio.to_thread(_process(prepared, "never").communicate, "go\n")
    assert said.split()[:2] == ["201", replayed]
    assert await _done(prepared) == 1


async def test_with_two_transactions_the_same_end_doubles_it(prepared: str) -> None:
    """The control: an effect that is committed alone is done again."""
    await asyncio.to_thread(_process(prepared, "between two commits").communicate, "go\n")
    await asyncio.to_thread(_process(prepared, "never").communicate, "go\n")
    assert await _done(prepared) == 2
