"""Streams of the link that wait: they are tried again soon, go on by themselves, and say so."""

from datetime import timedelta
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from shared.kit.streams import START, Position
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubStreams
from shared.network.link import compare as link_compare
from shared.network.link.metrics import LinkCollector
from tests.integration.network.link_world import AWO, PUB, VHS, MortalHub, NodeOfTest, World, tampered
from tests.unit.network.network_sample import event


def _things(*numbers: int) -> list[bytes]:
    return [event(f"/{AWO}/members", f"thing-{number}") for number in numbers]


def _stopped_streams(node: NodeOfTest) -> list[str]:
    registry = CollectorRegistry()
    registry.register(LinkCollector(node.link))
    return [
        sample.labels["stream"]
        for metric in registry.collect()
        if metric.name == "album_link_stopped"
        for sample in metric.samples
    ]


async def _forge_behind_the_end(world: World) -> SignedEntry:
    """Have the hub show an entry that nobody signed in the place of the last one; gives the true one."""
    awo = world.nodes[AWO]
    await awo.put(PUB, *_things(1, 2, 3))
    await awo.send()
    await awo.link.check()
    last: SignedEntry = world.hub.entries[PUB].pop()
    world.hub.entries[PUB].append(tampered(last))
    return last


async def test_a_stream_is_well_again_when_what_was_forged_is_gone(world: World) -> None:
    """Nothing is behind the cursor any more: no reason, no quarantine that waits, no figure is left."""
    vhs = world.nodes[VHS]
    await _forge_behind_the_end(world)
    await vhs.take()
    assert list(vhs.link.stopped) == _stopped_streams(vhs) == [PUB]
    world.hub.entries[PUB].pop()
    world.hub.ends[PUB] = Position(1, 2)
    world.hub.beats.clear()
    await vhs.link.check()
    assert (vhs.link.stopped, _stopped_streams(vhs), await vhs.link.store.waiting()) == ({}, [], {})


async def test_a_reason_is_known_again_after_a_restart(world: World) -> None:
    """Who looks right after a restart sees what the stream waits for, and it is tried at once."""
    vhs = world.nodes[VHS]
    await _forge_behind_the_end(world)
    await vhs.take()
    await vhs.restart_link()
    assert list(vhs.link.stopped) == [PUB]
    await vhs.take()
    assert (await vhs.link.store.waiting())[PUB].attempts == 2


async def test_a_refused_entry_that_is_right_again_is_taken_within_seconds(world: World) -> None:
    """The first tries come soon: who waits for the true entry does not wait for a minute."""
    vhs = world.nodes[VHS]
    true = await _forge_behind_the_end(world)
    await vhs.take()
    world.hub.entries[PUB][-1] = true
    world.later(seconds=2)
    await vhs.take()
    assert [entry.position.seq for entry in await vhs.here()] == [1, 2, 3]


async def test_a_clock_that_is_put_back_meanwhile_holds_nothing_up(world: World) -> None:
    """Waiting is counted in seconds, not by the time of day."""
    vhs = world.nodes[VHS]
    true = await _forge_behind_the_end(world)
    await vhs.take()
    world.hub.entries[PUB][-1] = true
    world.clock.wrong -= timedelta(hours=1)
    await vhs.take()
    assert [entry.position.seq for entry in await vhs.here()] == [1, 2], "the control: it waits"
    world.later(seconds=2)
    await vhs.take()
    assert [entry.position.seq for entry in await vhs.here()] == [1, 2, 3]


async def test_a_refused_entry_that_stays_wrong_is_tried_less_and_less_often(world: World) -> None:
    """It is looked at about once a minute in the end, and never given up."""
    vhs = world.nodes[VHS]
    await _forge_behind_the_end(world)
    tries = [0, 0, 0]
    for minutes in range(3):
        for _ in range(300):
            await vhs.take()
            world.later(seconds=1)
        tries[minutes] = (await vhs.link.store.waiting())[PUB].attempts
    assert tries[0] > tries[1] - tries[0] >= 5
    assert 5 <= tries[2] - tries[1] < 30


async def test_a_newer_roster_has_a_waiting_stream_tried_at_once(world: World) -> None:
    """No time passes in between."""
    vhs = world.nodes[VHS]
    await _forge_behind_the_end(world)
    await vhs.take()
    await world.publish(world.roster)
    await vhs.take()
    assert (await vhs.link.store.waiting())[PUB].attempts == 2


async def _half_refilled(awo: NodeOfTest) -> None:
    """Have the node's Redis hold the end of a stream and not yet what lies before it."""
    await awo.put(PUB, *_things(1, 2))
    await awo.send()
    awo.local.wipe()  # type: ignore[attr-defined] # streams in memory
    await awo.put(PUB, *_things(5), at=Position(1, 5))
    await awo.restart_link()
    await awo.send()


async def test_the_link_waits_for_a_gap_that_is_only_just_being_filled(world: World) -> None:
    """Its relay brings what is missing a moment later; all of it goes to the hub."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await _half_refilled(awo)
    assert [entry.position.seq for entry in await world.on_hub()] == [1, 2]
    awo.local.wipe()  # type: ignore[attr-defined] # as above
    awo.hashes.clear()
    await awo.put(PUB, *_things(1, 2, 3, 4, 5))
    await awo.send()
    await vhs.take()
    assert [entry.position.seq for entry in await vhs.here()] == [1, 2, 3, 4, 5]


async def test_without_that_patience_what_came_a_moment_late_is_never_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a gap that counts as trimmed at once leaves its entries behind for good."""
    awo = world.nodes[AWO]
    monkeypatch.setattr(link_compare, "REFILLED_WITHIN", 0 * link_compare.REFILLED_WITHIN)
    await _half_refilled(awo)
    awo.local.wipe()  # type: ignore[attr-defined] # as above
    awo.hashes.clear()
    await awo.put(PUB, *_things(1, 2, 3, 4, 5))
    await awo.send()
    assert [entry.position.seq for entry in await world.on_hub()] != [1, 2, 3, 4, 5]


async def test_a_gap_that_stays_counts_as_trimmed_after_a_while(world: World) -> None:
    """What is there goes to the hub, so that a node whose past is trimmed is not silent for ever."""
    awo = world.nodes[AWO]
    await _half_refilled(awo)
    world.later(seconds=31)
    await awo.send()
    assert [entry.position.seq for entry in await world.on_hub()] == [1, 2, 5]
    assert await awo.local.heads([PUB]) != [START]


class Vanishing(MortalHub):
    """A hub whose stream is wiped right after its end was told for the first time."""

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the ends, then lose everything."""
        found = await self.hub.heads(streams)
        if found != [START] * len(streams):
            self.die()
        return found


async def test_a_hub_that_is_wiped_while_it_is_asked_gets_everything_again(world: World) -> None:
    """Its end was ahead of ours by something forged, and is gone a moment later: nothing counts as trimmed."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.put(PUB, *_things(1, 2, 3))
    await awo.send()
    world.hub.entries[PUB].append(tampered(world.hub.entries[PUB][-1]))
    world.hub.ends[PUB] = Position(1, 4)
    world.seen_by = lambda _, hub: cast("HubStreams", Vanishing(hub, world.hub.wipe))
    await awo.restart_link()
    await awo.send()
    await awo.send()
    await vhs.take()
    assert [entry.position.seq for entry in await vhs.here()] == [1, 2, 3]
