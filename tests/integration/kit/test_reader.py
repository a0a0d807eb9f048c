"""From a stream into tables: once, in order, through crashes, gaps and bad messages."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from shared.contract import members
from shared.contract.envelope import MAX_BYTES, encode
from shared.kit import outbox, parking, reader, tables
from shared.kit.applying import Applier
from shared.kit.errors import Transient
from shared.kit.hears import Hears
from shared.kit.memory_streams import MemoryStreams
from shared.kit.relay import BEAT_EVERY
from shared.kit.streams import START, Entry, Position
from shared.kit.work import Work
from tests.integration.kit.sample import OWN, PUB, Sample, SampleStore, api_key, institution, keeps_all


async def _entries(sample: Sample, *messages: Any, stream: str = OWN) -> list[Entry]:
    """Publish messages and give their entries."""
    await sample.tell(*messages)
    relay = sample.relay()
    assert await sample.lease.hold()
    while await relay.step():
        pass
    return await sample.streams.read(stream, START, 10_000)


async def test_every_message_has_its_effect_once_though_it_comes_twice_and_out_of_order(sample: Sample) -> None:
    """Duplicates and late entries change nothing, and a later entry does not pass an earlier one."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 21)))
    stream = sample.reader(OWN)
    await stream.take(entries[:5])
    await stream.take(entries[2:8])
    await stream.take(entries[12:])
    await stream.take(entries[:20])
    assert await sample.heard() == [("key_00000001", version) for version in range(1, 21)]


async def test_a_cursor_outside_the_transaction_doubles(sample: Sample) -> None:
    """The control: with a position in memory only, a restart repeats what was done."""
    entries = await _entries(sample, api_key(1), api_key(2))
    await sample.reader(OWN).take(entries)
    async with sample.database.transaction() as connection:
        await connection.execute(sa.delete(tables.cursor))
    await sample.reader(OWN).take(entries)
    assert len(await sample.heard()) == 4


async def test_two_copies_of_a_service_share_the_work_without_doubling(sample: Sample) -> None:
    """Both read the same entries at once; the cursor's row decides who was first."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 61)))
    copies = [sample.reader(OWN) for _ in range(2)]
    for start in range(0, 60, 6):
        await asyncio.gather(*(copy.take(entries[start : start + 6]) for copy in copies))
    assert await sample.heard() == [("key_00000001", version) for version in range(1, 61)]


async def test_a_gap_is_filled_from_the_stream_or_from_the_owners_log(sample: Sample) -> None:
    """What Redis no longer has comes from the writer's SQL, in order."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 31)))
    await sample.streams.trim(OWN, Position(1, 20))

    await sample.reader(OWN, backfill=_log_of(sample)).take(entries[25:])
    assert [version for _, version in await sample.heard()] == list(range(1, 31))


async def test_a_gap_that_nothing_fills_stops_the_stream_and_says_so(sample: Sample) -> None:
    """The reader never skips: it waits until the gap can be filled."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 11)))
    await sample.streams.trim(OWN, Position(1, 8))
    stream = sample.reader(OWN)
    taking = asyncio.create_task(stream.take(entries[8:]))
    while not stream.failing:  # noqa: ASYNC110 - the reader has no event for failing, it only says so
        await asyncio.sleep(0.01)
    assert "gap" in str(stream.failing)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert await sample.heard() == []


async def test_a_late_joiner_loads_the_newest_of_each_thing_and_then_follows(sample: Sample) -> None:
    """Snapshot and tail: a newcomer needs no history, and misses nothing."""
    await _entries(sample, *(institution(f"i{n % 5}-x", n + 1) for n in range(50)), stream=PUB)
    await sample.streams.trim(PUB, Position(1, 45))
    stream = sample.reader(PUB)
    await stream.catch_up()
    assert sorted(await sample.heard()) == [(f"i{n}-x", 46 + n) for n in range(5)]
    entries = await _entries(sample, institution("i0-x", 90), stream=PUB)
    await stream.take(entries[-1:])
    assert (await sample.heard())[-1] == ("i0-x", 90)


async def test_what_follows_a_snapshot_is_taken_in_one_piece(sample: Sample) -> None:
    """Nothing ended the newcomer: only where something did, messages are taken one by one, each in its transaction."""
    await _entries(sample, *(institution(f"i{n}-x") for n in range(5)), stream=PUB)
    stream, commits = sample.reader(PUB), 0
    await stream.catch_up()
    entries = await _entries(sample, *(institution(f"i{n}-x", 2) for n in range(5)), stream=PUB)

    def count(*_: Any) -> None:
        nonlocal commits
        commits += 1

    sa.event.listen(sample.database._writing.sync_engine, "commit", count)
    await stream.take(entries[-5:])
    sa.event.remove(sample.database._writing.sync_engine, "commit", count)
    assert len(await sample.heard()) == 10
    assert commits <= 2, "the attempt, and the effect"


async def test_a_withheld_key_is_seen_by_the_heartbeat(sample: Sample) -> None:
    """A state that lacks what its writer's heartbeat counts is not taken for the whole."""
    await sample.tell(institution("awo", 1), institution("amfn", 2))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    await relay.check()
    assert isinstance(sample.streams, MemoryStreams)
    del sample.streams._state[PUB]["awo"]
    with pytest.raises(Transient, match="heartbeat"):
        await sample.reader(PUB).catch_up()


async def test_a_lost_tail_is_seen_by_the_heartbeat_and_fetched_from_the_log(sample: Sample) -> None:
    """When the writer's heartbeat is ahead of the stream, the reader asks the writer's log."""
    await sample.tell(institution("awo", 1))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    stream = sample.reader(PUB, backfill=_log_of(sample))
    await stream.catch_up()
    await sample.tell(institution("awo", 2))
    await relay.step()
    sample.clock.time += 2 * BEAT_EVERY
    await relay.check()
    assert isinstance(sample.streams, MemoryStreams)
    sample.streams._entries[PUB].pop()
    await stream.catch_up()
    assert await sample.heard() == [("awo", 1), ("awo", 2)]


async def test_a_bad_message_parks_its_own_thing_and_nothing_else(sample: Sample) -> None:
    """Later messages of the same thing queue behind it, all others go on."""
    entries = await _entries(sample, *(api_key(n % 3, n) for n in range(1, 13)))
    hears = _refuses(sample, key="key_00000001", version=4)
    await sample.reader(OWN, hears).take(entries)
    assert [v for k, v in await sample.heard() if k == "key_00000001"] == [1]
    assert len([1 for k, _ in await sample.heard() if k != "key_00000001"]) == 8
    assert [code for _, code, _ in await sample.parked()] == ["ValueError", "behind_parked", "behind_parked"]


async def test_retry_uses_what_waited_in_its_order(sample: Sample) -> None:
    """After the cause is mended the parked message and those behind it are used, in order."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 6)))
    refusing = {"on": True}
    stream = sample.reader(OWN, _refuses(sample, key="key_00000001", version=2, while_=refusing))
    await stream.take(entries)
    refusing["on"] = False
    await _ask_retry(sample)
    await stream.retry_parked()
    assert [version for _, version in await sample.heard()] == [1, 2, 3, 4, 5]
    assert {state for _, _, state in await sample.parked()} == {"used"}


async def test_discard_keeps_who_and_why_and_lets_the_others_go_on(sample: Sample) -> None:
    """A message that is given up leaves its trace; the ones behind it are used."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 5)))
    stream = sample.reader(OWN, _refuses(sample, key="key_00000001", version=2))
    await stream.take(entries)
    async with sample.database.transaction() as connection:
        [first] = (await connection.execute(sa.select(tables.parked.c.id).where(tables.parked.c.seq == 2))).scalars()
        assert await parking.discard(connection, first, by="mina", why="sent by mistake", now=sample.clock.now())
    await stream.retry_parked()
    assert [version for _, version in await sample.heard()] == [1, 3, 4]
    async with sample.database.reading() as connection:
        row = (await connection.execute(sa.select(tables.parked).where(tables.parked.c.id == first))).one()
    assert (row.state, row.ended_by, row.ended_why) == ("discarded", "mina", "sent by mistake")


async def test_a_message_that_ends_the_process_is_parked_after_three_attempts(sample: Sample) -> None:
    """The attempt is counted before it is made, so a poisoned message does not loop for ever."""
    entries = await _entries(sample, *(api_key(n, 1) for n in range(1, 8)))
    deaths = 0

    class Killed(BaseException):
        pass

    async def dies(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        nonlocal deaths
        if message.key_id == "key_00000004":
            deaths += 1
            raise Killed
        await work.store.keep(message)

    for _ in range(10):
        try:
            await sample.reader(OWN, keeps_all(dies)).take(entries)
        except Killed:
            continue
        break
    assert deaths == 3
    assert [key for key, _ in await sample.heard()] == [f"key_{n:08d}" for n in (1, 2, 3, 5, 6, 7)]
    assert await sample.parked() == [("key_00000004", "never_ends", "parked")]


async def test_a_message_that_ends_the_process_behind_others_is_parked_as_well(sample: Sample) -> None:
    """The attempt at a batch is counted with the commit of the one before."""
    entries = await _entries(sample, *(api_key(n, 1) for n in range(1, 8)))
    deaths = 0

    class Killed(BaseException):
        pass

    async def dies(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        nonlocal deaths
        if message.key_id == "key_00000006":
            deaths += 1
            raise Killed
        await work.store.keep(message)

    for _ in range(10):
        stream = sample.reader(OWN, keeps_all(dies))
        try:
            for start in (0, 3, 5):
                await stream.take(entries[start : start + 3])
        except Killed:
            continue
        break
    assert deaths == 3
    assert [key for key, _ in await sample.heard()] == [f"key_{n:08d}" for n in (1, 2, 3, 4, 5, 7)]
    assert await sample.parked() == [("key_00000006", "never_ends", "parked")]


async def test_a_reader_that_left_leaves_nothing_to_be_careful_about(sample: Sample) -> None:
    """The attempt that was counted in advance is taken back; after a kill it stands, and each message goes alone."""
    entries = await _entries(sample, *(api_key(n, 1) for n in range(1, 8)))
    batches: list[int] = []
    hears = Hears()

    @hears.newest(members.KeyIssued)
    async def keep(messages: list[members.KeyIssued], work: Work[SampleStore]) -> None:
        batches.append(len(messages))

    stream = sample.reader(OWN, hears)
    await stream.take(entries[:3])
    async with sample.database.transaction() as connection:
        await stream.leave(connection)
    await sample.reader(OWN, hears).take(entries[:5])
    await sample.reader(OWN, hears).take(entries)
    assert batches == [3, 2, 1, 1]


async def test_a_handler_that_hangs_is_parked_and_the_others_go_on(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out uses up an attempt; after three the message waits for an operator."""
    entries = await _entries(sample, *(api_key(n, 1) for n in range(1, 4)))

    async def hangs(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        if message.key_id == "key_00000002":
            await asyncio.sleep(3600)
        await work.store.keep(message)

    await sample.reader(OWN, keeps_all(hangs)).take(entries)
    assert [key for key, _ in await sample.heard()] == ["key_00000001", "key_00000003"]
    assert await sample.parked() == [("key_00000002", "never_ends", "parked")]


async def test_a_passing_fault_is_tried_again_and_parks_nothing(sample: Sample) -> None:
    """What may work in a moment is repeated with growing waits, however often."""
    entries = await _entries(sample, *(api_key(1, version) for version in range(1, 4)))
    failures = iter(range(8))

    async def flaky(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        if next(failures, None) is not None:
            raise Transient("a lock is held")
        await work.store.keep(message)

    await sample.reader(OWN, keeps_all(flaky)).take(entries)
    assert [version for _, version in await sample.heard()] == [1, 2, 3]
    assert (len(sample.clock.slept), await sample.parked()) == (8, [])


async def test_what_a_refused_handler_said_is_taken_back(sample: Sample) -> None:
    """A message that is parked has said nothing to others."""
    entries = await _entries(sample, api_key(1))

    async def says_and_fails(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        work.tell(institution("said-too-early"))
        raise ValueError("no")

    await sample.reader(OWN, keeps_all(says_and_fails)).take(entries)
    async with sample.database.reading() as connection:
        told = (await connection.execute(sa.select(tables.outbox.c.key))).scalars().all()
    assert "said-too-early" not in told


def _envelope(**changes: Any) -> bytes:
    event = json.loads(encode(api_key(1), id="msg_1", time=datetime(2026, 11, 22, tzinfo=UTC)))
    event.update(changes)
    return json.dumps(event).encode()


BAD = {
    "not_json": b"{",
    "not_cloudevent": b'{"a": 1}',
    "too_large": b'{"x": "' + b"y" * MAX_BYTES + b'"}',
    "too_deep": b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}",
}


async def _take_raw(sample: Sample, payload: bytes) -> None:
    good = await _entries(sample, api_key(7))
    bad = Entry(Position(1, 2), payload, b"")
    await sample.reader(OWN).take([good[0], bad, Entry(Position(1, 3), good[0].payload, b"")])


@pytest.mark.parametrize("code", BAD)
async def test_what_cannot_be_read_is_parked_with_a_stable_code(sample: Sample, code: str) -> None:
    """Malformed, foreign, too large or too deep: a reason for the operator, and the stream goes on."""
    await _take_raw(sample, BAD[code])
    assert await sample.parked() == [("?1-2", code, "parked")]
    assert len(await sample.heard()) == 2


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("unknown_type", {"type": "members.key.blessed.v9"}),
        ("invalid", {"data": {"institution": "office"}}),
        ("wrong_institution", {"source": "/awo/members"}),
        ("wrong_key", {"subject": "key_99999999"}),
        ("not_cloudevent", {"specversion": "0.3", "subject": None}),
    ],
)
async def test_what_does_not_fit_is_parked_with_a_stable_code(
    sample: Sample, code: str, changes: dict[str, Any]
) -> None:
    """Nobody speaks for another, and an unknown type waits for the release that knows it."""
    await _take_raw(sample, _envelope(**changes))
    assert [found for _, found, _ in await sample.parked()] == [code]
    assert len(await sample.heard()) == 2


async def test_a_message_of_an_own_stream_is_refused_on_a_public_one(sample: Sample) -> None:
    """A public stream cannot carry what belongs inside an institution."""
    entries = await _entries(sample, api_key(1))
    stream = sample.reader(PUB)
    await stream.catch_up()
    await stream.take(entries)
    assert await sample.parked() == [("key_00000001", "wrong_audience", "parked")]


async def test_a_failing_bulk_handler_is_asked_one_by_one(sample: Sample) -> None:
    """One bad row in a batch of states parks itself, the others are kept."""
    hears = Hears()

    @hears.newest(members.InstitutionChanged)
    async def keep(messages: list[members.InstitutionMessage], work: Work[SampleStore]) -> None:
        for message in messages:
            if message.picture.slug == "i3-x":
                raise ValueError("no")
            await work.store.keep(message)

    entries = await _entries(sample, *(institution(f"i{n}-x") for n in range(6)), stream=PUB)
    sample.streams = MemoryStreams()
    stream = sample.reader(PUB, hears)
    await stream.catch_up()
    await stream.take(entries)
    assert [key for key, _ in await sample.heard()] == ["i0-x", "i1-x", "i2-x", "i4-x", "i5-x"]
    assert await sample.parked() == [("i3-x", "ValueError", "parked")]


async def test_a_rebuild_reads_the_public_streams_again(sample: Sample) -> None:
    """With cursors and copies gone, a running reader loads snapshot and tail by itself."""
    await _entries(sample, *(institution(f"i{n}-x", 3) for n in range(4)), stream=PUB)
    stream = sample.reader(PUB)
    await stream.catch_up()
    async with sample.database.transaction() as connection:
        await connection.execute(sa.text("DELETE FROM heard"))
        await connection.execute(sa.delete(tables.cursor))
    await stream.catch_up()
    assert sorted(await sample.heard()) == [(f"i{n}-x", 3) for n in range(4)]


def _refuses(sample: Sample, *, key: str, version: int, while_: dict[str, bool] | None = None) -> Hears:
    async def refuse(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        if (message.key_id, message.version) == (key, version) and (while_ is None or while_["on"]):
            raise ValueError("this one is not liked")
        await work.store.keep(message)

    return keeps_all(refuse)


async def _ask_retry(sample: Sample) -> None:
    async with sample.database.transaction() as connection:
        assert await parking.ask_retry(connection) == 1


def _log_of(sample: Sample) -> reader.Backfill:
    async def log(stream: str, after: Position, count: int) -> list[Entry]:
        async with sample.database.reading() as connection:
            return await outbox.log_after(connection, stream, after, count)

    return log


def test_types_that_nobody_listens_to_are_not_remembered() -> None:
    """A stranger may make up as many as there are messages."""
    applier = Applier(PUB, keeps_all())
    for number in range(1, 50):
        unknown = b'{"specversion":"1.0","id":"x","source":"/awo/members","type":"members.made_up%d","a":1}' % number
        applier.open(Entry(Position(1, number), unknown, b""))
    assert applier._kinds == {}
