"""A partner that fills its stream is refused what is too much; a full Redis empties itself again."""

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from faststream.redis import RedisBroker
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from shared.kit.database import Database
from shared.kit.in_stream_bounds import LOOKED_AT, Bounds
from shared.kit.in_streams import InStreams, in_stream, read_entry
from shared.kit.redis_streams import connect
from shared.kit.settings import Settings
from tests.integration.kit.partner_app import event, opened, prepare, takes

STREAM = in_stream("awo")
ANSWERS = f"{STREAM}:answers"
KIB = 1024


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Give an empty Redis; what a test takes from its memory comes back."""
    client = connect(redis_url)
    yield client
    await client.config_set("maxmemory", "0")
    await client.aclose()


async def _leave(redis: Redis, count: int, size: int) -> list[bytes]:
    async with redis.pipeline(transaction=False) as pipeline:
        for _ in range(count):
            pipeline.xadd(STREAM, {"p": b"x" * size})
        return list(await pipeline.execute())


async def _one_by_one(redis: Redis, stream: str, count: int, size: int) -> None:
    for _ in range(count):
        await redis.xadd(stream, {"p": b"x" * size})


async def _refused(redis: Redis) -> list[bytes]:
    found: Any = await redis.xrange(ANSWERS)
    assert {(fields[b"status"], fields[b"code"]) for _, fields in found} <= {(b"refused", b"full")}
    return [fields[b"entry"] for _, fields in found]


async def test_what_is_above_the_bytes_of_a_stream_is_refused_and_the_oldest_stay(redis: Redis) -> None:
    """Of 400 messages of 16 KiB, 4 MiB stay; each of the newer ones has an answer, and nothing is without one."""
    ids = await _leave(redis, 400, 16 * KIB)
    await Bounds(redis, most_bytes=4 * KIB * KIB).look([STREAM, in_stream("amfn")])
    left: Any = await redis.xrange(STREAM)
    kept = [id_ for id_, _ in left]
    assert LOOKED_AT <= len(kept) <= 256
    assert kept == ids[: len(kept)]
    assert sorted(await _refused(redis)) == sorted(ids[len(kept) :])
    assert int(await redis.memory_usage(STREAM) or 0) < 5 * KIB * KIB


async def test_what_is_above_the_number_of_entries_is_refused(redis: Redis) -> None:
    """Small messages are counted; a stream within its bounds is left alone."""
    ids = await _leave(redis, 150, 10)
    await Bounds(redis, most_entries=150).look([STREAM])
    assert await redis.xlen(STREAM) == 150
    await Bounds(redis, most_entries=120).look([STREAM])
    assert (await redis.xlen(STREAM), sorted(await _refused(redis))) == (120, sorted(ids[120:]))


async def test_without_bounds_one_stream_fills_redis_for_everybody(redis: Redis) -> None:
    """The control: nobody else can write; with the bounds they can again."""
    used = int((await redis.info("memory"))["used_memory"])
    await redis.config_set("maxmemory", str(used + 8 * KIB * KIB))
    with pytest.raises(OutOfMemoryError):
        await _one_by_one(redis, STREAM, 1000, 16 * KIB)
    others = "album:1:pub:{amfn}:members"
    with pytest.raises(OutOfMemoryError):
        await _one_by_one(redis, others, 3, 60 * KIB)
    await Bounds(redis, most_bytes=2 * KIB * KIB).look([STREAM])
    await _one_by_one(redis, others, 10, 60 * KIB)
    assert await redis.xlen(others) >= 10


async def test_a_full_redis_loses_what_was_taken_though_it_takes_no_answer(
    redis: Redis, redis_url: str, tmp_path: Any
) -> None:
    """Entries go although their answers cannot be kept; sent again, they are known."""
    url = f"sqlite+aiosqlite:///{tmp_path}/full.db"
    database = Database(url)
    await prepare(database)
    await database.close()
    async with opened(url) as house:
        broker = RedisBroker(redis_url, apply_types=False)
        ears = InStreams("members", takes(house.known), house.works, broker, redis, Settings(holder="one"), Random(1))
        await redis.xgroup_create(STREAM, "album:members", id="0", mkstream=True)
        payload = json.dumps(event()).encode()
        id_: Any = await redis.xadd(STREAM, {"p": payload})
        await redis.config_set("maxmemory", "1")
        await ears._answer_all("awo", [read_entry(id_, {b"p": payload})])
        assert (await redis.xlen(STREAM), await redis.xlen(ANSWERS)) == (0, 0)
        await redis.config_set("maxmemory", "0")
        again: Any = await redis.xadd(STREAM, {"p": payload})
        await ears._answer_all("awo", [read_entry(again, {b"p": payload})])
        answers: Any = await redis.xrange(ANSWERS)
        assert [fields[b"status"] for _, fields in answers] == [b"repeated"]
