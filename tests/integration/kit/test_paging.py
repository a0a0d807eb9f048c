"""Pages have an end in bytes: messages of 64 KiB must not become pages of thirty megabytes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.envelope import MAX_BYTES, encode
from shared.kit import numbering, outbox, tables
from shared.kit.memory_streams import MemoryStreams
from shared.kit.paging import PAGE_BYTES, PageSize
from shared.kit.streams import GENESIS, START, Entry, Position, chain
from shared.kit.subscriptions import _Paged
from tests.integration.kit.sample import PUB, Sample, institution

COUNT = 200


class Weighed(MemoryStreams):
    """Streams that note how many bytes go through their hands at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def weigh(self, entries: list[Entry]) -> None:
        """Note the size of a page."""
        self.most = max(self.most, sum(len(entry.payload) for entry in entries))

    async def append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        """Weigh what is written."""
        self.weigh(entries)
        return await super().append(stream, after, entries, state)

    async def keep_state(self, stream: str, state: dict[str, Entry]) -> None:
        """Weigh what is put into the state."""
        self.weigh(list(state.values()))
        await super().keep_state(stream, state)

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Weigh what is read."""
        page = await super().read(stream, after, count)
        self.weigh(page)
        return page

    async def state(self, stream: str) -> dict[str, Entry]:
        """Weigh the whole state."""
        state = await super().state(stream)
        self.weigh(list(state.values()))
        return state

    async def state_of(self, stream: str, keys: list[str]) -> dict[str, Entry]:
        """Weigh a part of the state."""
        state = await super().state_of(stream, keys)
        self.weigh(list(state.values()))
        return state


@pytest.fixture
def weighed(sample: Sample) -> Weighed:
    """Give streams that weigh, to the sample, too."""
    sample.streams = streams = Weighed()
    return streams


def _large(number: int) -> bytes:
    payload = encode(institution(f"i{number}-x"), id=f"msg_{number}", time=datetime(2026, 11, 22, tzinfo=UTC))
    return payload + b" " * (MAX_BYTES - len(payload))


def _filled(streams: MemoryStreams) -> None:
    """Fill a public stream and its state with messages as large as they may be, each of another thing."""
    entries: list[Entry] = []
    hash_ = GENESIS
    for number in range(COUNT):
        position, payload = Position(1, number + 1), _large(number)
        hash_ = chain(hash_, PUB, position, payload)
        entries.append(Entry(position, payload, hash_))
    streams._entries[PUB] = entries
    streams._ends[PUB] = entries[-1].position
    streams._state[PUB] = {f"i{number}-x": entry for number, entry in enumerate(entries)}


async def _tell_large(sample: Sample) -> None:
    await sample.tell(*(institution(f"i{number}-x") for number in range(COUNT)))
    async with sample.database.transaction() as connection:
        for number in range(COUNT):
            its = tables.outbox.c.key == f"i{number}-x"
            await connection.execute(sa.update(tables.outbox).where(its).values(payload=_large(number)))


async def _publish(sample: Sample) -> None:
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass


async def test_a_relay_publishes_large_messages_in_small_pages_and_all_of_them(
    sample: Sample, weighed: Weighed
) -> None:
    """Two hundred messages of 64 KiB are thirteen megabytes, and never more than a tenth of them is in one hand."""
    await _tell_large(sample)
    await _publish(sample)
    assert 0 < weighed.most <= PAGE_BYTES
    assert await weighed.heads([PUB]) == [Position(1, COUNT)]


async def test_a_relay_that_only_counts_takes_all_of_them_at_once(
    sample: Sample, weighed: Weighed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the bound one page holds what waits."""
    counted = numbering._ROWS.where(numbering._HELD).limit(numbering.PAGE)
    monkeypatch.setattr(numbering, "_WAITING_FOR_THE_HOLDER", counted)
    await _tell_large(sample)
    await _publish(sample)
    assert weighed.most > 2 * PAGE_BYTES


async def test_a_wiped_redis_is_refilled_in_small_pages(sample: Sample, weighed: Weighed) -> None:
    """The log and the state come back whole, and no page of either is too large."""
    await _tell_large(sample)
    await _publish(sample)
    weighed.wipe()
    weighed.most = 0
    await _publish(sample)
    assert 0 < weighed.most <= PAGE_BYTES
    async with sample.database.reading() as connection:
        pages = [page async for page in _log(connection)]
    assert [entry for page in pages for entry in page] == weighed._entries[PUB]
    assert {entry.position: entry for entry in weighed._state[PUB].values()} == {
        entry.position: entry for entry in weighed._entries[PUB]
    }
    assert max(sum(len(entry.payload) for entry in page) for page in pages) <= PAGE_BYTES


async def _log(connection: AsyncConnection) -> AsyncIterator[list[Entry]]:
    after = START
    while page := await outbox.log_after(connection, PUB, after):
        yield page
        after = page[-1].position


@pytest.mark.parametrize("begun", [True, False], ids=["tail", "snapshot"])
async def test_a_reader_takes_large_messages_in_small_pages_and_all_of_them(
    sample: Sample, weighed: Weighed, begun: bool
) -> None:
    """Neither what stands behind its cursor nor the state that a late joiner loads is in one hand."""
    await _fill_and_read(sample, weighed, begun=begun)
    assert 0 < weighed.most <= PAGE_BYTES


@pytest.mark.parametrize("begun", [True, False], ids=["tail", "snapshot"])
async def test_a_reader_that_only_counts_takes_too_much(
    sample: Sample, weighed: Weighed, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with pages of a fixed number the same messages come at once."""

    def fixed(pages: PageSize, most: int, _: int = PAGE_BYTES) -> None:
        pages.count = most

    monkeypatch.setattr(PageSize, "__init__", fixed)
    monkeypatch.setattr(PageSize, "saw", lambda *_: None)
    await _fill_and_read(sample, weighed, begun=begun)
    assert weighed.most > 2 * PAGE_BYTES


async def _fill_and_read(sample: Sample, streams: Weighed, *, begun: bool) -> None:
    if begun:
        async with sample.database.transaction() as connection:
            await connection.execute(sa.insert(tables.cursor).values(stream=PUB, epoch=0, seq=0))
    _filled(streams)
    await sample.reader(PUB).catch_up()
    assert [key for key, _ in await sample.heard()] == [f"i{number}-x" for number in range(COUNT)]


def test_a_page_follows_the_size_of_messages_and_grows_again() -> None:
    """It begins with what fits in any case, doubles while pages are full, and falls at once when they are large."""
    pages, sure = PageSize(1000), PAGE_BYTES // MAX_BYTES
    asked = [pages.count]
    for _ in range(7):
        pages.saw(_entries(pages.count, 1400))
        asked.append(pages.count)
    assert asked == [sure, 2 * sure, 4 * sure, 8 * sure, 16 * sure, 32 * sure, 1000, 1000]
    pages.saw([*_entries(900, 1400), *_entries(100, MAX_BYTES)])
    assert sure < pages.count < 10 * sure
    pages.saw(_entries(50, MAX_BYTES))
    assert pages.count == sure
    for few in (_entries(3, 10), []):
        pages.saw(few)
        assert pages.count == sure


def _entries(count: int, size: int) -> list[Entry]:
    return [Entry(Position(1, 1 + number), bytes(size), b"") for number in range(count)]


def test_faststream_asks_for_as_many_as_the_reader_has_learnt() -> None:
    """FastStream reads with a copy of what it was given: what the reader sees must reach that copy."""
    pages = PageSize(1000)
    copy = _Paged("album", "1-7", pages).add_prefix("x:")
    pages.saw(_entries(pages.count, 100))
    assert (copy.name, copy.last_id, copy.max_records) == ("x:album", "1-7", 2 * (PAGE_BYTES // MAX_BYTES))
