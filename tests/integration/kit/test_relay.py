"""From committed rows to streams: numbering, refilling, one writer."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio
import sqlalchemy as sa

from shared.embedded.redis import RedisServer
from shared.kit import outbox, tables
from shared.kit.errors import Transient
from shared.kit.lease import TERM
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.streams import GENESIS, Entry, Position, chain
from tests.integration.kit.sample import PUB, Sample, api_key, institution


async def _publish_all(sample: Sample) -> None:
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass


async def test_what_is_committed_is_published_in_order_and_without_gaps(sample: Sample) -> None:
    """Positions are 1-1, 1-2, … in the order of commits, and each hash binds all that came before."""
    for version in range(1, 8):
        await sample.tell(institution(version=version))
    await _publish_all(sample)
    entries = await sample.streams.read(PUB, Position(0, 0), 100)
    assert [entry.position for entry in entries] == [Position(1, seq) for seq in range(1, 8)]
    previous = GENESIS
    for entry in entries:
        previous = chain(previous, PUB, entry.position, entry.payload)
        assert entry.hash == previous


async def test_a_unit_of_work_that_fails_says_nothing(sample: Sample) -> None:
    """Changes and messages are kept together or not at all."""
    with pytest.raises(ZeroDivisionError):
        await _tell_and_fail(sample)
    await _publish_all(sample)
    assert await sample.streams.read(PUB, Position(0, 0), 100) == []


async def _tell_and_fail(sample: Sample) -> None:
    async with sample.works() as work:
        work.tell(institution())
        raise ZeroDivisionError


async def test_a_late_commit_is_numbered_after_what_was_published(sample: Sample) -> None:
    """A row whose serial is older than published ones still gets the next number, so no reader passes over it."""
    if sample.database.is_sqlite:
        await sample.tell(institution(version=1))
        await _publish_all(sample)
        await sample.tell(institution(version=2))
    else:
        async with sample.works() as slow:
            slow.tell(institution(version=2))
            await slow.keep_told()
            await sample.tell(institution(version=1))
            await _publish_all(sample)
            assert [e.position.seq for e in await sample.streams.read(PUB, Position(0, 0), 9)] == [1]
    await _publish_all(sample)
    entries = await sample.streams.read(PUB, Position(0, 0), 9)
    assert [entry.position.seq for entry in entries] == [1, 2]
    assert b'"version":2' in entries[1].payload


async def test_only_the_holder_of_the_lease_numbers(sample: Sample) -> None:
    """A second relay does nothing while the first one holds the lease, and takes over when it ends."""
    await sample.tell(institution())
    first, lease = sample.relay("one"), sample.lease
    assert await lease.hold()
    second, other = sample.relay("two"), sample.lease
    assert not await other.hold()
    assert not await second.step()
    sample.clock.time += 2 * TERM
    assert await other.hold()
    assert not await first.step(), "the first one's token is stale"
    assert await second.step()


async def test_a_wiped_redis_is_refilled_with_the_same_ids(sample: Sample, own_redis: RedisServer) -> None:
    """After the loss of all data the streams and their states are the same again, byte for byte."""
    client = connect(own_redis.url)
    sample.streams = RedisStreams(client)
    for number in range(1200):
        await sample.tell(institution(slug=f"i{number % 30}-x", version=number + 1), api_key(number % 7, number + 1))
    await _publish_all(sample)
    before = await _everything(client)
    own_redis.wipe()
    await _publish_after_failures(sample)
    assert await _everything(client) == before
    await client.aclose()


async def test_the_textbook_outbox_loses_on_a_wiped_redis(sample: Sample, own_redis: RedisServer) -> None:
    """The control: ids by Redis and a mark 'published' in SQL give back nothing."""
    client = connect(own_redis.url)
    sample.streams = RedisStreams(client)
    await sample.tell(*(institution(version=version) for version in range(1, 50)))
    async with sample.database.transaction() as connection:
        for row in (await connection.execute(sa.select(tables.outbox).order_by(tables.outbox.c.id))).all():
            await client.xadd(PUB, {"p": row.payload})
            published = {"epoch": 1, "seq": row.id, "hash": b""}
            await connection.execute(sa.update(tables.outbox).where(tables.outbox.c.id == row.id).values(published))
    assert await client.xlen(PUB) == 49
    own_redis.wipe()
    await _publish_after_failures(sample)
    await client.aclose()
    with redis.Redis.from_url(own_redis.url) as fresh:
        assert fresh.xlen(PUB) == 0


async def test_a_cut_tail_is_refilled_before_anything_new(sample: Sample, own_redis: RedisServer) -> None:
    """Entries that Redis lost at its end come back under their ids, and the next ones follow."""
    client = connect(own_redis.url)
    sample.streams = RedisStreams(client)
    for version in range(1, 40):
        await sample.tell(institution(version=version))
    await _publish_all(sample)
    kept = [(str(e.position), e) for e in await sample.streams.read(PUB, Position(0, 0), 100)]
    await client.delete(PUB)
    for position, entry in kept[:25]:
        await client.xadd(PUB, {"p": entry.payload, "h": entry.hash}, id=position)
    await sample.tell(institution(version=40))
    await _publish_all(sample)
    entries = await sample.streams.read(PUB, Position(0, 0), 100)
    assert [entry.position.seq for entry in entries] == list(range(1, 41))
    assert entries[:39] == [entry for _, entry in kept]
    await client.aclose()


async def test_another_writers_entry_stops_the_stream(sample: Sample) -> None:
    """A foreign message at one of our positions is a fork: the relay says so and writes nothing more there."""
    await sample.tell(institution(version=1))
    foreign = Entry(Position(1, 1), b"{}", b"x" * 32)
    await sample.streams.append(PUB, Position(0, 0), [foreign], {})
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    assert "two writers" in relay.stopped[PUB]
    assert await sample.streams.read(PUB, Position(0, 0), 9) == [foreign]


async def test_a_strangers_entry_behind_our_log_stops_the_stream(sample: Sample) -> None:
    """What our chain of hashes does not lead to is nobody's backup: the relay writes no second history."""
    await sample.tell(institution(version=1))
    await _publish_all(sample)
    await sample.streams.append(PUB, Position(1, 1), [Entry(Position(1, 2), b"{}", b"x" * 32)], {})
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    assert "does not continue our log" in relay.stopped[PUB]


async def test_a_lost_reply_doubles_nothing(sample: Sample) -> None:
    """An append whose answer never came is found in the stream and not made again."""

    class LosesReplies:
        def __init__(self) -> None:
            self.losing = True

        def __getattr__(self, name: str) -> object:
            return getattr(sample.streams, name)

        async def append(self, *args: object) -> Position | None:
            end = await sample.streams.append(*args)  # type: ignore[arg-type]
            if self.losing:
                self.losing = False
                raise Transient("the reply is lost")
            return end

    await sample.tell(institution(version=1), institution(version=2))
    relay = sample.relay(streams=LosesReplies())  # type: ignore[arg-type]
    assert await sample.lease.hold()
    await relay.check()
    with pytest.raises(Transient):
        await relay.step()
    await relay.check()
    await relay.step()
    assert [entry.position.seq for entry in await sample.streams.read(PUB, Position(0, 0), 9)] == [1, 2]


async def test_trimming_keeps_the_newest_of_every_public_thing(sample: Sample) -> None:
    """After the retention the log holds one message for each key, and the next message follows the old numbers."""

    await sample.tell(
        *(institution(slug=f"i{n % 3}-x", version=n + 1) for n in range(9)), *(api_key(n) for n in range(4))
    )
    await _publish_all(sample)
    sample.clock.time += timedelta(days=100)
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.trim(timedelta(days=14), timedelta(days=90))
    async with sample.database.reading() as connection:
        newest = await outbox.newest_by_key(connection, PUB)
        rows = (await connection.execute(sa.select(sa.func.count()).select_from(tables.outbox))).scalar()
    assert (len(newest), rows) == (3, 3)
    await sample.tell(institution(version=77))
    await _publish_all(sample)
    assert (await sample.streams.read(PUB, Position(0, 0), 99))[-1].position == Position(1, 10)


async def _publish_after_failures(sample: Sample) -> None:
    for _ in range(50):
        try:
            await _publish_all(sample)
        except Transient:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("Redis did not come back")


async def _everything(client: redis.asyncio.Redis) -> dict[Any, object]:
    found: dict[Any, Any] = {}
    keys: list[Any] = sorted(await client.keys("album:*"))
    for key in keys:
        if key.endswith(b":state"):
            found[key] = await client.hgetall(key)
        elif not key.endswith(b":heartbeat"):
            found[key] = await client.xrange(key)
    return found
