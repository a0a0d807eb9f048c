"""The turns of a service, one after the other: what its loops do in life, until nothing is left to do."""

from collections.abc import Awaitable, Callable
from functools import partial
from random import SystemRandom
from typing import Any, cast

import sqlalchemy as sa

from deploy.chaos.sends.asking import OFFICE
from services.notifications.handlers import pushing, sending
from services.notifications.handlers.receiver import WayOut
from services.notifications.timers.couriers import Couriers
from services.notifications.timers.post import Post
from shared.contract.streams import parse_stream
from shared.contract.words import Audience
from shared.kit.directory import known_institutions
from shared.kit.node import Node
from shared.kit.streams import START, Position
from shared.kit.tables import cursor
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.link import linking
from shared.network.link.link import Link

Turn = Callable[[Node[Any]], Awaitable[bool]]
MOST_ROUNDS = 50


async def relay(node: Node[Any]) -> bool:
    """Publish whatever is told; tell whether there was anything."""
    await node.lease.hold()
    await node.relay.check()
    moved = False
    while await node.relay.step():
        moved = True
    return moved


async def read(node: Node[Any]) -> bool:
    """Read every stream to its end; tell whether there was anything."""
    behind = await _behind(node)
    for name in behind:
        await node.subscriptions._make(name).catch_up()
    return bool(behind)


async def _behind(node: Node[Any]) -> list[str]:
    hears, settings = node.subscriptions._hears, node.settings
    async with node.database.reading() as connection:
        institutions = await known_institutions(connection)
        names = hears.streams(institutions, OFFICE, settings.hosts, await hears.wanted(connection))
        rows = await connection.execute(sa.select(cursor.c.stream, cursor.c.epoch, cursor.c.seq))
        at = {row.stream: Position(row.epoch, row.seq) for row in rows}
    wanted = sorted(name for name in names if not _is_others_box(name, node))
    heads = await node.streams.heads(wanted)
    return [name for name, head in zip(wanted, heads, strict=True) if head > at.get(name, START)]


def _is_others_box(name: str, node: Node[Any]) -> bool:
    stream = parse_stream(name)
    return stream.audience is Audience.SEALED and not node.settings.answers_for(stream.institution)


async def _timer(node: Node[Any], name: str) -> bool:
    [timer] = [one for one in node.service.timers if one.name == name]
    await timer.do(node)
    return False


async def mail(node: Node[Any]) -> bool:
    """Judge what a dead sender left, then send what is due over one connection."""
    holder = node.settings.holder_of(node.service.name)
    async with node.works() as work:
        await sending.recover(work, holder)
    post = Post(node.works, cast("Any", node.settings), holder, SystemRandom())
    return bool(await post.until_nothing_is_due())


async def push(node: Node[Any]) -> bool:
    """Judge what a dead courier left, then push what is due."""
    holder = node.settings.holder_of(node.service.name)
    async with node.works() as work:
        await pushing.recover(work, holder)
    out = WayOut(private=True, connections=1)
    try:
        return bool(await Couriers(node.works, out, 1, holder, SystemRandom()).until_nothing_is_due())
    finally:
        await out.close()


async def _linked(node: Node[Any], do: Callable[[Link, str], Awaitable[bool]]) -> bool:
    settings: Any = node.settings
    identities = linking.load_identities(settings.identities)
    [(slug, keys)] = identities.items()
    hub = RedisHub(connect_hub(node.kept["hub"], slug, keys[-1].password))
    running = linking.build(node, identities, {slug: hub}, node.redis)
    try:
        await running.lease.hold()
        await running.link.start()
        await running.link.take_rosters()
        return await do(running.link, slug)
    finally:
        await running.lease.release()
        await hub.close()


async def _up(link: Link, slug: str) -> bool:
    moved = False
    while await link.send(slug):
        moved = True
    await link.check()
    return moved


async def _down(link: Link, slug: str) -> bool:
    moved = False
    while await link.step_down(slug, 1):
        moved = True
    return moved


TURNS: dict[str, Turn] = {
    "relay": relay,
    "read": read,
    "mail": mail,
    "push": push,
    "up": lambda node: _linked(node, _up),
    "down": lambda node: _linked(node, _down),
}


async def settle(node: Node[Any], turns: tuple[str, ...]) -> None:
    """Take the turns again and again until none finds anything; a turn that has no own name is a timer's."""
    for _ in range(MOST_ROUNDS):
        moved = [await TURNS.get(name, partial(_timer, name=name))(node) for name in turns]
        if not any(moved):
            return
    raise RuntimeError(f"{turns} come to no end")
