"""What a restored backup lost comes back page by page, and what a start leaves in between is taken on by the next."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.envelope import MAX_BYTES, encode
from shared.kit import epochs, outbox
from shared.kit.epochs import PATIENCE, NotOurs
from shared.kit.errors import Transient
from shared.kit.memory_streams import MemoryStreams
from shared.kit.paging import PAGE_BYTES, PageSize
from shared.kit.relay import Relay
from shared.kit.streams import GENESIS, START, Entry, Position, chain
from shared.kit.tables import outbox as rows
from tests.integration.kit.restoring import Line, names_of, publish, relay_of, restore, restored
from tests.integration.kit.sample import PUB, Sample, institution

LARGE = 60


class Weighing(Line):
    """A line that notes how many bytes came at once."""

    most = 0

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Weigh what is read."""
        page = await super().read(stream, after, count)
        self.most = max(self.most, _weight(page))
        return page


class Breaking(Line):
    """A line that breaks after some answers about more than one entry."""

    left = 99

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Answer as long as the line holds."""
        if count > 1:
            self.left -= 1
            if self.left < 0:
                raise Transient("the line is cut")
        return await super().read(stream, after, count)


def _weight(entries: Sequence[Entry]) -> int:
    return sum(len(entry.payload) for entry in entries)


async def _large_hub() -> MemoryStreams:
    """Give a hub with messages as large as they may be, each of another thing."""
    entries: list[Entry] = []
    hash_ = GENESIS
    for number in range(1, LARGE + 1):
        told = encode(institution(f"i{number}-x"), id=f"msg_{number}", time=datetime(2026, 11, 22, tzinfo=UTC))
        payload = told + b" " * (MAX_BYTES - len(told))
        hash_ = chain(hash_, PUB, Position(1, number), payload)
        entries.append(Entry(Position(1, number), payload, hash_))
    hub = MemoryStreams()
    await hub.append(PUB, START, entries, {})
    return hub


async def _take_large_back(sample: Sample) -> tuple[int, int]:
    """Restore an empty backup beside that hub; give the most bytes that came at once, and that were kept at once."""
    line, kept = Weighing(await _large_hub()), [0]

    async def recover(_: AsyncConnection, entries: list[Entry]) -> None:
        kept.append(_weight(entries))

    async def mine(_: AsyncConnection) -> set[str]:
        return {PUB}

    await publish(sample, relay_of(sample, line, mine=mine, recover=recover))
    assert len(await names_of(sample.streams)) == LARGE  # type: ignore[arg-type] # streams in memory
    return line.most, max(kept)


async def test_large_messages_come_back_in_small_pages_and_all_of_them(sample: Sample) -> None:
    """Neither what the hub is asked for nor what is kept and recovered at once is more than a page."""
    asked, kept = await _take_large_back(sample)
    assert 0 < asked <= PAGE_BYTES
    assert 0 < kept <= PAGE_BYTES


async def test_without_the_bound_all_of_them_are_in_one_hand(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: pages of a fixed number hold the whole stream."""

    def fixed(pages: PageSize, most: int, _: int = PAGE_BYTES) -> None:
        pages.count = most

    monkeypatch.setattr(PageSize, "__init__", fixed)
    monkeypatch.setattr(PageSize, "saw", lambda *_: None)
    assert await _take_large_back(sample) == (LARGE * MAX_BYTES, LARGE * MAX_BYTES)


@pytest.mark.parametrize("answers", range(4, 8), ids="{} answers".format)
async def test_a_start_that_ends_between_two_pages_is_taken_on_by_the_next(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """Three pages are looked through, then taken: whichever the line breaks behind, each message comes back once."""
    monkeypatch.setattr(epochs, "PAGE", 2)
    hub, node, line = await _restored_beside_a_hub(sample)
    line.left = answers
    back: list[int] = []

    async def recover(_: AsyncConnection, entries: list[Entry]) -> None:
        back.extend(entry.position.seq for entry in entries)

    if answers < 6:
        with pytest.raises(Transient, match="cut"):
            await publish(sample, relay_of(sample, line, node, recover=recover))
        assert back == [4, 5, 6, 7, 8][: 2 * (answers - 3)]
        assert await _log_of(sample) == [f"1-{n}" for n in range(1, 4 + len(back))]
    line.left = 99
    await publish(sample, relay_of(sample, line, node, recover=recover))
    assert back == [4, 5, 6, 7, 8]
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), "2-1"]
    assert await node.read(PUB, START, 8) == await hub.read(PUB, START, 8)


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_a_page_is_kept_with_what_it_means_or_not_at_all(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """A start that is killed while it recovers a page keeps the pages before it, and nothing of this one."""
    monkeypatch.setattr(epochs, "PAGE", 2)
    _, node, line = await _restored_beside_a_hub(sample)
    pages: list[list[int]] = []

    async def killed(_: AsyncConnection, entries: list[Entry]) -> None:
        pages.append([entry.position.seq for entry in entries])
        if len(pages) == page:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await publish(sample, relay_of(sample, line, node, recover=killed))
    assert await _log_of(sample) == [f"1-{n}" for n in range(1, 2 * page + 2)]
    await publish(sample, relay_of(sample, line, node, recover=killed))
    assert pages == [*[[4, 5], [6, 7], [8]][:page], *[[4, 5], [6, 7], [8]][page - 1 :]]
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), "2-1"]


async def _restored_beside_a_hub(sample: Sample) -> tuple[MemoryStreams, MemoryStreams, Breaking]:
    """Give a hub with eight messages, a node whose backup has three of them, and the line between; one more waits."""
    hub, node = await restored(sample)
    await sample.tell(institution(version=9))
    return hub, node, Breaking(hub)


async def _log_of(sample: Sample) -> list[str]:
    async with sample.database.reading() as connection:
        return [str(entry.position) for entry in await outbox.log_after(connection, PUB, START, 99)]


async def test_a_stranger_behind_good_pages_is_found_before_the_first_is_taken(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is looked through first: what does not continue our log leaves the database as the backup was."""
    monkeypatch.setattr(epochs, "PAGE", 2)
    hub, node, line = await _restored_beside_a_hub(sample)
    hub._entries[PUB][7] = hub._entries[PUB][7]._replace(hash=b"s" * 32)
    relay = relay_of(sample, line, node)
    await publish(sample, relay)
    assert "two writers?" in relay.stopped[PUB]
    relay._epochs._taking.add(PUB)
    assert not relay._epochs.is_taking, "it is compared again and again: nobody waits for that"
    assert await _log_of(sample) == ["1-1", "1-2", "1-3"]
    assert await names_of(node) == ["1-1", "1-2", "1-3"]


async def test_without_looking_through_first_the_good_pages_are_taken(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: taken as they come, four messages are in the log when the stranger is found."""
    monkeypatch.setattr(epochs, "PAGE", 2)
    hub, node, line = await _restored_beside_a_hub(sample)
    hub._entries[PUB][7] = hub._entries[PUB][7]._replace(hash=b"s" * 32)
    relay = relay_of(sample, line, node)
    assert await sample.lease.hold()
    head = await line.head(PUB)
    assert head is not None
    with pytest.raises(NotOurs):
        await relay._epochs._take_all_back(PUB, line, Position(1, 3), head, Position(1, 3))
    assert await _log_of(sample) == [f"1-{n}" for n in range(1, 8)]


async def _two_histories(sample: Sample) -> tuple[MemoryStreams, list[str]]:
    """Let a node that was restored twice go on alone in epoch 2; break the line while the hub's history comes back.

    Gives what the node's Redis ends with once the line is healed, and the places that two messages were ever given.
    """
    hub, node = MemoryStreams(), MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample, streams=hub))
    await node.append(PUB, START, await hub.read(PUB, START, 3), {})
    line = Breaking(hub)
    line.cut = True
    await restore(sample, 3)
    await sample.tell(*(institution(version=n) for n in range(11, 17)))
    await _publish_alone(sample, relay_of(sample, line, node))
    await restore(sample, 8)
    await sample.tell(institution(version=17), institution(version=18))
    relay = relay_of(sample, line, node)
    await _publish_alone(sample, relay)
    assert (await names_of(node))[8:] == ["1-9", "2-1", "2-2"]
    given: dict[Position, set[bytes]] = defaultdict(set)
    _note(given, await node.read(PUB, START, 99))
    line.cut, line.left = False, 4
    with pytest.raises(Transient, match="cut"):
        await relay.check()
    line.left = 99
    await publish(sample, relay_of(sample, line, node))
    _note(given, await node.read(PUB, START, 99))
    return node, [str(place) for place, hashes in given.items() if len(hashes) > 1]


async def _publish_alone(sample: Sample, relay: Relay) -> None:
    await publish(sample, relay)
    sample.clock.time += PATIENCE + timedelta(seconds=1)
    await publish(sample, relay)


def _note(given: dict[Position, set[bytes]], entries: list[Entry]) -> None:
    for entry in entries:
        given[entry.position].add(entry.hash)


async def test_no_number_is_given_twice_though_the_way_back_was_broken_off(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page ended epoch 2, in which the node had spoken alone: the next start goes on in 3, not in 2 again."""
    monkeypatch.setattr(epochs, "PAGE", 2)
    node, twice = await _two_histories(sample)
    assert await names_of(node) == [*(f"1-{n}" for n in range(1, 9)), *(f"3-{n}" for n in range(1, 9))]
    assert [place for place in twice if place[0] != "1"] == []


async def test_unless_the_epoch_that_was_begun_counts_its_numbers_are_given_twice(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: by the positions of the log alone the next start begins epoch 2 a second time."""
    monkeypatch.setattr(epochs, "PAGE", 2)

    async def forgotten(*_: object) -> int:
        return 0

    monkeypatch.setattr(outbox, "epoch_of", forgotten)
    _, twice = await _two_histories(sample)
    assert [place for place in twice if place[0] != "1"] == ["2-1", "2-2"]


async def test_what_waits_is_compared_by_the_database(sample: Sample) -> None:
    """Nothing of it is fetched: all that a node told while its line was cut may wait there."""
    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    statements: list[str] = []
    sa.event.listen(
        sample.database._writing.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )
    async with sample.database.transaction() as connection:
        one = (await connection.execute(sa.select(rows.c.payload).order_by(rows.c.id))).scalars().first()
        statements.clear()
        await outbox.keep_lost(connection, PUB, [Entry(Position(1, 1), one or b"", GENESIS)], sample.clock.now())
    assert [words.split()[0] for words in statements] == ["DELETE", "INSERT"]
    assert await _log_of(sample) == ["1-1"]
