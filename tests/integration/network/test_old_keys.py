"""After a change of keys the old one is revoked by itself, as soon as nothing signed with it is still under way."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from shared.kit.streams import Position
from shared.network import changes, tables
from shared.network.hub.streams import HubAway
from shared.network.office.invitation import CodeRefused
from shared.network.office.retiring import Retirement, old_keys
from shared.network.roster import Member
from tests.integration.network.link_world import AWO, PUB, VHS, NodeOfTest, World
from tests.unit.network.network_sample import NOW, event, identity, roots

OLD = identity(AWO)
NEW = OLD.with_new_keys(Random(9).randbytes)


def _member(world: World) -> Member:
    found = world.roster.member(AWO)
    assert found is not None
    return found


async def _with_new_keys(world: World) -> NodeOfTest:
    awo = world.nodes[AWO]
    await awo.say(1)
    await world.meet()
    world.keys[AWO] = (NEW, *NEW.former)
    await awo.restart_link()
    await world.publish(changes.rotate(world.roster, AWO, NEW.public, {PUB: Position(1, 1)}))
    await awo.take()
    return awo


async def _office_ends_old_keys(world: World) -> None:
    """Do what the office does with a request, though its hub was wiped in this very moment."""
    request = Retirement.read(_member(world), world.hub.asked[AWO].pop("retire"))
    await world.publish(changes.revoke(world.roster, AWO, request.old, request.behind({})))


async def test_an_old_key_ends_when_all_that_it_signed_is_on_the_hub(world: World) -> None:
    """The node asks, the office revokes; what came before stays, also on a hub that is filled again."""
    awo, vhs = await _with_new_keys(world), world.nodes[VHS]
    await awo.send()
    await awo.link.check()
    assert list(world.hub.asked[AWO]) == ["retire"]
    await _office_ends_old_keys(world)
    assert (old_keys(_member(world)), [key.kid for key in _member(world).keys if key.revoked_from]) == ([], [OLD.kid])
    world.hub.wipe()
    vhs.local.wipe()  # type: ignore[attr-defined] # streams in memory
    await awo.take()
    await awo.say(2)
    await world.meet()
    assert [entry.kid for entry in await world.on_hub()] == [OLD.kid, NEW.kid]
    assert await vhs.here() == await awo.here()
    assert awo.link.stopped == vhs.link.stopped == {}


async def test_nothing_is_asked_while_something_signed_is_not_on_the_hub(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that is kept and was not sent would be taken by nobody any more."""
    awo = await _with_a_page_under_way(world, monkeypatch)
    await awo.link.check()
    assert "retire" not in world.hub.asked[AWO]
    await awo.send()
    await awo.link.check()
    assert "retire" in world.hub.asked[AWO]


async def test_revoked_by_the_heads_of_the_hub_alone_a_page_under_way_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: the office sees the hub, and not what a node has signed and not sent."""
    awo, vhs = await _with_a_page_under_way(world, monkeypatch), world.nodes[VHS]
    await world.publish(changes.revoke(world.roster, AWO, OLD.kid, {PUB: Position(1, 1)}))
    await world.meet()
    assert len(await vhs.here()) == 1
    assert [why.code for why in (await vhs.link.store.waiting()).values()] == ["key_not_valid_here"]
    assert len(await awo.here()) == 2


async def _with_a_page_under_way(world: World, monkeypatch: pytest.MonkeyPatch) -> NodeOfTest:
    """Have a page signed with the old key and not sent, and then new keys."""
    awo = world.nodes[AWO]
    await awo.say(1)
    await world.meet()
    await awo.say(2)
    await awo.relay()
    hub = awo.link.hub_of[AWO]

    async def away(*_: Any) -> None:
        raise HubAway("the line is cut")

    monkeypatch.setattr(hub, "append", away)
    with pytest.raises(HubAway):
        await awo.send()
    monkeypatch.undo()
    world.keys[AWO] = (NEW, *NEW.former)
    await awo.restart_link()
    await world.publish(changes.rotate(world.roster, AWO, NEW.public, {PUB: Position(1, 1)}))
    await awo.take()
    return awo


async def test_the_old_key_signs_again_what_only_it_may_sign(world: World) -> None:
    """The members' database and the hub are lost: the newest of each thing is signed anew where the old key speaks."""
    awo, vhs = world.nodes[AWO], world.nodes[VHS]
    for number in range(3):
        await awo.say(number)
    await world.meet()
    world.hub.wipe()
    await world.publish(changes.rotate(world.roster, AWO, NEW.public, {PUB: Position(1, 3)}))
    world.keys[AWO] = (NEW, *NEW.former)
    vhs.local.wipe()  # type: ignore[attr-defined] # streams in memory
    async with awo.database.transaction() as connection:
        for table in (tables.signed, tables.up):
            await connection.execute(sa.delete(table))
    async with vhs.database.transaction() as connection:
        await connection.execute(sa.delete(tables.down))
    for node in (awo, vhs):
        await node.restart_link()
        await node.take()
    await awo.say(3)
    await world.meet()
    assert [entry.kid for entry in await world.on_hub()] == [OLD.kid] * 3 + [NEW.kid]
    assert len(await vhs.here()) == 4


def test_a_request_that_is_not_signed_with_the_newest_key_is_refused() -> None:
    """Nobody else ends a key, and nobody ends the newest one."""
    world_roster = changes.rotate(
        changes.admit(changes.first_roster("office", roots(), NOW), AWO, OLD.public), AWO, NEW.public, {}
    )
    member = world_roster.member(AWO)
    assert member is not None
    good = Retirement.of(NEW, OLD.kid, {PUB: Position(1, 7)})
    assert Retirement.read(member, good.document) == good
    wrong = [
        (Retirement.of(OLD, OLD.kid, {}).document, "not_proven"),
        (Retirement.of(NEW, NEW.kid, {}).document, "newest_key"),
        (replace(good, heads={PUB: Position(1, 3)}).document, "not_proven"),
        (Retirement.of(NEW, OLD.kid, {PUB.replace(AWO, VHS): Position(1, 1)}).document, "not_a_request"),
        (event("/awo/courses", "x"), "not_a_request"),
    ]
    for document, code in wrong:
        with pytest.raises(CodeRefused) as refused:
            Retirement.read(member, document)
        assert refused.value.code == code
