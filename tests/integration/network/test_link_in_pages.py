"""What the link and `album network verify` hold at once has an end in bytes, and half of a new beginning is none."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shared.kit.errors import Transient
from shared.kit.memory_streams import MemoryStreams
from shared.kit.paging import PAGE_BYTES, PageSize
from shared.kit.streams import Entry, Position
from shared.network.border import PUB_BYTES
from shared.network.entries import SignedEntry, from_state_value, state_value
from shared.network.hub.streams import HubStreams
from shared.network.link.rows import NOTHING_SENT, Sent, Up
from shared.network.link.signed import SignedStore
from shared.network.signing import sign_entry
from shared.network.verifying import verify_stream
from tests.integration.network.link_world import AWO, PUB, VHS, NodeOfTest, World, memory_world, tampered
from tests.unit.network.network_sample import event, identity, written

COUNT = 60


class Weighing(MemoryStreams):
    """Streams inside that note how many bytes of a state go out at once, and fail after some answers."""

    most = 0
    left = 99

    async def state(self, stream: str) -> dict[str, Entry]:
        """Weigh the whole state."""
        return self._weighed(await super().state(stream))

    async def state_of(self, stream: str, keys: list[str]) -> dict[str, Entry]:
        """Weigh a part of the state."""
        self.left -= 1
        if self.left < 0:
            raise Transient("killed")
        return self._weighed(await super().state_of(stream, keys))

    def _weighed(self, state: dict[str, Entry]) -> dict[str, Entry]:
        self.most = max(self.most, sum(len(entry.payload) for entry in state.values()))
        return state


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Give two nodes in memory whose streams are weighed."""
    async with memory_world(tmp_path) as made:
        made.new_streams = lambda _: Weighing()
        for slug in (AWO, VHS):
            await made.node(slug)
        yield made


def _thing(number: int, size: int = 100) -> bytes:
    return event(f"/{AWO}/members", f"thing-{number:03}", "members.institution.changed.v1", text="x" * size)


async def _trimmed_inside(awo: NodeOfTest, size: int = PUB_BYTES - 1000) -> None:
    """Have a node say much before its link ever spoke, and trim all but the last two entries."""
    await awo.put(PUB, *(_thing(number, size) for number in range(1, COUNT + 1)))
    await awo.local.trim(PUB, Position(1, COUNT - 1))


async def _begin(world: World) -> None:
    awo = world.nodes[AWO]
    await awo.send()
    world.later(seconds=31)
    await awo.send()


def _weigh_rows(node: NodeOfTest) -> list[int]:
    """Note how many bytes are kept at once."""
    weights: list[int] = []

    def note(_c: Any, _s: Any, words: str, given: Any, _x: Any, many: bool) -> None:
        if words.startswith("INSERT INTO link_signed"):
            rows = given if many else [given]
            weights.append(sum(len(value) for row in rows for value in row if isinstance(value, bytes | memoryview)))

    sa.event.listen(node.database._writing.sync_engine, "before_cursor_execute", note)
    return weights


async def test_a_stream_that_is_trimmed_inside_begins_anew_in_small_pages(world: World) -> None:
    """The newest of each key and the end reach the hub whole, and never more than a page is in one hand."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await _trimmed_inside(awo)
    weights = _weigh_rows(awo)
    await _begin(world)
    assert 0 < awo.local.most <= PAGE_BYTES  # type: ignore[attr-defined] # streams that weigh
    assert 0 < max(weights) <= 1.1 * PAGE_BYTES
    assert [entry.position.seq for entry in await world.on_hub()] == [COUNT - 1, COUNT]
    await vhs.take()
    assert len(await _payloads(vhs)) == COUNT
    assert await _payloads(vhs) == await _payloads(awo)


async def _payloads(node: NodeOfTest) -> dict[str, bytes]:
    return {key: entry.payload for key, entry in (await node.local.state(PUB)).items()}


def _no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed(pages: PageSize, most: int, _: int = PAGE_BYTES) -> None:
        pages.count = most

    monkeypatch.setattr(PageSize, "__init__", fixed)
    monkeypatch.setattr(PageSize, "saw", lambda *_: None)


async def test_without_the_bound_the_whole_state_is_in_one_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: pages of a fixed number."""
    _no_bound(monkeypatch)
    await _trimmed_inside(world.nodes[AWO])
    await _begin(world)
    assert world.nodes[AWO].local.most > 2 * PAGE_BYTES  # type: ignore[attr-defined] # as above


async def _killed_between_two_pages(world: World) -> None:
    """Begin anew, be killed behind the first page; then the stream inside is refilled, and the gap is none."""
    awo = world.nodes[AWO]
    whole = [_thing(number, 100) for number in (1, *range(1, COUNT + 1))]
    await awo.put(PUB, whole[0])  # it is told twice: of the first time nothing is left in the state
    await _trimmed_inside(awo, size=100)
    await awo.send()
    world.later(seconds=31)
    awo.local.left = 1  # type: ignore[attr-defined] # as above
    with pytest.raises(Transient, match="killed"):
        await awo.send()
    awo.local.left = 99  # type: ignore[attr-defined] # as above
    awo.local.wipe()  # type: ignore[attr-defined] # as above
    awo.hashes.clear()
    await awo.put(PUB, *whole)
    await awo.restart_link()
    await awo.send()
    await world.nodes[VHS].take()


async def test_a_beginning_that_was_broken_off_leaves_nothing(world: World) -> None:
    """It is one transaction: when its relay has refilled the stream, every entry goes to the hub in one chain."""
    await _killed_between_two_pages(world)
    assert [entry.position.seq for entry in await world.on_hub()] == list(range(1, COUNT + 2))
    assert len(await world.nodes[VHS].here()) == COUNT + 1
    assert (await world.nodes[AWO].link.store.ups())[PUB].position == Position(1, COUNT + 1)


async def test_a_beginning_in_several_transactions_would_break_the_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what the first page left behind stands in the way of the same entries with their true hash."""

    async def one_by_one(
        store: SignedStore,
        stream: str,
        pages: AsyncIterator[list[Sent]],
        reached: Callable[[Sent | None], Up],
        now: datetime,
    ) -> Up:
        async for page in pages:
            await store.keep_signed(stream, page, NOTHING_SENT, now)
        raise AssertionError("it is killed before")

    monkeypatch.setattr(SignedStore, "keep_signed_pages", one_by_one)
    await _killed_between_two_pages(world)
    # The first page reaches the hub as it was sent. Once the hub is lost it is filled with what was kept: two chains.
    world.hub.wipe()
    await world.nodes[AWO].restart_link()
    await world.nodes[AWO].send()
    row = await verify_stream(world.roster, world.as_user(VHS), PUB, world.clock.now())
    assert "wrong_previous" in row["fault"]


async def test_a_key_that_moves_on_meanwhile_is_sent_from_where_it_stands(world: World) -> None:
    """Its relay goes on while the pages are signed: nothing is sent twice, nothing is left out."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await _trimmed_inside(awo, size=100)
    index = awo.local.state_index

    async def moved_on(stream: str) -> dict[str, Entry]:
        found = await index(stream)
        await awo.put(PUB, _thing(3, 50))
        return found

    awo.local.state_index = moved_on  # type: ignore[method-assign] # the relay's message in the worst moment
    await _begin(world)
    assert [entry.position.seq for entry in await world.on_hub()] == [COUNT - 1, COUNT, COUNT + 1]
    await vhs.take()
    assert await _payloads(vhs) == await _payloads(awo)


class WeighingHub:
    """A hub that notes how many bytes it gives at once."""

    def __init__(self, hub: HubStreams) -> None:
        self._hub = hub
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    async def read(self, stream: str, after: Position, count: int) -> list[SignedEntry]:
        """Weigh what is read."""
        page = await self._hub.read(stream, after, count)
        self.most = max(self.most, sum(len(entry.payload) for entry in page))
        return page

    async def state(self, stream: str) -> dict[str, SignedEntry]:
        """Refuse the whole state at once."""
        raise AssertionError("the whole state was asked for")


async def _large_on_hub(world: World) -> WeighingHub:
    awo = world.nodes[AWO]
    await awo.put(PUB, *(_thing(number, PUB_BYTES - 1000) for number in range(1, COUNT + 1)))
    await awo.send()
    await awo.link.check()
    return WeighingHub(world.as_user(VHS))


async def test_a_stream_is_verified_in_small_pages(world: World) -> None:
    """Its entries and its state are looked at whole, and never more than a page of them is in one hand."""
    hub = await _large_on_hub(world)
    row = await verify_stream(world.roster, hub, PUB, world.clock.now())
    assert row == {"stream": PUB, "entries": COUNT, "things": COUNT, "fault": ""}
    assert 0 < hub.most <= PAGE_BYTES


async def test_verified_without_the_bound_a_stream_is_in_one_hand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: pages of a fixed number."""
    _no_bound(monkeypatch)
    hub = await _large_on_hub(world)
    await verify_stream(world.roster, hub, PUB, world.clock.now())
    assert hub.most > 2 * PAGE_BYTES


@pytest.mark.parametrize("number", [1, COUNT])
async def test_what_is_wrong_on_any_page_is_found(world: World, number: int) -> None:
    """An entry, a thing of the state, and one that is withheld there: each is said."""
    awo, now = world.nodes[AWO], world.clock.now()
    await awo.put(PUB, *(_thing(one) for one in range(1, COUNT + 1)))
    await awo.send()
    await awo.link.check()
    state, entries = world.hub.states[PUB], world.hub.entries[PUB]
    key = f"thing-{number:03}"
    kept = state.pop(key)
    row = await verify_stream(world.roster, world.as_user(VHS), PUB, now)
    assert "something is withheld" in row["fault"]
    state[key] = state_value(tampered(from_state_value(kept)))
    row = await verify_stream(world.roster, world.as_user(VHS), PUB, now)
    assert (row["things"] > 0, row["fault"].split(":")[0]) == (True, f"state '{key}'")
    state[key] = kept
    entries[number - 1] = tampered(entries[number - 1])
    row = await verify_stream(world.roster, world.as_user(VHS), PUB, now)
    assert (row["entries"], row["fault"].split(":")[0]) == (number - 1, f"1-{number}")


async def test_a_new_epoch_behind_more_than_a_page_of_refused_entries_is_found(world: World) -> None:
    """Its writer went on behind what nobody may take: the border sees where, though that is pages away."""
    who = identity(AWO)
    first = written(who, PUB, 1, source=f"/{AWO}/members")
    wrong = written(who, PUB, 40, after=first[-1], source=f"/{AWO}/courses")
    payload = event(f"/{AWO}/members", "run_2", version=2)
    again = sign_entry(who, PUB, Position(2, 1), wrong[-1].hash(PUB), payload)
    world.hub.entries[PUB] = [*first, *wrong, again]
    row = await verify_stream(world.roster, world.as_user(VHS), PUB, world.clock.now())
    assert (row["entries"], row["fault"]) == (2, "")
    world.hub.entries[PUB] = [*first, *wrong]
    row = await verify_stream(world.roster, world.as_user(VHS), PUB, world.clock.now())
    assert (row["entries"], "wrong_source" in row["fault"]) == (1, True)
