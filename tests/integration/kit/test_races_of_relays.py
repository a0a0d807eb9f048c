"""Relays among others: a slow one that lost its lease, a state that is lost alone, a trim that could not be made."""

from datetime import timedelta

import pytest

from shared.kit import relay as relaying
from shared.kit.errors import Transient
from shared.kit.lease import TERM
from shared.kit.memory_streams import MemoryStreams
from shared.kit.relay import Relay
from shared.kit.streams import START, Entry, Position
from tests.integration.kit.restoring import LostTwice
from tests.integration.kit.sample import OWN, PUB, Sample, api_key, institution


async def test_a_slow_relay_does_not_take_its_successors_messages_for_a_fork(sample: Sample) -> None:
    """It numbered, stood still and lost its lease; the other has published more when it wakes."""

    class Slow(MemoryStreams):
        stands_still = True

        async def append(
            self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
        ) -> Position | None:
            if self.stands_still:
                self.stands_still = False
                sample.clock.time += 2 * TERM
                other = sample.relay("two")
                assert await sample.lease.hold()
                await other.check()
                await sample.tell(institution(version=2))
                await other.step()
                assert await self.heads([stream]) == [Position(1, 2)]
            return await super().append(stream, after, entries, state)

    sample.streams = Slow()
    await sample.tell(institution(version=1))
    slow = sample.relay("one")
    assert await sample.lease.hold()
    await slow.step()
    assert slow.stopped == {}
    assert [entry.position.seq for entry in await sample.streams.read(PUB, START, 9)] == [1, 2]


async def test_what_came_behind_a_trimmed_end_is_not_taken_for_that_end(sample: Sample) -> None:
    """The newest of each thing stays in the log when its stream is trimmed; the first that is left is a later one."""

    class Published(MemoryStreams):
        meanwhile: Relay | None = None

        async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
            other, self.meanwhile = self.meanwhile, None
            if other is not None:
                await sample.tell(institution(version=2))
                await other.step()
            return await super().read(stream, after, count)

    sample.streams = streams = Published()
    await sample.tell(institution(version=1))
    leading = sample.relay("one")
    assert await sample.lease.hold()
    await leading.check()
    await leading.step()
    sample.clock.time += timedelta(days=100)
    await leading.trim(timedelta(days=14), timedelta(days=90))
    assert await sample.lease.hold()
    follower = sample.relay("two")
    follower._epochs._cleared.add(PUB)
    streams.meanwhile = leading
    await follower.check()
    assert ([entry.position.seq for entry in await streams.read(PUB, START, 9)], follower.stopped) == ([2], {})


async def _four_told(sample: Sample) -> Relay:
    """Have a relay publish four things."""
    await sample.tell(*(institution(f"i{n}-x") for n in range(4)))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    return relay


async def test_a_joiner_during_a_refill_misses_no_key(sample: Sample) -> None:
    """The state is there before the entries: whoever sees the stream's end finds every key below it."""

    class Joined(MemoryStreams):
        async def append(
            self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
        ) -> Position | None:
            end = await super().append(stream, after, entries, state)
            if joins["now"]:
                joins["now"] = False
                await joiner.catch_up()
            return end

    joins = {"now": False}
    sample.streams = streams = Joined()
    relay = await _four_told(sample)
    streams.wipe()
    joiner = sample.reader(PUB)
    joins["now"] = True
    await relay.check()
    await joiner.catch_up()
    assert sorted(key for key, _ in await sample.heard()) == [f"i{n}-x" for n in range(4)]


class EntriesAlone(LostTwice):
    """One that is given entries without what they are the state of."""

    async def append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        """Leave the state out."""
        return await super().append(stream, after, entries, {})


@pytest.mark.parametrize(("kind", "found"), [(LostTwice, 4), (EntriesAlone, 0)])
async def test_a_joiner_misses_no_key_where_redis_is_lost_twice(
    sample: Sample, kind: type[LostTwice], found: int
) -> None:
    """The second time behind the state and before the entries; in the control these come without the state."""
    sample.streams = streams = kind()
    relay = await _four_told(sample)
    streams.wipe()
    streams.dies = True
    with pytest.MonkeyPatch.context() as patch:
        # The joiner comes before the relay has looked at the state once more.
        patch.setattr(relay, "_beat", _nothing)
        await relay.check()
        await sample.reader(PUB).catch_up()
    assert not streams.dies
    assert len(await sample.heard()) == found


async def _nothing(stream: str) -> None:
    """Leave no heartbeat."""


async def test_a_state_that_is_lost_alone_comes_back(sample: Sample) -> None:
    """The relay counts the keys of a resting stream, too; without them no newcomer could ever join."""
    relay = await _four_told(sample)
    await relay.check()
    assert isinstance(sample.streams, MemoryStreams)
    sample.streams._state.clear()
    await relay.check()
    await sample.reader(PUB).catch_up()
    assert len(await sample.heard()) == 4


@pytest.mark.parametrize(("looks", "found"), [(True, 4), (False, 5)])
async def test_a_state_that_nobody_told_does_not_stay(
    sample: Sample, looks: bool, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refill was broken off behind the state, and the log restored: the next life of the relay begins anew."""
    await _four_told(sample)
    await sample.streams.keep_state(PUB, {"lost-x": Entry(Position(1, 5), b"{}", bytes(32))})
    if not looks:
        monkeypatch.setattr(relaying, "_is_unknown", lambda there, newest: False)
    relay = sample.relay("one")
    assert await sample.lease.hold()
    await relay.check()
    assert len(await sample.streams.state(PUB)) == found
    assert len(await sample.streams.read(PUB, START, 9)) == 4


@pytest.mark.parametrize("hours", [1, 0])
async def test_a_clock_that_is_put_back_takes_over_from_the_dead_all_the_same(sample: Sample, hours: int) -> None:
    """Whoever died leads for a term and no longer, though this copy's clock was put back while it watched."""
    sample.relay("dead")
    sample.clock.wrong += timedelta(hours=1)  # its clock was ahead: its claim ends in an hour
    assert await sample.lease.hold()
    sample.relay("alive")
    sample.clock.wrong -= timedelta(hours=1)
    assert not await sample.lease.hold()
    sample.clock.wrong -= timedelta(hours=hours)
    assert not await sample.lease.hold()
    sample.clock.time += 1.1 * TERM
    assert await sample.lease.hold()


async def test_what_could_not_be_trimmed_is_trimmed_the_next_time(sample: Sample) -> None:
    """Own streams hold contacts: they leave Redis though it was away at the hour of the trim."""

    class Away(MemoryStreams):
        away = True

        async def trim(self, stream: str, below: Position) -> None:
            if self.away:
                raise Transient("Redis does not answer")
            await super().trim(stream, below)

    sample.streams = streams = Away()
    await sample.tell(api_key(1), api_key(2))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    sample.clock.time += timedelta(days=20)
    with pytest.raises(Transient):
        await relay.trim(timedelta(days=14), timedelta(days=90))
    streams.away = False
    await relay.trim(timedelta(days=14), timedelta(days=90))
    assert await streams.read(OWN, START, 9) == []
    assert await streams.heads([OWN]) == [Position(1, 2)]


async def test_a_relay_without_the_lease_accuses_nobody(sample: Sample) -> None:
    """What it believed of the streams is forgotten while another copy writes them."""
    await sample.tell(institution())
    await sample.streams.append(PUB, START, [Entry(Position(1, 1), b"{}", b"x" * 32)], {})
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    assert PUB in relay.stopped
    relay.rest()
    assert relay.stopped == {}
