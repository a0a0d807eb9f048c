"""Epochs: what a restored backup lost comes back from who still holds it, before anything new is published."""

from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shared.kit import epochs, outbox
from shared.kit.epochs import PATIENCE
from shared.kit.errors import Transient
from shared.kit.gaps import contiguous
from shared.kit.memory_streams import MemoryStreams
from shared.kit.numbering import number_waiting
from shared.kit.streams import START, Entry, Position
from shared.kit.tables import outbox as rows
from shared.kit.tables import stream_head
from shared.kit.witness import Head, StreamsWitness
from tests.integration.kit.restoring import Line, names_of, publish, relay_of, restore, restored
from tests.integration.kit.sample import OWN, PUB, Sample, api_key, institution


async def test_a_restored_database_takes_back_what_the_nodes_redis_still_holds(sample: Sample) -> None:
    """Messages of public and own streams come back into the log, then a new epoch begins; readers get each once."""
    reader = sample.reader(PUB)
    await reader.catch_up()
    await sample.tell(*(institution(version=n) for n in range(1, 9)), *(api_key(n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await reader.catch_up()
    await restore(sample, 3)
    await sample.tell(institution(version=9), api_key(9))
    await publish(sample, relay_of(sample))
    assert await names_of(sample.streams) == [*(f"1-{n}" for n in range(1, 9)), "2-1"]  # type: ignore[arg-type]
    assert await names_of(sample.streams, OWN) == [*(f"1-{n}" for n in range(1, 9)), "2-1"]  # type: ignore[arg-type]
    assert sorted(sample.taken_back) == sorted([4, 5, 6, 7, 8] * 2)  # type: ignore[attr-defined]
    await reader.catch_up()
    assert [version for _, version in await sample.heard()] == list(range(1, 10))
    async with sample.database.reading() as connection:
        log = await outbox.log_after(connection, PUB, START, 99)
    assert log == await sample.streams.read(PUB, START, 99)


async def _restored_while_nothing_is_known_of(
    stream: str, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Restore a backup and start while Redis says nothing of one stream; give what is taken back."""
    await sample.tell(*(institution(version=n) for n in range(1, 4)), *(api_key(n) for n in range(11, 14)))
    await publish(sample, relay_of(sample))
    await restore(sample, 1)
    head = StreamsWitness.head

    async def deaf(witness: StreamsWitness, name: str) -> Head | None:
        if name == stream:
            raise Transient("silent")
        return await head(witness, name)

    monkeypatch.setattr(StreamsWitness, "head", deaf)
    relay = relay_of(sample)
    await sample.lease.hold()
    for name in (OWN, PUB):
        with suppress(Transient):
            await relay._is_clear(name)
    return sample.taken_back  # type: ignore[attr-defined, no-any-return]


async def test_what_people_were_told_comes_back_behind_what_everybody_was_told(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People are told of things: which of that nobody else knows is seen once the things' own word is back."""
    assert await _restored_while_nothing_is_known_of(PUB, sample, monkeypatch) == []


async def test_what_everybody_was_told_waits_for_nothing(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the other way round, it comes back."""
    assert await _restored_while_nothing_is_known_of(OWN, sample, monkeypatch) == [2, 3]


class Wiped(Line):
    """A hub that shows one entry too many, and is wiped behind the answer; control: it only seems so."""

    def __init__(self, streams: MemoryStreams, *, wiped: bool) -> None:
        super().__init__(streams)
        self.asked = 0
        self._streams = streams
        self._wiped = wiped

    async def head(self, stream: str) -> Head | None:
        """Give the end with something forged behind it, for as long as it is there."""
        self.asked += 1
        if self.asked > 1 and self._wiped:
            return await super().head(stream)
        self._streams.wipe()
        return Head(Position(1, 4), None)


@pytest.mark.parametrize(("wiped", "epoch"), [(True, 1), (False, 2)])
async def test_a_hub_that_is_wiped_while_it_is_compared_has_no_other_history(
    sample: Sample, wiped: bool, epoch: int
) -> None:
    """What it does not hold any more is no reason to tell everything again in a new epoch."""
    hub = MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    await publish(sample, relay_of(sample))
    relay = relay_of(sample, Wiped(hub, wiped=wiped))
    await sample.lease.hold()
    with suppress(Transient):
        await relay._is_clear(PUB)
    async with sample.database.reading() as connection:
        assert await outbox.epoch_of(connection, PUB) == epoch


async def _restore_unnumbered(sample: Sample) -> None:
    """Bring the database back to the moment between the commit of all messages and the number of the first."""
    async with sample.database.transaction() as connection:
        await connection.execute(sa.update(rows).values(epoch=None, seq=None, hash=None))
        await connection.execute(sa.delete(stream_head))


async def test_what_a_backup_holds_without_its_number_is_not_told_twice(sample: Sample) -> None:
    """It was published before the restore: it comes back with the position it had, and nothing waits any more."""
    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    await publish(sample, relay_of(sample))
    await _restore_unnumbered(sample)
    await publish(sample, relay_of(sample))
    assert await names_of(sample.streams) == ["1-1", "1-2", "1-3"]  # type: ignore[arg-type]


async def test_unless_it_is_dropped_an_old_message_comes_behind_newer_ones(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what waits in the backup is numbered once more, and the newest of a thing is an old one."""

    async def keep(*_: object) -> None:
        return

    monkeypatch.setattr(outbox, "_drop_waiting", keep)
    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    await publish(sample, relay_of(sample))
    await _restore_unnumbered(sample)
    await publish(sample, relay_of(sample))
    assert (await names_of(sample.streams))[3:] == ["2-1", "2-2", "2-3"]  # type: ignore[arg-type]


async def _restore_empty(sample: Sample) -> None:
    async with sample.database.transaction() as connection:
        for table in (rows, stream_head):
            await connection.execute(sa.delete(table))


@pytest.mark.parametrize("named", [True, False])
async def test_a_backup_older_than_a_stream_takes_it_back_by_its_name(sample: Sample, named: bool) -> None:
    """Nothing in such a backup speaks of the stream; the control does not name it, and nothing comes back."""

    async def mine(_: object) -> set[str]:
        return {PUB} if named else set()

    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    await publish(sample, relay_of(sample))
    await _restore_empty(sample)
    await publish(sample, relay_of(sample, mine=mine))
    assert sample.taken_back == ([1, 2, 3] if named else [])  # type: ignore[attr-defined]


async def test_a_restored_node_asks_the_hub_before_its_first_message(sample: Sample) -> None:
    """Database and Redis come from the same old backup: only the hub knows more, and nothing new is told before."""
    hub, node = await restored(sample)
    await sample.tell(institution(version=9))
    await publish(sample, relay_of(sample, Line(hub), node))
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), "2-1"]
    assert (await node.read(PUB, START, 8)) == await hub.read(PUB, START, 8)


async def test_without_asking_the_hub_two_histories_arise(sample: Sample) -> None:
    """The control: the same restored node without a witness writes another message to a position that is taken."""
    hub, node = await restored(sample)
    await sample.tell(institution(version=9))
    await publish(sample, relay_of(sample, None, node))
    [ours], [theirs] = await node.read(PUB, Position(1, 3), 1), await hub.read(PUB, Position(1, 3), 1)
    assert ours.position == theirs.position
    assert ours.hash != theirs.hash


async def test_a_cut_line_holds_a_node_up_for_a_moment_only(sample: Sample) -> None:
    """While the hub is away nothing is told until the patience ends; then the node goes on alone."""
    line = Line(MemoryStreams())
    line.cut = True
    await sample.tell(institution(version=1))
    relay = relay_of(sample, line)
    await publish(sample, relay)
    assert await names_of(sample.streams) == []  # type: ignore[arg-type]
    sample.clock.time += PATIENCE + timedelta(seconds=1)
    await publish(sample, relay)
    assert await names_of(sample.streams) == ["1-1"]  # type: ignore[arg-type]


async def test_what_was_told_alone_is_told_again_behind_the_true_history(sample: Sample) -> None:
    """A restored node went on alone: when the line is back the hub's history stands, and ours follows in an epoch."""
    hub, node = await restored(sample)
    line = Line(hub)
    line.cut = True
    relay = relay_of(sample, line, node)
    await sample.tell(institution(version=9), institution(version=10))
    await publish(sample, relay)
    sample.clock.time += PATIENCE + timedelta(seconds=1)
    await publish(sample, relay)
    assert await names_of(node) == [f"1-{n}" for n in range(1, 6)]
    line.cut = False
    await publish(sample, relay)
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), "2-1", "2-2"]
    assert (await node.read(PUB, START, 8)) == await hub.read(PUB, START, 8)


async def test_all_pages_come_back_before_the_stream_is_forgotten_that_holds_them(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers were given beside a node's Redis, which alone has the true history: none of its pages is lost."""
    monkeypatch.setattr(epochs, "PAGE", 2)
    node = MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample, streams=node))
    await restore(sample, 3)
    await sample.tell(institution(version=9), institution(version=10))
    async with sample.database.transaction() as connection:
        await number_waiting(connection, lambda _: True)
    await publish(sample, relay_of(sample, streams=node))
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), "2-1", "2-2"]


async def _alone_in_an_epoch_of_its_own(sample: Sample) -> MemoryStreams:
    """Restore a node whose Redis knows more than its backup, and the hub more than both; let it go on alone first."""
    hub, node = MemoryStreams(), MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample, streams=hub))
    await node.append(PUB, START, await hub.read(PUB, START, 5), {})
    await restore(sample, 3)
    line = Line(hub)
    line.cut = True
    relay = relay_of(sample, line, node)
    await sample.tell(institution(version=9))
    await publish(sample, relay)
    sample.clock.time += PATIENCE + timedelta(seconds=1)
    await publish(sample, relay)
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 6)), "2-1"]
    line.cut = False
    await publish(sample, relay)
    return node


async def test_what_the_hub_holds_below_an_epoch_that_was_begun_alone_comes_back_too(sample: Sample) -> None:
    """The hub's end stands before ours, but our log went on right past it: what is there was never ours."""
    node = await _alone_in_an_epoch_of_its_own(sample)
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), "3-1"]


async def test_unless_that_is_seen_it_counts_as_trimmed_and_is_lost(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: three messages stay on the hub, and this node never hears of them again."""

    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(outbox, "goes_past", never)
    node = await _alone_in_an_epoch_of_its_own(sample)
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 6)), "2-1"]


async def test_an_end_of_the_hub_that_is_trimmed_here_agrees(sample: Sample) -> None:
    """The neighbours of what was trimmed are none by their hashes: no epoch begins."""
    hub = MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await hub.append(PUB, START, await sample.streams.read(PUB, START, 5), {})
    async with sample.database.transaction() as connection:
        await connection.execute(sa.delete(rows).where(rows.c.stream == PUB, rows.c.seq.in_([4, 5, 6])))
    await sample.tell(institution(version=9))
    await publish(sample, relay_of(sample, Line(hub)))
    assert (await names_of(sample.streams))[8:] == ["1-9"]  # type: ignore[arg-type]


@pytest.mark.parametrize("restored_to", [0, 1, 4, 7])
async def test_a_restart_in_the_middle_of_an_epoch_begins_no_other_one(sample: Sample, restored_to: int) -> None:
    """Once taken back, the next start finds the histories the same."""
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await restore(sample, restored_to)
    if not restored_to:
        async with sample.database.transaction() as connection:
            await connection.execute(sa.delete(stream_head))
        await sample.tell(institution(version=9))
    for _ in range(3):
        await publish(sample, relay_of(sample))
    await sample.tell(institution(version=10))
    await publish(sample, relay_of(sample))
    last = (await names_of(sample.streams))[8:]  # type: ignore[arg-type]
    assert last == (["2-1", "2-2"] if not restored_to else ["2-1"])


async def test_a_reader_does_not_step_over_the_end_of_an_epoch(sample: Sample) -> None:
    """What is missing before a new epoch is seen by the hash, and comes from the writer's log."""
    reader = sample.reader(PUB)
    await reader.catch_up()
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await restore(sample, 3)
    await sample.tell(institution(version=9))
    await publish(sample, relay_of(sample))
    entries = await sample.streams.read(PUB, START, 99)
    await reader.take(entries[:6])
    await sample.streams.trim(PUB, Position(2, 1))

    async def log_of_the_writer(stream: str, after: Position, count: int) -> list[Entry]:
        async with sample.database.reading() as connection:
            return await outbox.log_after(connection, stream, after, count)

    again = sample.reader(PUB, backfill=log_of_the_writer)
    await again.take(entries[8:])
    assert [version for _, version in await sample.heard()] == list(range(1, 10))


async def test_without_the_hash_the_end_of_an_epoch_is_lost(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: positions alone say that 2-1 may follow 1-6."""
    monkeypatch.setattr("shared.kit.gaps.chain", lambda *_: b"same")
    assert Position(2, 1).follows(Position(1, 6))
    jumped = contiguous(PUB, Position(1, 6), b"", [Entry(Position(2, 1), b"", b"same")])
    assert [entry.position for entry in jumped] == [Position(2, 1)]
