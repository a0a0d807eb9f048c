"""A hub or a node's Redis that dies twice: the second time between a state and what stands behind it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from shared.kit.memory_streams import MemoryStreams
from shared.network.entries import SignedEntry, state_value
from shared.network.hub.streams import HubStreams
from shared.network.link.state import Loaded
from shared.network.link.up import UpStream
from tests.integration.kit.restoring import LostTwice
from tests.integration.network.link_world import AWO, PUB, VHS, MortalHub, World, memory_world
from tests.unit.network.network_sample import event

COUNT = 5


class LostHub(MortalHub):
    """A hub that loses all of it behind the first state that it is given."""

    async def keep_state(self, stream: str, state: dict[str, SignedEntry]) -> None:
        """Keep it, and lose it where it is the first."""
        await self.hub.keep_state(stream, state)
        self.die()


def _dying() -> LostTwice:
    streams = LostTwice()
    streams.dies = True
    return streams


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Give a node that has told of some things, twice each, and another that has not heard of them."""
    async with memory_world(tmp_path) as made:
        made.new_streams = lambda slug: _dying() if slug == VHS else MemoryStreams()
        for slug in (AWO, VHS):
            await made.node(slug)
        things = [f"thing-{number}" for number in range(COUNT)] * 2
        await made.nodes[AWO].put(
            PUB, *(event(f"/{AWO}/members", thing, "members.institution.changed.v1") for thing in things)
        )
        await made.nodes[AWO].send()
        yield made


@pytest.mark.parametrize("together", [True, False])
async def test_entries_come_to_a_hub_with_what_they_are_the_state_of(
    world: World, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """Whoever joins at that moment finds every key; in the control the entries come alone, and none is found."""

    async def alone(*_: object) -> dict[str, SignedEntry]:
        return {}

    if not together:
        monkeypatch.setattr(UpStream, "_newest_of", alone)
    awo, before = world.nodes[AWO], await world.as_user(VHS).state(PUB)
    world.hub.wipe()
    world.seen_by = lambda _, hub: cast("HubStreams", LostHub(hub, world.hub.wipe))
    await awo.restart_link()
    await awo.send()
    assert len(await world.on_hub()) == 2 * COUNT
    assert await world.as_user(VHS).state(PUB) == (before if together else {})


async def test_a_state_that_is_older_than_the_end_is_loaded_once(world: World) -> None:
    """A writer may leave an old entry of the very key that stands at the end: what the end brings counts."""
    [*_, end] = world.hub.entries[PUB]
    key = f"thing-{COUNT - 1}"
    world.hub.states[PUB][key] = state_value(world.hub.entries[PUB][COUNT - 1])
    world.hub.entries[PUB] = [end]
    world.hub.beats.clear()
    vhs = world.nodes[VHS]
    cast("LostTwice", vhs.local).dies = False
    await vhs.take()
    assert vhs.link.downs[PUB].at.position == end.position
    assert (await vhs.local.state(PUB))[key].position == end.position


@pytest.mark.parametrize("looks", [True, False])
async def test_a_state_that_a_node_lost_before_the_end_came_is_loaded_again(
    world: World, monkeypatch: pytest.MonkeyPatch, looks: bool
) -> None:
    """The node looks for it behind the end; in the control it does not, and its newcomers miss what is not there."""

    async def is_there(*_: object) -> bool:
        return True

    if not looks:
        monkeypatch.setattr(Loaded, "is_there", is_there)
    vhs = world.nodes[VHS]
    world.hub.entries[PUB] = world.hub.entries[PUB][-1:]
    for _ in range(3):
        await vhs.take()
        await vhs.link.check()
        world.later(seconds=5)
    assert not cast("LostTwice", vhs.local).dies
    assert len(await vhs.local.state(PUB)) == (COUNT if looks else 1)
