"""The link between nodes and a hub in memory: what goes up comes down, and whatever breaks in between is mended."""

from inspect import iscoroutinefunction
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from shared.kit import tables as kit
from shared.kit.epochs import Epochs
from shared.kit.lease import Lease
from shared.kit.relay import Relay
from shared.kit.streams import START, Entry, Position
from shared.kit.witness import Head
from shared.network import changes, tables
from shared.network.beats import read_beat
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubStreams
from shared.network.link.fence import NotLeading
from shared.network.link.link import Options
from shared.network.link.store import LinkStore
from shared.network.link.witness import HubLog
from shared.network.names import ROSTER, pub_stream
from shared.network.refusal import Refusal
from shared.network.roster_document import document_of
from shared.network.signing import sign_entry
from tests.integration.network.link_world import (
    AWO,
    BOX,
    PUB,
    RUNS,
    VHS,
    NodeOfTest,
    World,
    sealed_event,
    tampered,
)
from tests.unit.network.network_sample import event, identity

OWN_OF_VHS = pub_stream(VHS, "members")


def _code(why: Refusal | None) -> str | None:
    return why.code if why else None


class AsWitness:
    """The hub's log as a relay asks for it over HTTP."""

    def __init__(self, hub_log: HubLog) -> None:
        self._log = hub_log

    async def head(self, stream: str) -> Head | None:
        """Give the end of a stream."""
        return Head(*await self._log.head(stream)) if self._log.is_there(stream) else Head(START, None)

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give entries behind a position."""
        return [Entry(*one) for one in await self._log.behind(stream, after, count)]


class Killed(BaseException):
    """The process ended here."""


class Fatal:
    """Ends the process at the n-th call, before it is made or after it was."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._left = at
        self._after = after

    def around(self, thing: Any) -> Any:
        """Give a thing whose calls are counted."""
        fatal = self

        class Counted:
            def __getattr__(self, name: str) -> Any:
                found = getattr(thing, name)
                if not iscoroutinefunction(found):
                    return found

                async def call(*arguments: Any, **named: Any) -> Any:
                    fatal._left -= 1
                    if fatal._left == 0 and not fatal._after:
                        raise Killed
                    answer = await found(*arguments, **named)
                    if fatal._left == 0:
                        raise Killed
                    return answer

                return call

        return Counted()


class Careless:
    """A hub on which one appends without looking, as with plain XADD."""

    def __init__(self, hub: HubStreams) -> None:
        self._hub = hub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    async def append(
        self, stream: str, after: Position, entries: list[SignedEntry], state: dict[str, SignedEntry]
    ) -> Position | None:
        """Append wherever the stream ends."""
        [head] = await self._hub.heads([stream])
        return await self._hub.append(stream, head, entries, state)


async def test_what_one_node_tells_stands_on_the_other_as_it_stood(world: World) -> None:
    """Positions, bytes, hashes and the newest of each key are the same on both sides."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(5):
        await awo.say(number)
    await awo.say(3, version=2)
    await world.meet()
    assert len(await awo.here()) == 6
    assert await vhs.here() == await awo.here()
    assert await vhs.local.state(PUB) == await awo.local.state(PUB)
    assert vhs.link.stopped == awo.link.stopped == {}


async def test_a_reader_on_the_other_node_hears_each_message_once(world: World) -> None:
    """A reader of the kit takes the foreign stream as if its institution were hosted here."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(3):
        await awo.say(number)
    await world.meet()
    reader = vhs.sample.reader(PUB)
    await reader.catch_up()
    for number in range(3, 6):
        await awo.say(number)
    await world.meet()
    await reader.catch_up()
    assert await vhs.sample.heard() == [(f"thing-{number}", 1) for number in range(6)]


async def test_a_box_is_sealed_on_the_hub_and_open_at_both_ends(world: World) -> None:
    """The hub never holds the words; the addressee has the very bytes, under the same position."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.put(BOX, *(sealed_event(number) for number in range(1, 4)))
    await awo.send()
    await vhs.take()
    on_hub = await world.on_hub(BOX)
    assert len(on_hub) == 3
    assert not any(b"canary" in entry.payload for entry in on_hub)
    assert [(e.position, e.payload) for e in await vhs.here(BOX)] == [
        (e.position, e.payload) for e in await awo.here(BOX)
    ]


async def test_a_hub_that_was_wiped_gets_the_same_bytes_again(world: World) -> None:
    """Entries, states and heartbeats come back, boxes with the sealing that they had; readers see nothing of it."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(4):
        await awo.say(number)
    await awo.put(BOX, sealed_event(1), sealed_event(2))
    await world.meet()
    before = [await world.on_hub(name) for name in (PUB, BOX)], dict(world.hub.states[PUB])
    world.hub.wipe()
    await awo.say(9)
    await world.meet()
    after = [await world.on_hub(name) for name in (PUB, BOX)]
    assert [after[0][:4], after[1]] == before[0]
    assert world.hub.states[PUB].items() >= before[1].items()
    assert PUB in world.hub.beats
    assert await vhs.here() == await awo.here()
    assert len(await vhs.here()) == 5


async def test_without_compare_and_append_a_wiped_hub_keeps_a_gap(world: World) -> None:
    """Control: a link that appends without looking where the stream ends leaves the others without the beginning."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    world.seen_by = lambda _, hub: Careless(hub)
    await awo.restart_link()
    await awo.say(1)
    await awo.relay()
    await awo.send()
    world.hub.wipe()
    await awo.say(2)
    await awo.relay()
    await awo.send()
    assert [entry.position.seq for entry in await world.on_hub()] == [2]
    world.seen_by = lambda _, hub: hub
    await awo.restart_link()
    await world.meet()
    assert [entry.position.seq for entry in await vhs.here()] == [2]


async def test_a_node_whose_redis_was_wiped_gets_all_of_it_again(world: World) -> None:
    """The others' streams come from the hub, its own from its relay; and it goes on."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(4):
        await awo.say(number)
    await vhs.say(7)
    await awo.put(BOX, sealed_event(1))
    await world.meet()
    kept = await vhs.here(), await vhs.here(BOX), await vhs.here(OWN_OF_VHS)
    vhs.local.wipe()  # type: ignore[attr-defined] # streams in memory
    await world.meet()
    assert (await vhs.here(), await vhs.here(BOX), await vhs.here(OWN_OF_VHS)) == kept
    awo.local.wipe()  # type: ignore[attr-defined] # as above
    await awo.say(5)
    await world.meet()
    assert len(await vhs.here()) == 5
    assert await vhs.here() == await awo.here()


async def test_a_forged_entry_waits_in_quarantine_and_the_other_streams_go_on(world: World) -> None:
    """It is never read; what is behind it waits; when the true entry is there, all of it comes."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(3):
        await awo.say(number)
    await awo.put(RUNS, event("/awo/courses", "run_1"))
    await awo.relay()
    await awo.send()
    true = list(world.hub.entries[PUB])
    world.hub.entries[PUB][1] = tampered(true[1])
    await vhs.take()
    assert (len(await vhs.here()), len(await vhs.here(RUNS))) == (1, 1)
    assert [(w.code, w.position.seq) for w in (await vhs.link.store.waiting()).values()] == [("not_genuine", 2)]
    assert PUB in vhs.link.stopped
    await vhs.restart_link()
    await vhs.take()
    assert len(await vhs.here()) == 1
    world.hub.entries[PUB][:] = true
    world.later(minutes=2)
    await vhs.take()
    assert (len(await vhs.here()), await vhs.link.store.waiting(), vhs.link.stopped) == (3, {}, {})


async def test_without_the_check_of_signatures_a_forged_entry_is_taken(world: World) -> None:
    """Control: the signature is what keeps it out."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    world.options = Options(genuine=lambda *_: True)
    await vhs.restart_link()
    await awo.say(0)
    await awo.relay()
    await awo.send()
    world.hub.entries[PUB][0] = tampered(world.hub.entries[PUB][0])
    await vhs.take()
    assert b"think" in (await vhs.here())[0].payload


async def test_a_suspended_institution_is_cut_at_its_place_and_goes_on_when_it_is_back(world: World) -> None:
    """What came before the cut stays; what comes behind waits at the border of every node."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await world.meet()
    await world.publish(changes.suspend(world.roster, AWO, {PUB: Position(1, 1)}))
    forced = sign_entry(identity(AWO), PUB, Position(1, 2), (await awo.here())[0].hash, event("/awo/members", "x"))
    world.hub.as_user(AWO)
    await world.as_user(AWO).append(PUB, Position(1, 1), [forced], {})
    await vhs.take()
    assert len(await vhs.here()) == 1
    assert [w.code for w in (await vhs.link.store.waiting()).values()] == ["institution_not_active"]
    await world.publish(changes.reinstate(world.roster, AWO))
    await vhs.take()
    assert len(await vhs.here()) == 2


async def test_a_suspended_institution_sends_nothing_until_it_is_back(world: World) -> None:
    """Its own link keeps what it has to say."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await world.publish(changes.suspend(world.roster, AWO, {}))
    await awo.take()
    await awo.say(1)
    await awo.relay()
    await awo.send()
    assert (await world.on_hub(), list(awo.link.stopped)) == ([], [PUB])
    await world.publish(changes.reinstate(world.roster, AWO))
    await world.meet()
    assert len(await vhs.here()) == 1


async def test_keys_are_changed_in_mid_stream(world: World) -> None:
    """Each entry is signed with the key that speaks at its place, also when the hub has to be filled again."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    old = identity(AWO)
    new = old.with_new_keys(Random(9).randbytes)
    await awo.say(1)
    await world.meet()
    world.keys[AWO] = (new, old)
    await awo.restart_link()
    await awo.say(2)
    await world.meet()
    await world.publish(changes.rotate(world.roster, AWO, new.public, {PUB: Position(1, 2)}))
    await awo.take()
    await awo.say(3)
    await world.meet()
    world.keys[AWO] = (new,)
    await awo.restart_link()
    world.hub.wipe()
    await awo.say(4)
    await world.meet()
    assert [entry.kid for entry in await world.on_hub()] == [old.kid, old.kid, new.kid, new.kid]
    assert len(await vhs.here()) == 4


async def test_a_roster_that_has_expired_lets_nothing_new_in(world: World) -> None:
    """Until a newer one comes, in which the same entries are taken."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await awo.relay()
    world.later(days=15)
    await awo.send()
    await vhs.take()
    await vhs.link.check()
    assert await vhs.here() == []
    assert "expired" in vhs.link.stopped[ROSTER]
    await world.publish(world.roster)
    await vhs.take()
    assert (len(await vhs.here()), vhs.link.stopped) == (1, {})


async def test_an_older_roster_is_never_taken_again(world: World) -> None:
    """Neither under its own id nor as a later one, nor after a restart; a forged one is passed over."""
    vhs = world.nodes[VHS]
    old = world.hub.documents[world.roster.version]
    await world.publish(changes.suspend(world.roster, AWO, {}))
    await vhs.take()
    version = world.roster.version
    world.hub.put_roster(version + 1, *old)
    forged = document_of(changes.issue(changes.reinstate(world.roster, AWO), world.clock.now()))
    world.hub.put_roster(version + 2, forged, b"[]")
    await vhs.take()
    await vhs.restart_link()
    await vhs.link.check()
    assert vhs.link.roster is not None
    assert vhs.link.roster.version == version
    assert vhs.link.roster.member(AWO).status == "suspended"  # type: ignore[union-attr] # AWO is in it


async def test_who_comes_late_takes_the_state_and_then_the_tail(world: World) -> None:
    """A stream whose beginning is trimmed is taken from its state, with every key."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(6):
        await awo.say(number)
    await awo.relay()
    await awo.send()
    await awo.link.check()
    await world.as_user(AWO).trim(PUB, Position(1, 5))
    await vhs.take()
    assert await vhs.local.state(PUB) == await awo.local.state(PUB)
    await awo.say(6)
    await world.meet()
    reader = vhs.sample.reader(PUB)
    await reader.catch_up()
    assert sorted(await vhs.sample.heard()) == [(f"thing-{number}", 1) for number in range(7)]


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda hub: hub.states[PUB].pop("thing-2"), "state_withheld"),
        (lambda hub: hub.ends.update({PUB: Position(1, 5)}) or hub.entries[PUB].pop(), "tail_withheld"),
        (lambda hub: hub.states[PUB].update({"thing-1": b"nonsense"}), "unknown_key"),
        (lambda hub: hub.states[PUB].update({"thing-1": hub.states[PUB]["thing-2"]}), "wrong_subject"),
    ],
)
async def test_a_hub_that_forges_or_holds_back_a_state_is_seen(world: World, harm: Any, code: str) -> None:
    """Who comes late takes nothing of such a stream, and says why; a state that is whole again is taken."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(6):
        await awo.say(number)
    await awo.relay()
    await awo.send()
    await awo.link.check()
    await world.as_user(AWO).trim(PUB, Position(1, 5))
    whole = dict(world.hub.states[PUB]), dict(world.hub.ends), list(world.hub.entries[PUB])
    harm(world.hub)
    await vhs.take()
    assert await vhs.here() == []
    assert _code(vhs.link.downs[PUB].stopped) == code
    world.hub.states[PUB], world.hub.ends, world.hub.entries[PUB] = whole
    world.later(minutes=2)
    await vhs.take()
    assert len(await vhs.local.state(PUB)) == 6


async def test_a_writer_that_was_restored_without_the_hub_is_seen(world: World) -> None:
    """What was taken of it is neither on the hub nor in its log: the operator hears of it, until it is there again."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await world.meet()
    await awo.link.check()
    before = list(world.hub.entries[PUB]), dict(world.hub.ends), dict(world.hub.beats)
    await awo.say(2)
    await world.meet()
    world.hub.entries[PUB], world.hub.ends, world.hub.beats = before
    for _ in range(3):
        await vhs.link.check()
        world.later(minutes=1)
    assert _code(vhs.link.downs[PUB].listener.doubt) == "tail_lost"
    await awo.link.check()
    await awo.send()
    await vhs.link.check()
    assert vhs.link.downs[PUB].listener.doubt is None


async def test_what_came_since_the_ends_were_asked_is_no_lost_tail(world: World) -> None:
    """A stream that never rests is always further than its heartbeat and than the answer for all streams at once."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await world.meet()
    await awo.link.check()
    await awo.say(2)
    await world.meet()
    down, roster = vhs.link.downs[PUB], vhs.link.roster
    assert roster is not None
    for _ in range(3):
        await down.check(roster, Position(1, 1), down.at.local)
        world.later(minutes=1)
    assert (down.at.position, down.listener.doubt) == (Position(1, 2), None)


async def test_a_hub_that_holds_back_the_tail_is_seen(world: World) -> None:
    """The heartbeat names an end that the hub does not show; after a minute the operator hears of it."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await world.meet()
    await awo.say(2)
    await awo.relay()
    await awo.send()
    world.later(minutes=1)
    await awo.link.check()
    hidden = world.hub.entries[PUB].pop()
    world.hub.ends[PUB] = Position(1, 1)
    for _ in range(3):
        await vhs.link.check()
        world.later(minutes=1)
    assert _code(vhs.link.downs[PUB].listener.doubt) == "tail_withheld"
    world.hub.entries[PUB].append(hidden)
    world.hub.ends[PUB] = Position(1, 2)
    await vhs.take()
    await vhs.link.check()
    assert vhs.link.stopped == {}


async def test_the_heartbeat_inside_is_the_one_of_the_state_inside(world: World) -> None:
    """A local reader may compare number and digest, as with a hosted institution."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await awo.say(2)
    await world.meet()
    here, there = await vhs.local.heartbeat(PUB), await awo.local.heartbeat(PUB)
    assert here is not None
    assert there is not None
    assert (here.head, here.keys, here.digest) == (there.head, there.keys, there.digest)


async def test_a_link_whose_tables_are_lost_takes_its_own_entries_back_and_sends_none_twice(world: World) -> None:
    """The hub keeps the very same entries, the next one continues them, the heartbeat names every key."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(4):
        await awo.say(number)
    await awo.put(BOX, sealed_event(1))
    await world.meet()
    before = await world.on_hub(), await world.on_hub(BOX)
    async with awo.database.transaction() as connection:
        await connection.execute(sa.delete(tables.signed))
        await connection.execute(sa.delete(tables.up))
        await connection.execute(sa.delete(tables.down))
    async with vhs.database.transaction() as connection:
        await connection.execute(sa.delete(tables.down))
    await awo.restart_link()
    await vhs.restart_link()
    await awo.say(4)
    await awo.put(BOX, sealed_event(2))
    world.later(minutes=5)
    await world.meet()
    after = await world.on_hub(), await world.on_hub(BOX)
    assert (after[0][:4], after[1][:1]) == before
    assert (len(after[0]), len(after[1])) == (5, 2)
    assert read_beat(world.hub.beats[PUB].payload).keys == 5
    assert [e.payload for e in await vhs.here(BOX)] == [e.payload for e in await awo.here(BOX)]
    assert vhs.link.stopped == awo.link.stopped == {}


async def test_an_institution_that_published_for_long_before_it_joined_brings_its_state(world: World) -> None:
    """Its stream is trimmed inside; every key comes to the others, and what it tells next, too."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(5):
        await awo.say(number)
    await awo.relay()
    await awo.local.trim(PUB, Position(1, 6))
    await awo.send()
    world.later(minutes=1)
    await awo.send()
    await awo.link.check()
    await vhs.link.check()
    await vhs.take()
    payloads = {key: entry.payload for key, entry in (await awo.local.state(PUB)).items()}
    assert {key: entry.payload for key, entry in (await vhs.local.state(PUB)).items()} == payloads
    await awo.say(5)
    await world.meet()
    world.hub.wipe()
    await awo.say(1, version=2)
    await world.meet()
    reader = vhs.sample.reader(PUB)
    await reader.catch_up()
    assert sorted(await vhs.sample.heard()) == [("thing-0", 1), ("thing-1", 2)] + [
        (f"thing-{n}", 1) for n in (2, 3, 4, 5)
    ]
    assert vhs.link.stopped == awo.link.stopped == {}


async def test_a_hub_that_is_ahead_of_the_stream_inside_gets_nothing_until_a_new_epoch(world: World) -> None:
    """The relay of a restored database hears of it by the witness, takes its own back, and begins the next epoch."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.say(1)
    await world.meet()
    async with awo.database.reading() as connection:
        backup = [dict(row._mapping) for row in await connection.execute(sa.select(kit.outbox))]
    await awo.say(2)
    await awo.say(3)
    await world.meet()
    async with awo.database.transaction() as connection:
        await connection.execute(sa.delete(kit.outbox).where(kit.outbox.c.seq > len(backup)))
        await connection.execute(sa.update(kit.stream_head).values(seq=1, hash=backup[0]["hash"]))
    awo.local.wipe()  # type: ignore[attr-defined] # streams in memory
    await awo.restart_link()
    await awo.send()
    assert [e.position.seq for e in await world.on_hub()] == [1, 2, 3]
    hub_log = HubLog(awo.link)
    assert await hub_log.head(PUB) == (Position(1, 3), (await vhs.here())[-1].hash)
    await awo.say(4)
    relay = awo.sample.relay()
    epochs = Epochs(awo.database, awo.local, awo.clock, awo.sample.lease, AsWitness(hub_log))
    relay = Relay(awo.database, awo.local, awo.clock, Random(1), awo.sample.lease, epochs)
    await awo.sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass
    await relay.check()
    await awo.send()
    await vhs.take()
    assert [str(e.position) for e in await vhs.here()] == ["1-1", "1-2", "1-3", "2-1"]
    assert [e.payload for e in await vhs.here()] == [e.payload for e in await awo.here()]
    assert awo.link.stopped == {}


async def test_a_stream_inside_with_another_history_is_not_sent_on(world: World) -> None:
    """Two messages for one place are two histories: a person must know of it."""
    awo = world.nodes[AWO]
    await awo.say(1)
    await world.meet()
    awo.local.wipe()  # type: ignore[attr-defined] # streams in memory
    await awo.put(PUB, event("/awo/members", "x"), event("/awo/members", "y"))
    await awo.restart_link()
    await awo.send()
    assert len(await world.on_hub()) == 1
    assert "another message at 1-1" in awo.link.stopped[PUB]


async def test_erased_entries_of_a_box_leave_the_hub_and_no_refill_brings_them_back(world: World) -> None:
    """The receiver goes on behind the gap; what it has got it loses only when it is asked, too."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.put(BOX, *(sealed_event(number) for number in range(1, 5)))
    await awo.send()
    await vhs.take()
    await awo.link.store.ask_removal(BOX, [Position(1, 2), Position(1, 4)], world.clock.now())
    await vhs.link.store.ask_removal(BOX, [Position(1, 2)], world.clock.now())
    await awo.link.erase()
    await vhs.link.erase()
    assert [e.position.seq for e in await world.on_hub(BOX)] == [1, 3]
    assert [e.position.seq for e in await vhs.here(BOX)] == [1, 3, 4]
    world.hub.wipe()
    vhs.local.wipe()  # type: ignore[attr-defined] # streams in memory
    await awo.put(BOX, sealed_event(5))
    await world.meet()
    assert [e.position.seq for e in await world.on_hub(BOX)] == [1, 3, 5]
    assert [e.position.seq for e in await vhs.here(BOX)] == [1, 3, 5]
    assert await awo.link.store.removals() == {}


async def test_a_box_for_a_key_that_is_gone_is_passed_over(world: World) -> None:
    """It is kept with its reason, and what comes behind it is read."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    await awo.put(BOX, sealed_event(1))
    await awo.send()
    world.keys[VHS] = (identity(VHS, 2),)
    await world.publish(changes.rotate(world.roster, VHS, identity(VHS, 2).public, {}))
    await vhs.restart_link()
    await vhs.take()
    await awo.take()
    await awo.put(BOX, sealed_event(2))
    await awo.send()
    await vhs.take()
    assert [e.position.seq for e in await vhs.here(BOX)] == [2]
    async with vhs.database.reading() as connection:
        codes = list(await connection.execute(sa.select(tables.quarantine.c.code, tables.quarantine.c.state)))
    assert codes == [("key_gone", "passed")]


async def test_what_is_older_than_its_retention_goes_from_the_hub_and_from_inside(world: World) -> None:
    """By age, never by number; of a public stream every key and its end stay, of a box nothing."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(3):
        await awo.say(number)
    await awo.put(BOX, sealed_event(1))
    await world.meet()
    await vhs.link.trim()
    await awo.link.trim()
    world.later(days=40)
    await world.publish(world.roster)
    await world.meet()
    await awo.put(BOX, sealed_event(2))
    await world.meet()
    for node in (awo, vhs):
        await node.link.trim()
    assert [e.position.seq for e in await world.on_hub(BOX)] == [2]
    assert [e.position.seq for e in await vhs.here(BOX)] == [2]
    assert len(await world.on_hub()) == 3
    world.later(days=60)
    await world.publish(world.roster)
    await world.meet()
    for node in (awo, vhs):
        await node.link.trim()
    assert [e.position.seq for e in await world.on_hub()] == [3]
    assert len(world.hub.states[PUB]) == 3
    world.hub.wipe()
    await awo.say(3)
    await world.meet()
    assert [e.position.seq for e in await world.on_hub()] == [3, 4]
    assert len(await vhs.local.state(PUB)) == 4
    assert vhs.link.stopped == awo.link.stopped == {}


async def test_only_the_copy_that_leads_writes(world: World) -> None:
    """A copy whose lease was taken keeps nothing, and sends nothing."""
    awo = world.nodes[AWO]
    one, two = Lease("link", "one", awo.database, world.clock), Lease("link", "two", awo.database, world.clock)
    assert await one.hold()
    world.later(seconds=30)
    assert await two.hold()
    awo.link.store = LinkStore(awo.database, one)
    awo.link.ups.clear()
    await awo.link.take_rosters()
    awo.link._know_streams()
    await awo.say(1)
    await awo.relay()
    with pytest.raises(NotLeading):
        await awo.send()
    assert await world.on_hub() == []


@pytest.mark.parametrize("after", [False, True])
async def test_a_link_that_dies_anywhere_loses_doubles_and_reorders_nothing(world: World, after: bool) -> None:
    """It is killed once before, and once behind, each single call on hub, streams and database; then it goes on."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    deaths = 0
    for number in range(1, 400):
        await awo.put(PUB, event(f"/{AWO}/members", f"thing-{number % 7}", version=number))
        await awo.put(BOX, sealed_event(number))
        fatal = Fatal(number, after=after)
        survived = await _lives_through(awo, fatal) and await _lives_through(vhs, fatal)
        await awo.restart_link()
        await vhs.restart_link()
        if survived:
            break
        deaths += 1
    assert deaths > 20
    await world.meet()
    assert await vhs.here() == await awo.here()
    assert await vhs.local.state(PUB) == await awo.local.state(PUB)
    assert [e.payload for e in await vhs.here(BOX)] == [e.payload for e in await awo.here(BOX)]
    assert [e.position for e in await vhs.here(BOX)] == [e.position for e in await awo.here(BOX)]
    assert vhs.link.stopped == awo.link.stopped == {}


async def _lives_through(node: NodeOfTest, fatal: Fatal) -> bool:
    link = node.link
    link.store = fatal.around(link.store)
    link.local = fatal.around(link.local)
    link.hub_of = {slug: fatal.around(hub) for slug, hub in link.hub_of.items()}
    link.ups.clear()
    link.downs.clear()
    try:
        await link.start()
        await node.send()
        await link.check()
        await node.take()
    except Killed:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
async def test_deaths_and_wipes_in_any_order_end_with_equal_nodes(world: World, seed: int) -> None:
    """Each server loses everything at some moment, links die in mid-call; then all is there, once and in order."""
    chance = Random(seed)
    boxes: list[bytes] = []
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(40):
        await awo.say(chance.randrange(6), version=number + 1)
        boxes.append(sealed_event(number))
        await awo.put(BOX, boxes[-1])
        await awo.relay()
        world.later(seconds=chance.choice([1, 20, 70]))
        if (fate := chance.random()) < 0.1:
            world.hub.wipe()
        elif fate < 0.2:
            vhs.local.wipe()  # type: ignore[attr-defined] # streams in memory
        elif fate < 0.25:
            awo.local.wipe()  # type: ignore[attr-defined] # as above
            awo.hashes.clear()
            await awo.put(BOX, *boxes)
        for node in chance.sample([awo, vhs], 2):
            await _lives_through(node, Fatal(chance.randrange(1, 40), after=chance.random() < 0.5))
            await node.restart_link()
    world.later(minutes=2)
    await world.meet()
    assert (await vhs.local.state(PUB), len(await vhs.here(BOX))) == (await awo.local.state(PUB), 40)
    there = {entry.position: entry for entry in await awo.here()}
    assert all(there[entry.position] == entry for entry in await vhs.here())
    assert [e.payload for e in await vhs.here(BOX)] == boxes
    assert vhs.link.stopped == awo.link.stopped == {}
