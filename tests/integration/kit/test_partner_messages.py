"""What partner systems publish by HTTP: accepted, repeated, or refused with a reason, each message for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from shared.contract.catalogue import find
from shared.contract.envelope import open_envelope, open_message
from shared.kit import inbox, tables
from shared.kit.database import Database
from tests.integration.kit.partner_app import Opened, event, opened, prepare

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[Opened]:
    """Give the sample's application."""
    database = Database(database_url)
    await prepare(database)
    await database.close()
    async with opened(database_url) as one:
        yield one


async def _send(house: Opened, *events: Any, key: str = "awo") -> list[tuple[str, str | None]]:
    headers = {**BATCH, "Authorization": f"Bearer {key}"}
    answer = await house.api.post("/messages", content=json.dumps(events), headers=headers)
    assert answer.status_code == 200, answer.text
    return [(one["status"], one["code"]) for one in answer.json()["answers"]]


async def _told(house: Opened) -> list[Any]:
    async with house.works.database.reading() as connection:
        rows = await connection.execute(sa.select(tables.outbox.c.payload).order_by(tables.outbox.c.id))
        return [open_message(open_envelope(row.payload), find) for row in rows]


async def test_what_is_accepted_is_told_as_it_is(house: Opened) -> None:
    """The message that others read is the one that the partner sent, from the institution's own source."""
    answer = await house.api.post("/messages", content=json.dumps(event()), headers=STRUCTURED)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    [told] = await _told(house)
    sent = event()["data"]
    said = told.model_dump(mode="json")
    assert (said["institution"], said["version"]) == (sent["institution"], sent["version"])
    assert {name: said["picture"][name] for name in sent["picture"]} == sent["picture"]


async def test_binary_mode_brings_the_same(house: Opened) -> None:
    """Attributes as headers, the data as the body; structured mode repeats it."""
    sent = event()
    headers = {f"ce-{name}": value for name, value in sent.items() if name != "data"}
    answer = await house.api.post("/messages", json=sent["data"], headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    again = await house.api.post("/messages", content=json.dumps(sent), headers=STRUCTURED)
    assert (again.status_code, again.json()["status"]) == (200, "repeated")
    assert len(await _told(house)) == 1


async def test_a_batch_is_answered_message_by_message_in_order(house: Opened) -> None:
    """Good ones have their effect whatever their neighbours are."""
    said = await _send(
        house,
        event("1"),
        event("1"),
        event("1", title="Other words"),
        "no event",
        event("2", institution="amfn"),
        event("3", version=2),
        event("4", version=2),
        event("5", version=1),
        event("6", type="members.project.sung.v7"),
        event("7", type="courses.run.published.v1"),
        event("8", type="members.institution.left.v1"),
        event("9", version=3, subject="project_otherthing"),
        event("10", version=3, state="ended"),
        event("11", project="project_managedhere"),
        event("12", version="many"),
        event("13", data="text"),
        event("14", version=3, title="NUL \x00"),
        event("15", version=9, type="members.project.changed.v1", state="running"),
    )
    assert said == [
        ("accepted", None),
        ("repeated", None),
        ("refused", "id_reused"),
        ("refused", "not_cloudevent"),
        ("refused", "other_institution"),
        ("accepted", None),
        ("refused", "stale_version"),
        ("refused", "stale_version"),
        ("refused", "unknown_type"),
        ("refused", "wrong_service"),
        ("refused", "not_taken"),
        ("refused", "wrong_key"),
        ("refused", "wrong_state"),
        ("refused", "managed_here"),
        ("refused", "invalid"),
        ("refused", "invalid"),
        ("refused", "invalid"),
        ("accepted", None),
    ]
    assert [message.version for message in await _told(house)] == [1, 2, 9]


async def test_what_was_refused_may_come_again_under_its_id(house: Opened) -> None:
    """Only what was accepted is remembered."""
    assert await _send(house, event(version="many")) == [("refused", "invalid")]
    assert await _send(house, event()) == [("accepted", None)]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"institution": "amfn"}, 403, "other_institution"),
        ({"project": "project_managedhere"}, 409, "managed_here"),
        ({"version": 0}, 422, "invalid"),
        ({"type": "members.project.sung.v7"}, 422, "unknown_type"),
        ({"id": ""}, 422, "not_cloudevent"),
        ({"data": {"about": "x" * 70_000}}, 413, "too_large"),
    ],
)
async def test_a_single_message_is_refused_as_a_problem(
    house: Opened, changes: dict[str, Any], status: int, code: str
) -> None:
    """With a status, a stable code and a sentence."""
    answer = await house.api.post("/messages", content=json.dumps(event(**changes)), headers=STRUCTURED)
    assert (answer.status_code, answer.json()["code"], bool(answer.json()["detail"])) == (status, code, True)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await _told(house) == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/cloudevents+xml"}, b"<event/>", 415),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({}, b"", 415),
        (STRUCTURED, b"{", 422),
        (BATCH, b"{}", 422),
        ({"ce-id": "%FF"}, b"", 422),
    ],
)
async def test_what_is_no_cloudevent_is_refused(
    house: Opened, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Another format, no attributes, broken JSON, a batch that is none, a header that is no text."""
    answer = await house.api.post("/messages", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_no_key_no_message(house: Opened) -> None:
    """401 without a key."""
    answer = await house.api.post(
        "/messages", content=json.dumps(event()), headers={**STRUCTURED, "Authorization": "Bearer none"}
    )
    assert answer.status_code == 401


async def test_of_the_same_message_sent_at_once_one_is_accepted(house: Opened) -> None:
    """The others are repeated."""
    said = await asyncio.gather(*(_send(house, event()) for _ in range(6)))
    assert sorted(one for [(one, _)] in said) == ["accepted", *["repeated"] * 5]
    assert len(await _told(house)) == 1


async def test_a_repeated_message_stays_without_effect_when_its_id_is_forgotten(house: Opened) -> None:
    """After 30 days the id is gone, and the version still guards the thing."""
    await _send(house, event())
    async with house.works() as work:
        await inbox.forget_old(work.connection, work.now + timedelta(days=29))
    assert await _send(house, event()) == [("repeated", None)]
    async with house.works() as work:
        await inbox.forget_old(work.connection, work.now + timedelta(days=31))
    assert await _send(house, event()) == [("refused", "stale_version")]
    assert len(await _told(house)) == 1


async def test_messages_count_for_the_limit(database_url: str) -> None:
    """A batch takes as much of the key's share as it has messages; the neighbour is not limited."""
    database = Database(database_url)
    await prepare(database)
    await database.close()
    async with opened(database_url, rate=0.001, burst=10) as house:
        await _send(house, *(event(str(n), n + 1) for n in range(10)))
        answer = await house.api.post("/messages", content=json.dumps(event("x", 99)), headers=STRUCTURED)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
        assert int(answer.headers["Retry-After"]) > 0
        assert await _send(house, event(institution="amfn", project="project_oftheother"), key="amfn") == [
            ("accepted", None)
        ]


async def test_a_batch_of_very_many_small_things_is_refused_as_a_whole(database_url: str) -> None:
    """A body of the smallest things would get hundreds of thousands of answers; a thousand pass a full bucket."""
    database = Database(database_url)
    await prepare(database)
    await database.close()
    async with opened(database_url, rate=0.001, burst=200) as house:
        taken = await house.api.post("/messages", content=b"[" + b"1," * 999 + b"1]", headers=BATCH)
        assert (taken.status_code, len(taken.json()["answers"])) == (200, 1000)
    async with opened(database_url) as house:
        refused = await house.api.post("/messages", content=b"[" + b"1," * 1000 + b"1]", headers=BATCH)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_a_batch_that_takes_long_is_taken_in_several_transactions(
    house: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message has its answer in its place, though every transaction ends after the first."""
    monkeypatch.setattr("shared.kit.inbox.TURN_SECONDS", 0.0)
    told = [event(str(number), number + 1) for number in range(4)]
    assert await _send(house, told[0], event("bad", 9, type="song"), *told[1:]) == [
        ("accepted", None),
        ("refused", "unknown_type"),
        *[("accepted", None)] * 3,
    ]
    assert len(await _told(house)) == 4
