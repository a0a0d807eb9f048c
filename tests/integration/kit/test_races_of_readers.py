"""Readers among others: snapshots that race, retries that end the process, operators at the same moment."""

import asyncio
import contextlib
from copy import copy as shallow
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
import sqlalchemy as sa

from shared.contract import members
from shared.kit import cursors, in_time, outbox, parking, reader, snapshot, tables
from shared.kit.applying import is_transient
from shared.kit.clock import SystemClock
from shared.kit.errors import Transient
from shared.kit.hears import Hears
from shared.kit.memory_streams import MemoryStreams
from shared.kit.reader import Backfill
from shared.kit.streams import START, Entry, Position
from shared.kit.work import Work
from tests.integration.kit.sample import OWN, PUB, Sample, SampleStore, api_key, heard, institution, keeps_all


async def _publish(sample: Sample, *messages: Any) -> None:
    await sample.tell(*messages)
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass


def _log_of(sample: Sample) -> Backfill:
    async def log(stream: str, after: Position, count: int) -> list[Entry]:
        async with sample.database.reading() as connection:
            return await outbox.log_after(connection, stream, after, count)

    return log


async def _cursor(sample: Sample, stream: str) -> Position:
    async with sample.database.reading() as connection:
        row = (await connection.execute(sa.select(tables.cursor).where(tables.cursor.c.stream == stream))).one()
    return Position(row.epoch, row.seq)


class _Watched(MemoryStreams):
    """Streams on which something happens between the noted end and the state."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample
        self.between: Any = None
        self.behind: Any = None

    async def state_index(self, stream: str) -> dict[str, Entry]:
        """Let it happen once, then tell what the state has; let happen what is to be behind that."""
        between, self.between = self.between, None
        if between is not None:
            await between()
        found = await super().state_index(stream)
        behind, self.behind = self.behind, None
        if behind is not None:
            await behind()
        return found


async def test_what_is_published_during_a_snapshot_has_its_effect_once(sample: Sample) -> None:
    """A state that is newer than the noted end is left to the tail."""
    sample.streams = watched = _Watched(sample)
    await _publish(sample, institution("awo", 1), institution("amfn", 1))

    async def more() -> None:
        await _publish(sample, institution("awo", 2))

    stream = sample.reader(PUB)
    watched.between = more
    await stream.catch_up()
    assert sorted(await sample.heard()) == [("amfn", 1), ("awo", 2)]


async def test_two_copies_that_load_a_snapshot_at_once_load_it_once(sample: Sample) -> None:
    """The cursor's row decides, and the slower copy does not move it back."""
    sample.streams = watched = _Watched(sample)
    await _publish(sample, *(institution(f"i{n}-x", 1) for n in range(5)))
    quick, slow = sample.reader(PUB), sample.reader(PUB)

    async def the_other_is_quicker() -> None:
        await quick.catch_up()
        await _publish(sample, institution("i0-x", 2))
        await quick.catch_up()

    watched.between = the_other_is_quicker
    await slow.catch_up()
    assert sorted(await sample.heard()) == sorted([*((f"i{n}-x", 1) for n in range(5)), ("i0-x", 2)])
    assert await _cursor(sample, PUB) == Position(1, 6)


async def test_a_snapshot_that_breaks_off_goes_on_behind_what_is_kept(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page and the cursor are kept together: the next attempt doubles nothing and misses nothing."""
    monkeypatch.setattr(reader, "PAGE", 2)
    await _publish(sample, *(institution(f"i{n}-x", 1) for n in range(6)))
    broken = {"on": True}

    async def breaks(message: members.InstitutionChanged, work: Work[SampleStore]) -> None:
        if broken["on"] and message.picture.slug == "i4-x":
            raise Transient("a lock is held")
        await work.store.keep(message)

    stream = sample.reader(PUB, keeps_all(breaks))
    with pytest.raises(Transient):
        await stream.catch_up()
    assert (len(await sample.heard()), await _cursor(sample, PUB)) == (4, Position(1, 4))
    broken["on"] = False
    await stream.catch_up()
    assert sorted(await sample.heard()) == [(f"i{n}-x", 1) for n in range(6)]


async def test_a_message_that_ends_the_process_is_found_in_a_snapshot_too(sample: Sample) -> None:
    """It is parked after three attempts, and all others are kept."""
    await _publish(sample, *(institution(f"i{n}-x", 1) for n in range(3)))

    async def ends(message: members.InstitutionChanged, work: Work[SampleStore]) -> None:
        if message.picture.slug == "i1-x":
            raise asyncio.CancelledError
        await work.store.keep(message)

    died = 0
    for _ in range(9):
        try:
            await sample.reader(PUB, keeps_all(ends)).catch_up()
        except asyncio.CancelledError:
            died += 1
    assert (died, await sample.parked()) == (3, [("i1-x", "never_ends", "parked")])
    assert sorted(await sample.heard()) == [("i0-x", 1), ("i2-x", 1)]


async def test_a_redis_wiped_while_a_snapshot_is_read_makes_no_false_place(sample: Sample) -> None:
    """The end was noted before, the state came after: to stand at that end would be to miss everything."""
    await _publish(sample, *(institution(f"i{n}-x", 1) for n in range(3)))
    streams = sample.streams = _Watched(sample)
    await sample.relay().check()

    async def the_disk_is_lost() -> None:
        streams.wipe()

    streams.between = the_disk_is_lost
    with pytest.raises(Transient):
        await sample.reader(PUB).catch_up()
    await sample.relay().check()
    await sample.reader(PUB).catch_up()
    assert sorted(await sample.heard()) == [(f"i{n}-x", 1) for n in range(3)]


@pytest.mark.parametrize(("looks", "heard"), [(True, 4), (False, 1)])
async def test_a_redis_that_is_whole_again_before_the_snapshot_ends_makes_no_false_place(
    sample: Sample, looks: bool, heard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wiped behind the noted end, empty when the state was read, refilled and gone on by the next question."""
    await _publish(sample, *(institution(f"i{n}-x", 1) for n in range(3)))
    streams = sample.streams = _Watched(sample)
    await sample.relay().check()

    async def the_disk_is_lost() -> None:
        streams.wipe()

    async def its_writer_goes_on() -> None:
        await _publish(sample, institution("i3-x", 1))
        streams._beats.clear()

    streams.between, streams.behind = the_disk_is_lost, its_writer_goes_on
    if not looks:
        monkeypatch.setattr(snapshot, "_misses", AsyncMock(return_value=False))
    late = sample.reader(PUB)
    with contextlib.suppress(Transient):
        await late.catch_up()
    await late.catch_up()
    assert len(await sample.heard()) == heard


async def test_a_cursor_before_everything_reads_a_stream_that_begins_with_a_later_epoch(sample: Sample) -> None:
    """A start ended behind the cursor and before its snapshot; of the first epoch only the state is left."""
    await _publish(sample, institution("awo", 1), institution("amfn", 1))
    async with sample.database.transaction() as connection:
        await outbox.begin_epoch(connection, PUB, 2, await outbox.hash_at(connection, PUB, Position(1, 2)))
    await _publish(sample, institution("awo", 2))
    await sample.streams.trim(PUB, Position(2, 1))
    async with sample.database.transaction() as connection:
        await cursors.make(connection, PUB)
    await sample.reader(PUB).catch_up()
    assert sorted(await sample.heard()) == [("amfn", 1), ("awo", 2)]
    assert await _cursor(sample, PUB) == Position(2, 1)


async def test_a_snapshot_behind_a_gap_repeats_nothing(sample: Sample) -> None:
    """A reader that fell behind the trim loads only what is newer than its cursor."""
    await _publish(sample, institution("awo", 1), institution("amfn", 1))
    stream = sample.reader(PUB)
    await stream.catch_up()
    await _publish(sample, *(institution("amfn", version) for version in range(2, 6)))
    await sample.streams.trim(PUB, Position(1, 6))
    await stream.catch_up()
    assert sorted(await sample.heard()) == [("amfn", 1), ("amfn", 5), ("awo", 1)]


async def test_a_wiped_redis_never_moves_a_cursor_back(sample: Sample) -> None:
    """A reader that asks for a snapshot of nothing waits for the writer's refill."""
    await _publish(sample, *(institution("awo", version) for version in range(1, 6)))
    stream = sample.reader(PUB)
    await stream.catch_up()
    sample.streams.wipe()  # type: ignore[attr-defined] # memory streams
    late = Entry(Position(1, 9), b"{}", b"")
    taking = asyncio.create_task(stream.take([late]))
    while not stream.failing:  # noqa: ASYNC110 - the reader has no event for failing, it only says so
        await asyncio.sleep(0.01)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert await _cursor(sample, PUB) == Position(1, 5)


async def test_a_newcomer_begins_an_own_stream_where_the_retention_left_it(sample: Sample) -> None:
    """What the writer dropped on purpose cannot be waited for, or a new service would never read an own stream."""
    await _publish(sample, *(api_key(n) for n in range(1, 5)))
    sample.clock.time += timedelta(days=20)
    await _publish(sample, api_key(5), api_key(6))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.trim(timedelta(days=14), timedelta(days=90))
    await sample.reader(OWN, backfill=_log_of(sample)).catch_up()
    assert [key for key, _ in await sample.heard()] == ["key_00000005", "key_00000006"]


async def test_a_newcomer_opens_an_own_stream_of_which_nothing_is_left(sample: Sample) -> None:
    """An empty stream with a past is open for what comes next."""
    await _publish(sample, *(api_key(n) for n in range(1, 5)))
    sample.clock.time += timedelta(days=20)
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    await relay.trim(timedelta(days=14), timedelta(days=90))
    stream = sample.reader(OWN, backfill=_log_of(sample))
    await stream.catch_up()
    await _publish(sample, api_key(5))
    await stream.catch_up()
    assert [key for key, _ in await sample.heard()] == ["key_00000005"]


async def test_a_reader_that_missed_the_retention_does_not_skip(sample: Sample) -> None:
    """The control: whoever has read before must not pass over what was dropped meanwhile."""
    await _publish(sample, api_key(1))
    stream = sample.reader(OWN, backfill=_log_of(sample))
    await stream.catch_up()
    await _publish(sample, api_key(2), api_key(3))
    sample.clock.time += timedelta(days=20)
    await _publish(sample, api_key(4))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.trim(timedelta(days=14), timedelta(days=90))
    with pytest.raises(Transient, match="gap"):
        await stream.catch_up()
    assert [key for key, _ in await sample.heard()] == ["key_00000001"]


async def _parked(sample: Sample) -> None:
    """Park version 2 of a key, with version 3 behind it."""

    async def refuses(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        if message.version == 2:
            raise ValueError("no")
        await work.store.keep(message)

    await _publish(sample, *(api_key(1, version) for version in range(1, 4)))
    await sample.reader(OWN, keeps_all(refuses)).catch_up()


async def _ask(sample: Sample) -> None:
    async with sample.database.transaction() as connection:
        await parking.ask_retry(connection)


async def test_a_retry_that_ends_the_process_is_not_made_again_by_itself(sample: Sample) -> None:
    """The wish is taken before the attempt: a poisoned message does not end every new process."""
    await _parked(sample)
    await _ask(sample)
    deaths = 0

    class Killed(BaseException):
        pass

    async def dies(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        nonlocal deaths
        deaths += 1
        raise Killed

    for _ in range(5):
        try:
            await sample.reader(OWN, keeps_all(dies)).retry_parked()
        except Killed:
            continue
    assert deaths == 1
    assert [state for _, _, state in await sample.parked()] == ["parked", "behind"]


async def test_a_retry_that_something_disturbs_is_made_again(sample: Sample) -> None:
    """What did not answer takes nothing from the operator's wish."""
    await _parked(sample)
    await _ask(sample)

    async def disturbed(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        raise Transient("a lock is held")

    with pytest.raises(Transient):
        await sample.reader(OWN, keeps_all(disturbed)).retry_parked()
    await sample.reader(OWN).retry_parked()
    assert [version for _, version in await sample.heard()] == [1, 2, 3]


async def test_a_retry_that_a_stop_breaks_off_is_left_to_the_next_process(sample: Sample) -> None:
    """Releases change while one is under way: what the old copy has begun is done by the new one."""
    await _parked(sample)
    await _ask(sample)
    begun = asyncio.Event()

    async def waits(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        begun.set()
        await asyncio.sleep(3600)

    retrying_ = asyncio.create_task(sample.reader(OWN, keeps_all(waits)).retry_parked())
    await begun.wait()
    retrying_.cancel()
    await asyncio.gather(retrying_, return_exceptions=True)
    await sample.reader(OWN).retry_parked()
    assert [version for _, version in await sample.heard()] == [1, 2, 3]


async def test_a_retry_that_hangs_blocks_nobody(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a while and waits for the operator again."""
    monkeypatch.setattr(in_time, "LONGEST", 0.2)
    await _parked(sample)
    await _ask(sample)

    async def hangs(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        await asyncio.sleep(3600)

    await sample.reader(OWN, keeps_all(hangs)).retry_parked()
    assert [state for _, _, state in await sample.parked()] == ["parked", "behind"]


async def test_nothing_queues_behind_a_message_that_is_just_discarded(sample: Sample) -> None:
    """Operator and reader at the same moment: what comes behind is used or asked for, never stranded."""
    await _parked(sample)
    await _publish(sample, api_key(1, 4))
    stream = sample.reader(OWN)

    async def discard() -> None:
        async with sample.database.transaction() as connection:
            ids = sa.select(tables.parked.c.id).order_by(tables.parked.c.seq)
            for id_ in (await connection.execute(ids)).scalars().all():
                assert await parking.discard(connection, id_, by="mina", why="wrong", now=sample.clock.now())
            await asyncio.sleep(0.3)

    discarding = asyncio.create_task(discard())
    await asyncio.sleep(0.1)
    await stream.catch_up()
    await discarding
    await stream.retry_parked()
    assert [version for _, version in await sample.heard()] == [1, 4]
    assert {state for _, _, state in await sample.parked()} == {"discarded"}


async def test_discarding_one_that_waits_does_not_try_the_one_before(sample: Sample) -> None:
    """Only what has nobody before it is asked for again."""
    await _parked(sample)
    await _publish(sample, api_key(1, 4))
    await sample.reader(OWN).catch_up()
    async with sample.database.transaction() as connection:
        [id_] = (await connection.execute(sa.select(tables.parked.c.id).where(tables.parked.c.seq == 3))).scalars()
        assert await parking.discard(connection, id_, by="mina", why="wrong", now=sample.clock.now())
        assert not await parking.discard(connection, id_, by="mina", why="twice", now=sample.clock.now())
    assert [state for _, _, state in await sample.parked()] == ["parked", "discarded", "behind"]


async def test_what_was_used_once_and_fails_in_a_rebuild_is_parked_again(sample: Sample) -> None:
    """A position that an operator had mended is not dropped in silence the second time."""
    entry = Entry(Position(1, 1), b"{}", b"")
    refusal = parking.Refusal("not_json", "the message is not JSON")
    async with sample.database.transaction() as connection:
        for state in ("used", "parked"):
            await parking.park(
                connection, OWN, entry, key="key_00000001", type_word=None,
                refusal=refusal, now=sample.clock.now(), state=state,
            )  # fmt: skip
    assert [state for _, _, state in await sample.parked()] == ["parked"]


async def test_many_copies_at_one_careful_place_park_nobody_innocent(sample: Sample) -> None:
    """Each copy counts its attempt; one that is alive comes to an end before another gives the message up."""
    await _publish(sample, *(api_key(n) for n in range(1, 9)))
    entries = await sample.streams.read(OWN, START, 99)
    async with sample.database.transaction() as connection:
        row = {"stream": OWN, "epoch": 0, "seq": 0, "attempts": 1, "careful_epoch": 1, "careful_seq": 8}
        await connection.execute(sa.insert(tables.cursor).values(row))
    copies = [sample.reader(OWN) for _ in range(6)]
    for copy in copies:
        copy._clock = SystemClock()  # the steady clock gives the others no time at all
        copy._works = shallow(sample.works)  # each is a process of its own
        copy._works.suspects = asyncio.Lock()
    counted: list[bool] = []
    all_counted = asyncio.Event()
    for copy in copies:
        count = copy._count_attempt

        async def wait_for_all(last: Position, count: Any = count) -> bool:
            done: bool = await count(last)
            counted.append(done)
            if len(counted) == len(copies):
                all_counted.set()
            await all_counted.wait()
            return done

        copy._count_attempt = wait_for_all  # type: ignore[method-assign] # so that all count before anybody works
    await asyncio.gather(*(copy.take(entries) for copy in copies))
    assert await sample.parked() == []
    assert len(await sample.heard()) == 8


async def test_a_message_that_ends_the_process_takes_no_message_of_another_stream_along(on_postgres: Sample) -> None:
    """Both are under way at every death; only the one that ends the process is parked."""
    sample = on_postgres
    bad, good = await _two_streams(sample)
    for _ in range(6):
        handling = asyncio.Event()

        async def handle(message: Any, work: Work[SampleStore], handling: asyncio.Event = handling) -> None:
            if message.key == "key_00000001":
                # It ends the process once the other one is under way, or is made to wait for its turn.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(handling.wait(), 0.15)
                raise _Killed
            handling.set()
            await work.connection.execute(sa.text("SELECT pg_sleep(0.3)"))
            await work.store.keep(message)

        sample.works.suspects = asyncio.Lock()
        if await _life(sample, keeps_all(handle), bad, good):
            break
    assert await sample.parked() == [("key_00000001", "never_ends", "parked")]
    assert [key for key, _ in await sample.heard()] == ["awo"]


class _Killed(BaseException):
    pass


async def _two_streams(sample: Sample) -> tuple[list[Entry], list[Entry]]:
    await _publish(sample, api_key(1), institution("awo", 1))
    async with sample.database.transaction() as connection:
        for stream in (OWN, PUB):
            row = {"stream": stream, "epoch": 0, "seq": 0, "attempts": 1, "careful_epoch": 1, "careful_seq": 9}
            await connection.execute(sa.insert(tables.cursor).values(row))
    return await sample.streams.read(OWN, START, 9), await sample.streams.read(PUB, START, 9)


async def _life(sample: Sample, hears: Hears, bad: list[Entry], good: list[Entry]) -> bool:
    """Let a process live; False where it ended before it was done."""
    tasks = [asyncio.create_task(sample.reader(OWN, hears).take(bad))]
    tasks.append(asyncio.create_task(sample.reader(PUB, hears).take(good)))
    try:
        await asyncio.gather(*tasks)
    except _Killed:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return False
    return True


async def test_a_wait_for_the_database_uses_up_no_attempt(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the handler's own time counts: a long lock of somebody else parks no message."""
    monkeypatch.setattr(in_time, "LONGEST", 0.2)
    await _publish(sample, api_key(1))
    stream = sample.reader(OWN)
    await stream.catch_up()
    await _publish(sample, api_key(2))
    entries = await sample.streams.read(OWN, START, 9)
    count = stream._count_attempt
    blocking: list[asyncio.Task[None]] = []

    async def block() -> None:
        async with sample.database.transaction() as connection:
            await parking.lock(connection, OWN)
            await asyncio.sleep(0.8)

    async def then_blocked(last: Position) -> bool:
        done = await count(last)
        if not blocking:
            blocking.append(asyncio.create_task(block()))
            await asyncio.sleep(0.05)
        return done

    monkeypatch.setattr(stream, "_count_attempt", then_blocked)
    await stream.take(entries)
    await asyncio.gather(*blocking)
    assert sample.clock.slept == []
    assert len(await sample.heard()) == 2


async def test_a_value_that_does_not_fit_is_no_passing_fault(sample: Sample) -> None:
    """The driver's refusal of a value stays one: the message is parked and the stream goes on."""
    async with sample.database.transaction() as connection:
        with pytest.raises((sa.exc.DBAPIError, OverflowError)) as caught:
            await connection.execute(sa.insert(heard).values(key="x", version=2**70))
    assert not is_transient(caught.value)


async def test_a_missing_table_is_no_passing_fault(sample: Sample) -> None:
    """Both databases agree that waiting does not mend it."""
    with pytest.raises(sa.exc.DBAPIError) as caught:
        async with sample.database.transaction() as connection:
            await connection.execute(sa.text("SELECT * FROM nowhere"))
    assert not is_transient(caught.value)
