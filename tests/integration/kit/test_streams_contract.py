"""Streams in memory and on Redis obey the same rules: one suite, run on both."""

from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ResponseError

from shared.kit.memory_streams import MemoryStreams
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.streams import START, Entry, Heartbeat, Position, Streams

NAME = "album:1:pub:{office}:members"


@pytest.fixture(params=["memory", "redis"])
async def streams(request: pytest.FixtureRequest) -> AsyncIterator[Streams]:
    """Give streams of each kind, empty."""
    if request.param == "memory":
        yield MemoryStreams()
        return
    client = connect(request.getfixturevalue("redis_url"))
    yield RedisStreams(client)
    await client.aclose()


def _entries(first: int, last: int) -> list[Entry]:
    return [Entry(Position(1, n), f"ü {n}\n".encode() + b"\x00 ", bytes([n]) * 32) for n in range(first, last + 1)]


async def test_entries_come_back_as_they_were(streams: Streams) -> None:
    """Positions, bytes and hashes are exact, and reading goes on behind a position."""
    assert await streams.append(NAME, START, _entries(1, 5), {}) == Position(1, 5)
    assert await streams.read(NAME, START, 3) == _entries(1, 3)
    assert await streams.read(NAME, Position(1, 3), 9) == _entries(4, 5)


async def test_before_the_first_place_of_an_epoch_nothing_can_be_read(streams: Streams) -> None:
    """Redis knows no such id: code that asks for it must fail in memory, too."""
    with pytest.raises((ResponseError, ValueError)):
        await streams.read(NAME, Position(2, -1), 1)


async def test_a_stream_that_ends_elsewhere_takes_nothing(streams: Streams) -> None:
    """Neither entries nor states are kept where the end is not what the writer believes."""
    await streams.append(NAME, START, _entries(1, 2), {})
    assert await streams.append(NAME, START, _entries(1, 2), {"awo": _entries(1, 1)[0]}) is None
    assert await streams.append(NAME, Position(1, 3), _entries(4, 4), {}) is None
    assert (await streams.read(NAME, START, 9), await streams.state(NAME)) == (_entries(1, 2), {})


async def test_what_is_not_there_has_no_end_and_no_state(streams: Streams) -> None:
    """An unknown stream answers as an empty one."""
    assert await streams.heads([NAME, "album:1:pub:{awo}:members"]) == [START, START]
    assert await streams.heads([]) == []
    assert (await streams.read(NAME, START, 9), await streams.state(NAME), await streams.state_size(NAME)) == (
        [],
        {},
        0,
    )
    assert await streams.heartbeat(NAME) is None


async def test_a_trimmed_stream_keeps_its_end(streams: Streams) -> None:
    """After all entries are dropped the next one still has to follow the last."""
    await streams.append(NAME, START, _entries(1, 3), {})
    await streams.trim(NAME, Position(1, 3))
    assert await streams.read(NAME, START, 9) == _entries(3, 3)
    await streams.trim(NAME, Position(1, 4))
    assert (await streams.read(NAME, START, 9), await streams.heads([NAME])) == ([], [Position(1, 3)])
    assert await streams.append(NAME, START, _entries(1, 3), {}) is None
    assert await streams.append(NAME, Position(1, 3), _entries(4, 4), {}) == Position(1, 4)


async def test_the_state_holds_the_newest_of_each_key(streams: Streams) -> None:
    """It is kept with the entries, or set again; nothing to set is no fault."""
    one, two, three = _entries(1, 3)
    await streams.append(NAME, START, [one, two], {"a": one, "b": two})
    await streams.append(NAME, Position(1, 2), [three], {"a": three})
    assert await streams.state(NAME) == {"a": three, "b": two}
    await streams.keep_state(NAME, {"c": one})
    await streams.keep_state(NAME, {})
    assert (await streams.state(NAME), await streams.state_size(NAME)) == ({"a": three, "b": two, "c": one}, 3)


async def test_a_state_that_comes_late_puts_nothing_back(streams: Streams) -> None:
    """A request that was given up may still arrive: what it holds is older than what is there."""
    old, new = _entries(9, 10)
    await streams.keep_state(NAME, {"a": new, "b": old})
    await streams.keep_state(NAME, {"a": old, "b": old, "c": old})
    assert await streams.state(NAME) == {"a": new, "b": old, "c": old}
    later = Entry(Position(2, 1), b"later", bytes(32))
    await streams.keep_state(NAME, {"a": later})
    await streams.keep_state(NAME, {"a": new})
    assert (await streams.state(NAME))["a"] == later


async def test_a_large_state_comes_whole(streams: Streams) -> None:
    """More keys than one answer of the server holds."""
    [entry] = _entries(1, 1)
    await streams.keep_state(NAME, {f"run_{n:08d}": entry for n in range(3000)})
    assert len(await streams.state(NAME)) == len(await streams.state_index(NAME)) == 3000


async def test_a_state_can_be_put_in_order_without_its_payloads(streams: Streams) -> None:
    """Position and hash are exact, whatever bytes they have; some keys come whole, those that are not there not."""
    [one], spaces = _entries(1, 1), Entry(Position(12, 345), b" ", b" " * 32)
    assert (await streams.state_index(NAME), await streams.state_of(NAME, ["a"])) == ({}, {})
    await streams.keep_state(NAME, {"a": one, "b": spaces})
    assert await streams.state_index(NAME) == {"a": one._replace(payload=b""), "b": spaces._replace(payload=b"")}
    assert await streams.state_of(NAME, ["b", "x"]) == {"b": spaces}
    assert await streams.state_of(NAME, []) == {}


async def test_a_gap_in_the_positions_is_kept_as_it_is(streams: Streams) -> None:
    """A refilled stream whose log was trimmed has gaps; its reader must see them."""
    [one], [seven] = _entries(1, 1), _entries(7, 7)
    assert await streams.append(NAME, START, [one, seven], {}) == Position(1, 7)
    assert await streams.read(NAME, START, 9) == [one, seven]


async def test_the_heartbeat_is_the_last_one(streams: Streams) -> None:
    """A new heartbeat replaces the one before."""
    await streams.beat(NAME, Heartbeat(Position(1, 1), 1, "ab", "2026-11-22T10:00:00+00:00"))
    newest = Heartbeat(Position(2, 9), 3, "cd", "2026-11-22T11:00:00+00:00")
    await streams.beat(NAME, newest)
    assert await streams.heartbeat(NAME) == newest


async def test_single_entries_are_taken_out_and_the_end_stays(streams: Streams) -> None:
    """What is removed is a gap; the next entry still has to follow the last one, also where that is gone."""
    await streams.append(NAME, START, _entries(1, 4), {})
    await streams.remove(NAME, [Position(1, 2), Position(1, 4)])
    assert await streams.read(NAME, START, 9) == [_entries(1, 1)[0], _entries(3, 3)[0]]
    assert await streams.heads([NAME]) == [Position(1, 4)]
    assert await streams.append(NAME, Position(1, 4), _entries(5, 5), {}) == Position(1, 5)
