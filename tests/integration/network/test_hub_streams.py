"""The hub in memory and on Redis with the generated access rules: one suite, run on both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.kit.streams import START, Position
from shared.network.entries import SignedBeat, SignedEntry
from shared.network.hub.hub import HubFolder
from shared.network.hub.in_memory import MemoryHub
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.hub.streams import HubAway, HubRefuses, HubStreams
from shared.network.names import ROSTER, box_stream, pub_stream
from shared.network.office.desk import RedisCounter, RedisDesk
from tests.unit.network.network_sample import AWO, KARGAH, VHS

PUB = pub_stream(AWO, "members")
BOX = box_stream(VHS, AWO)
Users = Callable[[str], HubStreams]


class Hubs:
    """A hub of either kind."""

    def __init__(self, as_user: Users, put_roster: Any) -> None:
        self.as_user = as_user
        self._put_roster = put_roster

    async def put_roster(self, version: int, document: bytes, signatures: bytes) -> None:
        """Publish a roster, as the office does."""
        done = self._put_roster(version, document, signatures)
        if done is not None:
            await done


@pytest.fixture(params=["memory", "redis"])
async def hubs(request: pytest.FixtureRequest) -> AsyncIterator[Hubs]:
    """Give a hub of each kind, empty."""
    if request.param == "memory":
        hub = MemoryHub()
        yield Hubs(hub.as_user, hub.put_roster)
        return
    server = request.getfixturevalue("hub_server")
    yield Hubs(server.as_user, server.put_roster)
    await server.close()


def _entries(first: int, last: int, epoch: int = 1) -> list[SignedEntry]:
    return [
        SignedEntry(Position(epoch, n), f"ü {n}\n".encode() + b"\x00 ", "ab" * 8, bytes([n]) * 32, bytes([n]) * 64)
        for n in range(first, last + 1)
    ]


async def test_signed_entries_come_back_as_they_were(hubs: Hubs) -> None:
    """Positions, bytes, keys, hashes and signatures are exact, to the writer and to others."""
    hub = hubs.as_user(AWO)
    assert await hub.append(PUB, START, _entries(1, 5), {}) == Position(1, 5)
    assert await hubs.as_user(VHS).read(PUB, START, 3) == _entries(1, 3)
    assert await hubs.as_user(VHS).read(PUB, Position(1, 3), 9) == _entries(4, 5)
    assert await hub.heads([PUB, pub_stream(AWO, "events")]) == [Position(1, 5), START]
    assert await hub.heads([]) == []


async def test_a_stream_of_the_hub_that_ends_elsewhere_takes_nothing(hubs: Hubs) -> None:
    """Neither entries nor states are kept where the end is not what the writer believes."""
    hub = hubs.as_user(AWO)
    await hub.append(PUB, START, _entries(1, 2), {})
    assert await hub.append(PUB, START, _entries(1, 2), {"a": _entries(1, 1)[0]}) is None
    assert await hub.append(PUB, Position(1, 3), _entries(4, 4), {}) is None
    assert (await hub.read(PUB, START, 9), await hub.state(PUB), await hub.state_size(PUB)) == (_entries(1, 2), {}, 0)
    assert await hub.append(PUB, Position(1, 2), _entries(1, 1, epoch=2), {}) == Position(2, 1)


async def test_many_streams_are_read_at_once_from_their_own_places(hubs: Hubs) -> None:
    """Only those with something new are named; nothing new is an empty answer, with and without waiting."""
    await hubs.as_user(AWO).append(PUB, START, _entries(1, 5), {})
    await hubs.as_user(AWO).append(BOX, START, _entries(1, 1), {})
    await hubs.put_roster(1, b"{}", b"[]")
    hub = hubs.as_user(VHS)
    other = pub_stream(KARGAH, "events")
    found = await hub.read_many({PUB: Position(1, 1), BOX: START, other: START, ROSTER: Position(1, 0)}, 2, 1000)
    assert (found[PUB], found[BOX]) == (_entries(2, 3), _entries(1, 1))
    assert found[ROSTER][-1].position == Position(1, 1)
    assert other not in found
    assert await hub.read_many({PUB: Position(1, 5), ROSTER: Position(1, 1)}, 2, 0) == {}
    assert await hub.read_many({PUB: Position(1, 5)}, 2, 20) == {}


async def test_state_and_heartbeat_are_the_newest(hubs: Hubs) -> None:
    """They are kept with the entries, or set again."""
    hub = hubs.as_user(AWO)
    one, two, three = _entries(1, 3)
    await hub.append(PUB, START, [one, two], {"a": one, "b": two})
    await hub.append(PUB, Position(1, 2), [three], {"ä": three})
    await hub.keep_state(PUB, {"a": three})
    await hub.keep_state(PUB, {})
    assert await hubs.as_user(VHS).state(PUB) == {"a": three, "b": two, "ä": three}
    assert await hubs.as_user(VHS).state_size(PUB) == 3
    assert await hub.heartbeat(PUB) is None
    await hub.beat(PUB, SignedBeat(b"{}", "cd" * 8, bytes(64)))
    await hub.beat(PUB, SignedBeat(b"{ }", "ab" * 8, bytes(64)))
    assert await hubs.as_user(VHS).heartbeat(PUB) == SignedBeat(b"{ }", "ab" * 8, bytes(64))


async def test_a_state_never_goes_back(hubs: Hubs) -> None:
    """What a cut-off copy of a link sends late is left out where newer is there, and kept where nothing is."""
    hub = hubs.as_user(AWO)
    one, two, three = _entries(1, 3)
    await hub.append(PUB, START, [one, two, three], {"a": three})
    await hub.keep_state(PUB, {"a": one, "b": two})
    assert await hub.state(PUB) == {"a": three, "b": two}


async def test_of_many_copies_that_set_a_state_at_once_the_newest_entry_stays(hubs: Hubs) -> None:
    """Whoever looked before another wrote looks again; whoever never comes to an end says so and changed nothing."""
    entries = _entries(1, 12)
    found = await asyncio.gather(
        *(hubs.as_user(AWO).keep_state(PUB, {"a": one}) for one in entries), return_exceptions=True
    )
    kept = [one for one, fault in zip(entries, found, strict=True) if fault is None]
    assert {type(fault) for fault in found if fault} <= {HubAway}
    assert await hubs.as_user(AWO).state(PUB) == {"a": kept[-1]}


async def test_a_large_state_comes_in_pages(hubs: Hubs) -> None:
    """All keys are there; no page has all of them."""
    hub = hubs.as_user(AWO)
    [entry] = _entries(1, 1)
    await hub.keep_state(PUB, {f"run_{n:05d}": entry for n in range(1500)})
    pages = [page async for page in hubs.as_user(VHS).state_pages(PUB)]
    assert len({key for page in pages for key in page}) == 1500
    assert max(len(page) for page in pages) < 1000


async def test_trimmed_and_removed_entries_are_gone_and_the_end_stays(hubs: Hubs) -> None:
    """The next entry still has to follow the last one."""
    hub = hubs.as_user(AWO)
    await hub.append(BOX, START, _entries(1, 4), {})
    await hub.trim(BOX, Position(1, 2))
    await hub.remove(BOX, [Position(1, 3), Position(1, 9)])
    await hub.remove(BOX, [])
    assert [entry.position.seq for entry in await hubs.as_user(VHS).read(BOX, START, 9)] == [2, 4]
    await hub.trim(BOX, Position(1, 5))
    assert (await hub.read(BOX, START, 9), await hub.heads([BOX])) == ([], [Position(1, 4)])
    assert await hub.append(BOX, Position(1, 4), _entries(5, 5), {}) == Position(1, 5)


async def test_rosters_come_in_order_behind_a_version(hubs: Hubs) -> None:
    """Everybody reads them."""
    for version in (1, 2, 3):
        await hubs.put_roster(version, b"%d" % version, b"[]")
    assert await hubs.as_user(VHS).rosters(0) == [(b"1", b"[]"), (b"2", b"[]"), (b"3", b"[]")]
    assert await hubs.as_user(KARGAH).rosters(3) == []


async def test_nobody_writes_or_reads_what_is_another_s(hubs: Hubs) -> None:
    """The walls are those of the generated rules: streams of others, their boxes, single entries of public streams."""
    awo, vhs, kargah = hubs.as_user(AWO), hubs.as_user(VHS), hubs.as_user(KARGAH)
    entries = _entries(1, 1)
    await awo.append(PUB, START, entries, {})
    await awo.append(BOX, START, entries, {})
    refused: list[Callable[[], Awaitable[Any]]] = [
        lambda: vhs.append(PUB, Position(1, 1), _entries(2, 2), {}),
        lambda: vhs.append(BOX, Position(1, 1), _entries(2, 2), {}),
        lambda: vhs.keep_state(PUB, {"a": entries[0]}),
        lambda: vhs.beat(PUB, SignedBeat(b"", "", b"")),
        lambda: vhs.trim(PUB, Position(1, 2)),
        lambda: vhs.trim(BOX, Position(1, 2)),
        lambda: vhs.remove(BOX, [Position(1, 1)]),
        lambda: kargah.read(BOX, START, 1),
        lambda: kargah.read_many({BOX: START}, 1, 0),
        lambda: awo.remove(PUB, [Position(1, 1)]),
        lambda: awo.keep_state(BOX, {"a": entries[0]}),
        lambda: awo.beat(BOX, SignedBeat(b"", "", b"")),
    ]
    for attempt in refused:
        with pytest.raises(HubAway):
            await attempt()
    assert (await awo.read(PUB, START, 9), await awo.read(BOX, START, 9)) == (entries, entries)


async def test_a_wiped_hub_between_look_and_write_takes_nothing_out_of_order(hub_server: Any) -> None:
    """The stream is watched: what happens to it before EXEC undoes the whole append."""
    awo = hub_server.as_user(AWO)
    await awo.append(PUB, START, _entries(1, 2), {})
    client: Any = awo._redis
    plain = client.pipeline

    def pipeline(**options: Any) -> Any:
        found: Any = plain(**options)
        execute: Any = found.execute

        async def wiped_first() -> Any:
            await hub_server.wipe()
            return await execute()

        found.execute = wiped_first
        return found

    client.pipeline = pipeline
    assert await awo.append(PUB, Position(1, 2), _entries(3, 3), {}) is None
    assert await hub_server.as_user(VHS).heads([PUB]) == [START]
    await hub_server.close()


async def test_a_user_with_another_password_is_refused_and_may_come_back(hub_server: Any) -> None:
    """Waiting helps: the office may be about to admit."""
    with pytest.raises(HubRefuses):
        await RedisHub(hub_server.client(AWO, "guessed")).heads([PUB])
    await hub_server.close()


async def test_an_office_hears_that_the_hub_is_away_and_not_what_its_library_says(tmp_path: Path) -> None:
    """It waits for the hub then, in one line of its log, as its link does."""
    client = connect_hub("redis://127.0.0.1:9", "office", "secret")
    desk, counter = RedisDesk(client, HubFolder(tmp_path)), RedisCounter(client)
    for question in (desk.asked(AWO), desk.answered(AWO, "rotate"), counter.ask(AWO, "request", b"{}")):
        with pytest.raises(HubAway, match="the hub does not answer"):
            await question
    await client.aclose()
