"""A sealed message stays on the hub until its receiver says that it has it, however long a line is cut."""

import pytest

from shared.kit.streams import START, Position
from shared.network import changes
from shared.network.link import notes as link_notes
from shared.network.names import hub_stream, pub_stream
from shared.network.roster import Member
from shared.network.taken import NoteRefused, note, read_note, taken_hash
from tests.integration.network.link_world import AWO, BOX, VHS, World, sealed_event
from tests.unit.network.network_sample import KARGAH, identity, network

ROSTER = network(AWO, VHS, KARGAH)


async def _days(world: World, days: int, *slugs: str) -> None:
    """Let days pass on which the office signs, and only some nodes have a line; each trims once a day."""
    for _ in range(days):
        world.later(days=1)
        await world.publish(world.roster)
        for slug in slugs:
            node = world.nodes[slug]
            await node.take()
            await node.send()
            await node.link.trim()


async def _a_box_in_a_long_cut(world: World, days: int) -> list[int]:
    """Send a box to a node whose line is cut for days; gives what it has when the line is back."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await _days(world, 1, AWO, VHS)
    await awo.put(BOX, sealed_event(1), sealed_event(2))
    await _days(world, days, AWO)
    await world.meet()
    return [entry.position.seq for entry in await vhs.here(BOX)]


@pytest.mark.parametrize("days", [29, 31, 100])
async def test_a_box_that_nobody_took_waits_for_its_receiver(world: World, days: int) -> None:
    """Its receiver finds all of it when its line is back."""
    assert await _a_box_in_a_long_cut(world, days) == [1, 2]


async def test_trimmed_by_age_alone_a_box_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: what goes because it is old is gone before its receiver is back."""
    monkeypatch.setattr(link_notes, "NEVER_TAKEN", world.options.boxes)
    assert await _a_box_in_a_long_cut(world, 32) == []


async def test_a_box_goes_a_month_after_it_was_taken(world: World) -> None:
    """Not before: a receiver whose backup comes back finds what it lost since then."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.put(BOX, sealed_event(1))
    await _days(world, 29, AWO, VHS)
    assert len(await world.on_hub(BOX)) == 1
    await awo.put(BOX, sealed_event(2))
    await _days(world, 5, AWO, VHS)
    assert [entry.position.seq for entry in await world.on_hub(BOX)] == [2]
    assert (vhs.link.stopped, awo.link.stopped) == ({}, {})


async def test_who_never_says_what_it_takes_does_not_fill_the_hub_for_ever(world: World) -> None:
    """After a year what was not said to be taken goes, and the sender's operator is told."""
    awo = world.nodes[AWO]
    await awo.put(BOX, sealed_event(1))
    await awo.send()
    world.later(days=364)
    await world.publish(world.roster)
    await _days(world, 1, AWO)
    assert len(await world.on_hub(BOX)) == 1
    await _days(world, 2, AWO)
    assert await world.on_hub(BOX) == []


async def test_a_forged_note_trims_nothing(world: World) -> None:
    """The hub can make nobody believe that a box was taken."""
    awo = world.nodes[AWO]
    await awo.put(BOX, sealed_event(1))
    await awo.send()
    forged = note(identity(KARGAH), AWO, identity(AWO).kid, identity(AWO).public.x25519, Position(1, 1))
    for lie in (forged, b"nonsense"):
        world.hub.notes[VHS][AWO] = lie
        await _days(world, 35, AWO)
        assert len(await world.on_hub(BOX)) == 1


def _written(receiver: str = VHS, sender: str = AWO, for_: str = AWO) -> bytes:
    key = identity(for_).public
    return note(identity(receiver), sender, key.kid, key.x25519, Position(1, 7))


def test_a_note_says_to_its_sender_what_was_taken() -> None:
    """Sealed for the sender, signed by the receiver."""
    assert read_note(ROSTER, identity(AWO).box_keys, VHS, AWO, _written()) == Position(1, 7)


def _turned(written: bytes) -> bytes:
    return written[:-1] + bytes([written[-1] ^ 1])


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (b"nonsense", "not_a_note"),
        (_written(KARGAH), "unknown_key"),
        (_turned(_written()), "not_genuine"),
        (_written(sender=KARGAH), "not_genuine"),
        (_written(for_=KARGAH), "cannot_open"),
    ],
)
def test_a_note_of_another_or_to_another_is_refused(written: bytes, code: str) -> None:
    """Neither who signs nor for whom can be changed on the way."""
    with pytest.raises(NoteRefused) as refused:
        read_note(ROSTER, identity(AWO).box_keys, VHS, AWO, written)
    assert refused.value.code == code


def test_a_key_that_is_revoked_notes_nothing() -> None:
    """Who stole it could have others trim what was never taken."""
    vhs = ROSTER.member(VHS)
    assert isinstance(vhs, Member)
    revoked = changes.revoke(ROSTER, VHS, vhs.keys[0].kid, {})
    with pytest.raises(NoteRefused, match="none of"):
        read_note(revoked, identity(AWO).box_keys, VHS, AWO, _written())


async def test_all_others_are_told_at_once_so_that_nobody_sees_who_writes_to_whom(world: World) -> None:
    """Also who never wrote gets a note; all of them look alike, and change with each writing."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await world.publish(changes.admit(world.roster, KARGAH, identity(KARGAH).public))
    await awo.put(BOX, *map(sealed_event, range(1, 13)))
    await _days(world, 1, AWO, VHS)
    first = dict(world.hub.notes[VHS])
    await vhs.link.trim()
    second = world.hub.notes[VHS]
    assert first.keys() == {AWO, KARGAH}
    assert len({len(one) for one in first.values()}) == 1
    assert all(first[slug] != second[slug] for slug in first)
    assert read_note(world.roster, identity(KARGAH).box_keys, VHS, KARGAH, second[KARGAH]) == START


def test_the_hash_of_notes_is_no_stream() -> None:
    """No institution could publish there, and nobody reads it as one."""
    with pytest.raises(ValueError, match="no stream"):
        hub_stream(taken_hash(AWO))
    assert taken_hash(AWO).startswith(pub_stream(AWO, ""))
