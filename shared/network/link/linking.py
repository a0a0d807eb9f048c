"""The link as a part of the service members: built from its settings, run beside its relay."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis

from shared.kit.ending import is_ending, pause
from shared.kit.lease import Lease
from shared.kit.node import Node, log_of_the_owner
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.streams import Position
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.identity import Identity
from shared.network.link.link import Link, Options
from shared.network.link.metrics import LinkCollector
from shared.network.link.running import Running
from shared.network.link.store import LinkStore
from shared.network.office.joining import identity_path, next_path

log = structlog.get_logger()

LOOK_EVERY = 5.0

Identities = dict[str, tuple[Identity, ...]]


class LinkSettings(Protocol):
    """What the link is told by the operator."""

    hub: str
    hub_ca: str
    identities: Path


def load_identities(folder: Path) -> Identities:
    """Load the keys of every institution that has some here, those that the office has not named yet first."""
    found: Identities = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        identity = Identity.load(path)
        if path != identity_path(folder, identity.slug):
            continue
        next_ = next_path(folder, identity.slug)
        newer = (Identity.load(next_),) if next_.exists() else ()
        found[identity.slug] = (*newer, identity, *identity.former)
    return found


def has_hub(node: Node[Any]) -> bool:
    """Tell whether this node was given the address of a hub."""
    return bool(getattr(node.settings, "hub", ""))


async def turn(node: Node[Any]) -> None:
    """Run the link as long as the node runs; begins anew when keys come or change; does nothing without a hub."""
    if not has_hub(node):
        return
    settings: Any = node.settings
    while not is_ending():
        try:
            identities = load_identities(settings.identities)
            node.kept["has_keys"] = bool(identities)
            if identities:
                await _run_until_keys_change(node, identities)
        except (OSError, ValueError) as error:
            log.error("keys_not_read", reason=str(error), exc_info=None)  # noqa: TRY400 - its words say all
        await pause(LOOK_EVERY)


async def _run_until_keys_change(node: Node[Any], identities: Identities) -> None:
    settings: Any = node.settings
    hubs = {
        slug: RedisHub(connect_hub(settings.hub, slug, keys[-1].password, settings.hub_ca or None))
        for slug, keys in identities.items()
    }
    inside = connect(settings.redis)
    running = build(node, identities, hubs, inside)
    collector = LinkCollector(running.link)
    node.registry.register(collector)
    node.kept["link"] = running.link
    node.stops["link"] = lambda: running.link.stopped
    task = asyncio.create_task(running.run())
    try:
        while not task.done() and load_identities(settings.identities) == identities:
            await asyncio.wait([task], timeout=LOOK_EVERY)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        node.kept.pop("link", None)
        node.stops.pop("link", None)
        node.registry.unregister(collector)
        for hub in hubs.values():
            await hub.close()
        await inside.aclose()


def build(node: Node[Any], identities: Identities, hubs: Mapping[str, RedisHub], inside: Redis) -> Running:
    """Put a link together on a node's database and streams."""
    settings = node.settings
    lease = Lease("link", settings.holder_of(node.service.name), node.database, node.works.clock)
    hosted = [] if settings.hosted == "*" else settings.hosted.split(",")
    link = Link(
        identities,
        hubs,
        RedisStreams(inside),
        LinkStore(node.database, lease),
        node.works.clock,
        SystemRandom(),
        hosted=hosted,
        backfill=log_of_the_owner(settings, node.http),
        options=Options(),
    )
    return Running(link, lease, partial(wake_inside, inside))


async def wake_inside(inside: Redis, after: dict[str, Position], seconds: float) -> None:
    """Wait until a stream inside has an entry behind its place, without asking again and again."""
    places: dict[Any, Any] = {stream: str(position) for stream, position in after.items()}
    await inside.xread(places, count=1, block=int(seconds * 1000))
