"""A node trims its stream while its line is cut: nobody misses a thing, and no true entry is refused."""

import pytest

from shared.kit.errors import Transient
from shared.kit.streams import GENESIS, Entry, Position, chain
from shared.network.entries import SignedEntry
from shared.network.link.beginning import Beginning
from shared.network.link.compare import Comparing
from tests.integration.network.link_world import AWO, BOX, PUB, RUNS, VHS, World, sealed_event
from tests.unit.network.network_sample import event

SENT = [Position(1, 1)]
ENDS = {
    "the_next": [Position(1, 2)],
    "a_later_one": [Position(1, 3)],
    "two_of_which_the_first_is_next": [Position(1, 2), Position(1, 4)],
    "a_new_epoch": [Position(2, 1)],
    "a_new_epoch_behind_the_next": [Position(1, 2), Position(2, 1)],
    "a_new_epoch_behind_a_gap": [Position(1, 3), Position(2, 1)],
    "two_new_epochs": [Position(1, 3), Position(2, 1), Position(3, 1)],
}


async def _trimmed_behind_a_cut(world: World, places: list[Position], left: int) -> None:
    """Send one thing; have the node tell more while its line is cut, and drop all but the last `left` entries."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.put(PUB, event(f"/{AWO}/members", "thing-0"))
    await awo.send()
    await vhs.take()
    for place in places:
        await awo.put(PUB, event(f"/{AWO}/members", f"thing-{place}"), at=place)
    kept = [*places, Position(places[-1].epoch, places[-1].seq + 1)]
    await awo.local.trim(PUB, kept[len(places) - left])
    await awo.restart_link()
    await awo.send()
    world.later(seconds=31)
    await awo.send()
    await awo.link.check()


async def _arrived(world: World) -> set[str]:
    """Have the other node take all; give the things that it knows."""
    vhs = world.nodes[VHS]
    await vhs.take()
    await vhs.link.check()
    assert vhs.link.stopped == {}
    return set(await vhs.local.state(PUB))


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("places", ENDS.values(), ids=ENDS)
async def test_what_is_left_behind_a_trim_is_believed_and_complete(
    world: World, places: list[Position], left: int
) -> None:
    """Whatever is left of it, other nodes know each thing and go on with what is told next."""
    await _trimmed_behind_a_cut(world, places, left)
    things = {"thing-0", *(f"thing-{place}" for place in places)}
    assert await _arrived(world) == things
    await world.nodes[AWO].put(PUB, event(f"/{AWO}/members", "thing-new"))
    await world.nodes[AWO].send()
    assert await _arrived(world) == {*things, "thing-new"}


async def test_what_is_trimmed_before_a_running_link_has_read_it_is_sent_all_the_same(world: World) -> None:
    """Nothing is there to be read: the end of the stream tells of it."""
    awo = world.nodes[AWO]
    await awo.send()
    await awo.put(PUB, event(f"/{AWO}/members", "thing-0"))
    await awo.local.trim(PUB, Position(1, 2))
    for _ in range(3):
        await awo.link.check()
        await awo.send()
        world.later(seconds=31)
    assert await _arrived(world) == {"thing-0"}


async def test_a_service_that_is_away_holds_up_its_own_stream_only(world: World) -> None:
    """What is missing of a stream is in its service's log: it is waited for, and the others go to the hub."""
    awo = world.nodes[AWO]
    away = True

    async def log(stream: str, after: Position, count: int) -> list[Entry]:
        if away:
            raise Transient("the service is away")
        return [missing] if stream == PUB and after < missing.position else []

    world.backfill = log
    await awo.restart_link()
    await awo.put(PUB, event(f"/{AWO}/members", "thing-0"))
    [missing] = await awo.here()
    await awo.local.trim(PUB, Position(1, 2))
    await awo.put(RUNS, event(f"/{AWO}/courses", "run_1"))
    await awo.send()
    world.later(seconds=60)
    await awo.send()
    assert [len(await world.on_hub(each)) for each in (PUB, RUNS)] == [0, 1]
    away = False
    await awo.send()
    assert [one.payload for one in await world.on_hub()] == [missing.payload]


async def test_a_box_that_begins_an_epoch_behind_a_restore_goes_on_at_once(world: World) -> None:
    """What was sealed does not come back into the log: the epoch continues the backup, and nothing counts as lost."""
    awo = world.nodes[AWO]
    texts = [sealed_event(number) for number in range(4)]
    await awo.put(BOX, texts[0])
    backed_up = awo.hashes[BOX]
    await awo.put(BOX, *texts[1:3])
    await awo.send()
    [first, *_] = await awo.here(BOX)
    await awo.local.forget(BOX)
    begin = Position(2, 1)
    after = Entry(begin, texts[3], chain(backed_up, BOX, begin, texts[3]))
    assert await awo.local.append(BOX, Position(0, 0), [first], {})
    assert await awo.local.append(BOX, first.position, [after], {})
    await awo.send()
    places = [Position(1, 1), Position(1, 2), Position(1, 3), begin]
    assert [one.position for one in await world.on_hub(BOX)] == places
    world.hub.wipe()
    for _ in range(2):
        await awo.link.check()
        await awo.send()
    assert [one.position for one in await world.on_hub(BOX)] == places


@pytest.mark.parametrize("fresh", [0, 1])
async def test_a_refill_of_the_hub_brings_the_state_once(world: World, fresh: int) -> None:
    """What is told meanwhile is sent behind the refill; nothing begins anew for it."""
    awo, things = world.nodes[AWO], 1500
    await awo.put(PUB, *(event(f"/{AWO}/members", f"thing-{number}") for number in range(things)))
    await awo.send()
    for _ in range(2):
        await awo.link.check()
    sent = 0
    up = awo.link.ups[PUB]
    keep = up._around.hub.keep_state

    async def counted(stream: str, state: dict[str, SignedEntry]) -> None:
        nonlocal sent
        sent += len(state)
        await keep(stream, state)

    up._around.hub.keep_state = counted  # type: ignore[method-assign] # it only counts
    world.hub.wipe()
    await awo.put(PUB, *(event(f"/{AWO}/members", "thing-new") for _ in range(fresh)))
    await awo.link.check()
    while await up.step():
        await awo.link.check()
    assert sent == things


async def test_with_a_hash_of_zeros_the_next_one_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a reader that knows what came before takes such an entry for a forgery, for ever."""
    signed = Beginning._signed_pages

    async def unknown(self, places, up):  # type: ignore[no-untyped-def]
        async for page in signed(self, places, up):
            yield [
                self._signing.signed(Entry(one.entry.position, one.entry.payload, one.local_hash or GENESIS), GENESIS)
                for one in page
            ]

    monkeypatch.setattr(Beginning, "_signed_pages", unknown)
    await _trimmed_behind_a_cut(world, ENDS["the_next"], 0)
    await world.nodes[VHS].take()
    assert "another hash" in str(world.nodes[VHS].link.stopped[PUB])


async def test_an_epoch_that_counts_as_next_wherever_it_begins_loses_things(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: by its position alone, an epoch hides what was trimmed before it."""
    monkeypatch.setattr(Comparing, "is_next", lambda _, entry, up: entry.position.follows(up.position))
    await _trimmed_behind_a_cut(world, ENDS["a_new_epoch_behind_a_gap"], 1)
    assert await _arrived(world) == {"thing-0", "thing-2-1"}
