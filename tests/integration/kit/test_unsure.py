"""Nothing is told until it is known that the database is no backup: else a number that was told is given twice."""

from datetime import timedelta

import pytest

from shared.contract.envelope import open_envelope
from shared.kit.epochs import PATIENCE
from shared.kit.errors import Unsure
from shared.kit.memory_streams import MemoryStreams
from shared.kit.streams import START, chain
from tests.integration.kit.restoring import Line, publish, relay_of, restore, restored
from tests.integration.kit.sample import PUB, Sample, institution

LATER = PATIENCE + timedelta(seconds=1)


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


async def test_what_was_seen_to_be_lost_is_waited_for_while_the_line_is_cut(sample: Sample) -> None:
    """It is on its way back: whoever goes on now would give its numbers again."""
    hub, node = await restored(sample)
    line = Line(hub)
    relay = relay_of(sample, line, node)
    assert not await relay.knows_all()
    line.cut = True
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
        sample.clock.time += LATER
    assert await relay.knows_all()


async def test_a_backup_is_known_by_the_nodes_redis_too(sample: Sample) -> None:
    """A node without a hub: its own Redis holds what the database lost."""
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample))
    await restore(sample, 3)
    relay = relay_of(sample)
    assert not await relay.knows_all()
    await publish(sample, relay)
    assert await relay.knows_all()
