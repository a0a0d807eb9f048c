"""What lies in `album:1:in:{<institution>}` is answered once, whoever ends in the middle, or parked."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from faststream.redis import RedisBroker
from redis.asyncio import Redis

from shared.kit import parking, tables
from shared.kit.database import Database
from shared.kit.in_streams import DELIVERIES, InStreams, in_stream
from shared.kit.redis_streams import connect
from shared.kit.settings import Settings
from tests.integration.kit.partner_app import Opened, event, opened, prepare, takes

STREAM = in_stream("awo")
ANSWERS = f"{STREAM}:answers"
GROUP = "album:members"


@dataclass
class Lane:
    """A service's ears at the in-streams, and a Redis on which partners leave messages."""

    house: Opened
    redis: Redis
    url: str

    def ears(self, service: str = "members", holder: str = "one") -> tuple[InStreams, RedisBroker]:
        """Give what takes entries as a service, and its connection."""
        broker = RedisBroker(self.url, apply_types=False)
        settings = Settings(redis=self.url, holder=holder)
        ears = InStreams(service, takes(self.house.known), self.house.works, broker, self.redis, settings, Random(1))
        return ears, broker

    async def leave(self, document: Any, stream: str = STREAM) -> bytes:
        """Leave a structured event."""
        left: Any = await self.redis.xadd(stream, {"p": json.dumps(document)})
        return bytes(left)

    async def answers(self) -> list[tuple[str, str]]:
        """Give status and code of each answer, in order."""
        found: Any = await self.redis.xrange(ANSWERS)
        return [(fields[b"status"].decode(), fields.get(b"code", b"").decode()) for _, fields in found]

    async def left(self) -> int:
        """Count what still lies in the stream."""
        return int(await self.redis.xlen(STREAM))


@pytest.fixture
async def lane(database_url: str, redis_url: str) -> AsyncIterator[Lane]:
    """Give the sample service on a fresh database and an empty Redis."""
    database = Database(database_url)
    await prepare(database)
    await database.close()
    redis = connect(redis_url)
    async with opened(database_url) as house:
        yield Lane(house, redis, redis_url)
    await redis.aclose()


async def _until(so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await so():  # noqa: ASYNC110 - it waits for a server, which sets no event
            await asyncio.sleep(0.02)


async def _answered(lane: Lane, count: int) -> None:
    async def enough() -> bool:
        return len(await lane.answers()) >= count and await lane.left() == 0

    await _until(enough)


async def test_what_was_left_before_and_after_the_start_is_answered_and_deleted(lane: Lane) -> None:
    """Structured and binary entries; accepted, repeated and refused; the entry's id is in its answer."""
    first = await lane.leave(event("1"))
    ears, broker = lane.ears()
    await ears.turn()
    await lane.leave(event("1"))
    sent = event("2", version=2)
    fields: dict[Any, Any] = {f"ce-{name}": value for name, value in sent.items() if name != "data"}
    await lane.redis.xadd(STREAM, {**fields, "content-type": "application/json", "data": json.dumps(sent["data"])})
    await lane.leave(event("3", institution="amfn"))
    await lane.redis.xadd(STREAM, {"p": "{"})
    await lane.redis.xadd(STREAM, {"something": "else"})
    await lane.leave(event("4", type="song.of.somebody"))
    await _answered(lane, 7)
    assert await lane.answers() == [
        ("accepted", ""),
        ("repeated", ""),
        ("accepted", ""),
        ("refused", "other_institution"),
        ("refused", "not_json"),
        ("refused", "not_cloudevent"),
        ("refused", "unknown_type"),
    ]
    [(_, told), *_] = await lane.redis.xrange(ANSWERS)  # type: ignore[misc] # redis-py types an answer for both forms
    assert told[b"entry"] == first  # type: ignore[index]
    assert await lane.house.count(tables.outbox) == 2
    await broker.stop()


async def test_of_several_services_the_one_that_knows_the_type_answers(lane: Lane) -> None:
    """The others let it pass; what nobody knows is answered once."""
    members, its_broker = lane.ears()
    courses, other_broker = lane.ears("courses")
    for ears in (members, courses):
        await ears.turn()
    await lane.leave(event("1"))
    await lane.leave(event("2", type="courses.run.published.v1"))
    await lane.leave(event("3", type="song.of.somebody"))
    await _answered(lane, 3)
    assert sorted(await lane.answers()) == [("accepted", ""), ("refused", "not_taken"), ("refused", "unknown_type")]
    for group in (GROUP, "album:courses"):

        async def nothing_pending(group: str = group) -> bool:
            return bool((await lane.redis.xpending(STREAM, group))["pending"] == 0)

        await _until(nothing_pending)
    await its_broker.stop()
    await other_broker.stop()


async def _taken_by_the_dead(lane: Lane, consumer: str, times: int = 1) -> None:
    """Have a process take everything and end before it answers."""
    await lane.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    taken: Any = await lane.redis.xreadgroup(GROUP, consumer, {STREAM: ">"})
    entries = taken[0][1] if isinstance(taken, list) else next(iter(taken.values()))[0]
    ids = [id_ for id_, _ in entries]
    await lane.redis.xclaim(STREAM, GROUP, consumer, 0, ids, retrycount=times, justid=True)


async def test_what_a_process_took_and_did_not_answer_is_taken_by_its_next_life(lane: Lane) -> None:
    """Own pending entries come first; what was committed but not answered is told to be known."""
    await lane.leave(event("1"))
    await _taken_by_the_dead(lane, "one")
    ears, broker = lane.ears(holder="one")
    await ears.turn()
    await _answered(lane, 1)
    assert await lane.answers() == [("accepted", "")]
    await broker.stop()


async def test_what_another_process_left_is_reclaimed_when_it_was_idle(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, for it may still work on it."""
    await lane.leave(event("1"))
    await _taken_by_the_dead(lane, "dead")
    ears, broker = lane.ears(holder="one")
    await ears.turn()
    await ears.turn()
    assert await lane.left() == 1
    monkeypatch.setattr("shared.kit.in_streams.IDLE_MS", 1)
    await asyncio.sleep(0.01)
    await ears.turn()
    assert (await lane.answers(), await lane.left()) == ([("accepted", "")], 0)
    await broker.stop()


async def test_what_ended_the_process_five_times_is_parked_and_its_neighbour_taken(lane: Lane) -> None:
    """An operator can have it tried again, and it is answered then."""
    await lane.leave(event("1"))
    await _taken_by_the_dead(lane, "one", DELIVERIES)
    await lane.leave(event("2", project="project_ofneighbour"))
    ears, broker = lane.ears()
    await ears.turn()
    await _answered(lane, 2)
    assert sorted(await lane.answers()) == [("accepted", ""), ("refused", "gave_up")]
    async with lane.house.works.database.reading() as connection:
        [row] = await parking.counted(connection)
    assert (row.code, row.stream, row.messages) == ("gave_up", STREAM, 1)
    async with lane.house.works() as work:
        await parking.ask_retry(work.connection, code="gave_up")
    await ears.turn()
    await _answered(lane, 3)
    assert (await lane.answers())[-1] == ("accepted", "")
    await broker.stop()


async def test_one_delivery_fewer_is_taken(lane: Lane) -> None:
    """The control: the limit is the fifth delivery and not an earlier one."""
    await lane.leave(event("1"))
    await _taken_by_the_dead(lane, "one", DELIVERIES - 1)
    ears, broker = lane.ears()
    await ears.turn()
    await _answered(lane, 1)
    assert await lane.answers() == [("accepted", "")]
    await broker.stop()


async def test_a_fault_parks_its_message_alone_and_a_lock_is_waited_for(lane: Lane) -> None:
    """A database that does not answer is tried again; a fault of the code is parked with its reason."""
    ears, broker = lane.ears()
    lane.house.known.fault = [OSError("no database")]
    await lane.leave(event("1"))
    await ears.turn()
    await _answered(lane, 1)
    lane.house.known.fault = [ZeroDivisionError(), ZeroDivisionError()]
    await lane.leave(event("2", project="project_withafault"))
    await _answered(lane, 2)
    assert await lane.answers() == [("accepted", ""), ("refused", "fault")]
    await broker.stop()


async def test_a_wiped_redis_is_subscribed_again(lane: Lane) -> None:
    """FastStream stops a subscriber whose group is gone; the next turn makes both anew."""
    ears, broker = lane.ears()
    await ears.turn()
    await lane.redis.flushall()
    await lane.leave(event("1"))

    async def answered() -> bool:
        await ears.turn()
        return await lane.answers() == [("accepted", "")]

    await _until(answered)
    assert (await lane.answers(), await lane.left()) == ([("accepted", "")], 0)
    await broker.stop()


async def test_a_suspended_institution_is_refused(lane: Lane) -> None:
    """Only an active institution publishes, by this way too."""
    async with lane.house.works() as work:
        await work.connection.execute(tables.institution.update().values(state="suspended"))
    await lane.leave(event("1"))
    ears, broker = lane.ears()
    await ears.turn()
    await _answered(lane, 1)
    assert await lane.answers() == [("refused", "not_active")]
    await broker.stop()
