"""Nothing is told until it is known that the database is no backup: else a number that was told is given twice."""

import asyncio
from datetime import timedelta

import pytest

from shared.contract.envelope import open_envelope
from shared.kit.epochs import PATIENCE
from shared.kit.errors import Unsure
from shared.kit.knowing import AT_ONCE, STUCK
from shared.kit.memory_streams import MemoryStreams
from shared.kit.relay import Relay
from shared.kit.streams import START, Entry, Position, chain
from shared.kit.witness import Head, WitnessRefuses
from tests.integration.kit.restoring import Line, publish, relay_of, restore, restored
from tests.integration.kit.sample import OWN, PUB, Sample, api_key, institution

LATER = PATIENCE + timedelta(seconds=1)
LONGER = STUCK + timedelta(seconds=1)


async def _versions(streams: MemoryStreams) -> list[int]:
    return [open_envelope(entry.payload).data["version"] for entry in await streams.read(PUB, START, 99)]


async def test_a_command_of_the_first_moments_would_come_behind_newer_ones(sample: Sample) -> None:
    """The control: the backup has version 3, so the next one is a second version 4, behind the eighth."""
    hub, node = await restored(sample)
    await sample.tell(institution(version=4, name="another name"))
    await publish(sample, relay_of(sample, Line(hub), node))
    assert await _versions(node) == [*range(1, 9), 4]


async def test_while_it_is_unsure_nothing_is_told(sample: Sample) -> None:
    """What was begun before it was sure is not told either: it looked at what was to change."""
    sample.works.sure.clear()
    with pytest.raises(Unsure):
        await sample.tell(institution(version=4))
    async with sample.works() as work:
        sample.works.sure.set()
        with pytest.raises(Unsure):
            work.tell(institution(version=4))
    async with sample.works() as work:
        sample.works.sure.clear()
        work.tell(institution(version=9))
    assert await _waiting(sample) == 1


async def _waiting(sample: Sample) -> int:
    relay = relay_of(sample)
    await publish(sample, relay)
    [head] = await sample.streams.heads([PUB])
    return head.seq


@pytest.mark.parametrize("leads", [True, False])
async def test_a_restored_service_is_sure_once_all_is_taken_back(sample: Sample, leads: bool) -> None:
    """The copy that holds the lease and one beside it come to know it alike; the other one changes nothing."""
    hub, node = await restored(sample)
    line = Line(hub)
    beside = relay_of(sample, line, node)
    leading = relay_of(sample, line, node)
    relay = leading if leads else beside
    assert not await relay.knows_all()
    assert await _versions(node) == [1, 2, 3]
    await publish(sample, leading)
    assert await relay.knows_all()
    assert await _versions(node) == list(range(1, 9))


async def test_a_service_that_lost_nothing_is_sure_at_once(sample: Sample) -> None:
    """After an ordinary start its Redis and the hub hold what it told, or less."""
    hub, node = MemoryStreams(), MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    await publish(sample, relay_of(sample, streams=node))
    await hub.append(PUB, START, await node.read(PUB, START, 2), {})
    assert await relay_of(sample, Line(hub), node).knows_all()


async def test_a_hub_that_is_away_is_waited_for_no_longer_than_the_patience(sample: Sample) -> None:
    """A cut line does not stop a node."""
    await sample.tell(institution(version=1))
    await publish(sample, relay_of(sample))
    line = Line(MemoryStreams())
    line.cut = True
    relay = relay_of(sample, line)
    assert not await relay.knows_all()
    sample.clock.time += LATER
    assert await relay.knows_all()


async def _seen_and_cut_off(sample: Sample) -> tuple[Line, Relay]:
    """Have a restored service see what the hub holds, and then cut its line."""
    hub, node = await restored(sample)
    line = Line(hub)
    relay = relay_of(sample, line, node)
    assert not await relay.knows_all()
    line.cut = True
    return line, relay


async def test_what_was_seen_to_be_lost_is_waited_for_longer(sample: Sample) -> None:
    """It is on its way back, and the line is cut: whoever goes on now would give its numbers again."""
    line, relay = await _seen_and_cut_off(sample)
    sample.clock.time += LATER
    assert not await relay.knows_all()
    line.cut = False
    await publish(sample, relay)
    assert await relay.knows_all()


@pytest.mark.parametrize("leads", [True, False])
async def test_a_stream_that_a_stranger_wrote_holds_nobody_up(sample: Sample, leads: bool) -> None:
    """There is nothing to take back of it: an operator decides, and other institutions' commands are taken."""
    await sample.tell(*(institution(version=n) for n in range(1, 4)))
    await publish(sample, relay_of(sample))
    [last] = await sample.streams.heads([PUB])
    forged = (await sample.streams.read(PUB, START, 1))[0]
    place = last._replace(seq=last.seq + 1)
    stranger = type(forged)(place, forged.payload, chain(b"x" * 32, PUB, place, forged.payload))
    await sample.streams.append(PUB, last, [stranger], {})
    relay = relay_of(sample)
    if leads:
        await publish(sample, relay)
        assert list(relay.stopped) == [PUB]
    else:
        assert not await relay.knows_all()
        sample.clock.time += LONGER
    assert await relay.knows_all()


async def _restored_beside_redis(sample: Sample) -> None:
    """Bring a database back to the third of eight messages; the node's own Redis holds all of them."""
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await restore(sample, 3)


async def test_a_backup_is_known_by_the_nodes_redis_too(sample: Sample) -> None:
    """A node without a hub: its own Redis holds what the database lost."""
    await _restored_beside_redis(sample)
    relay = relay_of(sample)
    assert not await relay.knows_all()
    await publish(sample, relay)
    assert await relay.knows_all()


async def test_a_hub_that_is_never_heard_again_does_not_stop_a_node(sample: Sample) -> None:
    """Though it was seen to hold more: after a minute without anything coming back the node goes on alone."""
    _, relay = await _seen_and_cut_off(sample)
    sample.clock.time += LONGER
    assert await relay.knows_all()


async def test_what_redis_gave_back_is_enough_while_the_hub_is_away(sample: Sample) -> None:
    """Each witness is judged by itself: to have been behind one does not mean to wait for the other."""
    await _restored_beside_redis(sample)
    line = Line(MemoryStreams())
    line.cut = True
    relay = relay_of(sample, line)
    assert not await relay.knows_all()
    await publish(sample, relay)
    sample.clock.time += LATER
    assert await relay.knows_all()


async def test_a_tail_that_was_removed_holds_no_copy_up(sample: Sample) -> None:
    """Nothing of it can come back: the copy that leads begins an epoch behind it, and the other one sees that."""
    await sample.tell(*(api_key(n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await restore(sample, 3)
    lost = [Position(1, seq) for seq in range(4, 9)]
    await sample.streams.remove(OWN, lost)
    beside = relay_of(sample)
    assert not await beside.knows_all()
    await publish(sample, relay_of(sample))
    assert await beside.knows_all()


class Slow:
    """A hub whose packets are dropped: each question takes as long as a connection is waited for."""

    def __init__(self, sample: Sample) -> None:
        self._clock = sample.clock
        self.asked = 0

    async def head(self, stream: str) -> Head | None:
        """Wait in vain."""
        self.asked += 1
        await asyncio.sleep(0)
        self._clock.time += timedelta(seconds=5)
        return None

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give nothing."""
        return []


async def test_a_slow_hub_is_waited_for_once_and_not_for_each_stream(sample: Sample) -> None:
    """A node of a hundred institutions asks no more often than a small one."""

    async def mine(_: object) -> set[str]:
        return {f"album:1:pub:{{i{number:03}}}:members" for number in range(100)}

    slow = Slow(sample)
    relay = relay_of(sample, slow, mine=mine)
    while not await relay.knows_all():
        pass
    assert slow.asked <= 3 * AT_ONCE


class Refusing(Slow):
    """A hub that does not let the institution in."""

    async def head(self, stream: str) -> Head | None:
        """Refuse."""
        raise WitnessRefuses("the hub tells nothing")


async def test_a_hub_that_refuses_is_not_waited_for(sample: Sample) -> None:
    """A suspended institution, or a box of one that has left, would hold every start up; the relay goes on asking."""
    await sample.tell(institution(version=1))
    await publish(sample, relay_of(sample))
    relay = relay_of(sample, Refusing(sample))
    assert await relay.knows_all()
    await sample.tell(institution(version=2))
    await publish(sample, relay)
    assert len(await _versions(sample.streams)) == 1  # type: ignore[arg-type]
    sample.clock.time += LATER
    await publish(sample, relay)
    assert await _versions(sample.streams) == [1, 2]  # type: ignore[arg-type]
