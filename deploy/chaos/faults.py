"""The faults: each hurts the network while everybody works, and has it mended again; gives what it did."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import redis

from deploy.chaos.network import PARTNERS, Hurtful
from deploy.chaos.place import Hurt, cut_tail, wipe
from deploy.chaos.space import BOTH, IN, OUT, Space
from deploy.demo.hands import until
from deploy.demo.platform import SERVICES
from shared.network.identity import Identity

HOUR = 3600
MOST_CUT = 20_000
IDLE = 40
MINE = {"courses": ("participant", "offer", "run"), "events": ("meeting",)}


@dataclass
class Hand:
    """What does the damage, by a seed."""

    network: Hurtful
    random: Random
    restored_behind: int

    def some_node(self) -> Hurt:
        """Choose a node."""
        return self.random.choice(self.network.places())

    def partner(self) -> Hurt:
        """Choose a node that is not the office's."""
        return self.network.nodes[self.random.choice(PARTNERS)]

    async def under_it(self, least: float = 1.0, most: float = 4.0) -> float:
        """Let everybody work on under the fault."""
        seconds = round(self.random.uniform(least, most), 2)
        await asyncio.sleep(seconds)
        return seconds


async def kill_services(hand: Hand) -> dict[str, Any]:
    """Kill services of any node with SIGKILL, one after the other, in mid-work."""
    killed = []
    for _ in range(3):
        node, service = hand.some_node(), hand.random.choice(SERVICES)
        await asyncio.to_thread(node.again, service)
        killed.append(f"{node.slug}/{service}")
        await hand.under_it(0.2, 1.5)
    return {"killed": killed}


async def kill_redis(hand: Hand) -> dict[str, Any]:
    """Kill a node's Redis with SIGKILL and start it again later."""
    node = hand.some_node()
    await asyncio.to_thread(node.redis.kill)
    seconds = await hand.under_it()
    await asyncio.to_thread(node.redis.start)
    return {"node": node.slug, "seconds": seconds}


async def kill_hub(hand: Hand) -> dict[str, Any]:
    """Kill the hub with SIGKILL and start it again later."""
    hub = hand.network.hub
    await asyncio.to_thread(hub.kill)
    seconds = await hand.under_it()
    await asyncio.to_thread(hub.start)
    return {"seconds": seconds}


async def cut_redis(hand: Hand) -> dict[str, Any]:
    """Kill a node's Redis and cut the end off its append-only file."""
    node = hand.some_node()
    await asyncio.to_thread(node.redis.kill)
    gone = cut_tail(node.redis.folder, hand.random.randint(1, MOST_CUT))
    await asyncio.to_thread(node.redis.start)
    await hand.under_it()
    return {"node": node.slug, "bytes": gone}


async def wipe_redis(hand: Hand) -> dict[str, Any]:
    """Kill a node's Redis and delete its append-only file."""
    node = hand.some_node()
    await asyncio.to_thread(node.redis.kill)
    gone = wipe(node.redis.folder)
    await asyncio.to_thread(node.redis.start)
    await hand.under_it()
    return {"node": node.slug, "bytes": gone}


async def cut_hub(hand: Hand) -> dict[str, Any]:
    """Kill the hub and cut the end off its append-only file."""
    return await _hurt_hub(hand, partial(cut_tail, count=hand.random.randint(1, MOST_CUT)))


async def wipe_hub(hand: Hand) -> dict[str, Any]:
    """Kill the hub and delete its append-only file: streams, states, roster."""
    return await _hurt_hub(hand, wipe)


async def _hurt_hub(hand: Hand, hurt: Callable[..., int]) -> dict[str, Any]:
    hub = hand.network.hub
    await asyncio.to_thread(hub.kill)
    gone = hurt(hub.folder / "server")
    await asyncio.to_thread(hub.start)
    await hand.under_it()
    return {"bytes": gone}


async def part(hand: Hand, direction: str) -> dict[str, Any]:
    """Cut the line between a node and the hub for a while: both directions, or one only."""
    node = hand.some_node()
    await asyncio.to_thread(node.cut_line, direction)
    seconds = await hand.under_it(4.0, 12.0)
    for _ in range(IDLE):
        # A link that rests after an earlier fault says nothing: then nothing of it is cut yet.
        if node.space is None or await asyncio.to_thread(_touched, node.space):
            break
        seconds += await hand.under_it(1.0, 1.0)
    lost = await asyncio.to_thread(node.mend_line)
    return {"node": node.slug, "seconds": seconds, "packets": lost}


def _touched(space: Space) -> bool:
    return space.lost() > 0


async def skew(hand: Hand) -> dict[str, Any]:
    """Have all clocks of one node go an hour wrong for a while, and then right again."""
    node, offset = hand.partner(), hand.random.choice((-HOUR, HOUR))
    await asyncio.to_thread(node.all_again, ALBUM_CLOCK_OFFSET=str(offset))
    await asyncio.to_thread(node.wait_alive)
    seconds = await hand.under_it(4.0, 8.0)
    await asyncio.to_thread(node.all_again)
    return {"node": node.slug, "offset": offset, "seconds": seconds}


async def restore(hand: Hand) -> dict[str, Any]:
    """Put back a backup of a whole node that is some hundred messages old, its Redis included."""
    node = hand.partner()
    writer = hand.network.writers[node.slug]
    backup = node.folder.with_name(f"{node.slug}-backup")
    async with writer.turn:
        await asyncio.to_thread(node.halt)
        await asyncio.to_thread(node.keep_backup, backup)
        await asyncio.to_thread(node.go_on)
        await asyncio.to_thread(node.wait_alive)
        before = await asyncio.to_thread(_ends, hand.network, node)
        await writer.burst(hand.restored_behind)
        # What the hub never got is lost with the disk, whatever we do: what it got must all come back.
        await until("the hub has it all", partial(_is_up, hand.network, node), patience=120)
        await asyncio.to_thread(node.halt)
        ends, own = await asyncio.to_thread(_ends, hand.network, node), _own(node)
        await asyncio.to_thread(node.put_back, backup)
        older = _own(node)
        await asyncio.to_thread(node.go_on)
    # No writer waits until it is ready: what is answered in its first moments counts as much as all else. The next
    # fault does: what a backup lost and the hub loses before it is taken back is gone.
    await asyncio.to_thread(node.wait_ready)
    return {
        "node": node.slug,
        "messages_behind": sum(end[1] - before.get(stream, (1, 0))[1] for stream, end in ends.items()),
        "ends": {stream: f"{end[0]}-{end[1]}" for stream, end in ends.items()},
        "own_older_by": {name: own[name] - older[name] for name in own},
    }


def _own(node: Hurt) -> dict[str, int]:
    """Count the institution's own things; what nobody else was told of is as old as the backup."""
    found = {}
    for service, tables in MINE.items():
        with sqlite3.connect(node.folder / f"{service}.db") as database:
            for table in tables:
                [[count]] = database.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names stand above
                found[table] = count
        database.close()
    return found


def _ends(network: Hurtful, node: Hurt) -> dict[str, tuple[int, int]]:
    identity = Identity.load(node.identities / f"{node.slug}.json")
    hub = redis.Redis(port=network.hub.port, username=identity.slug, password=identity.password, driver_info=None)
    found = _heads(hub, node)
    hub.close()
    return found


def _heads(client: Any, node: Hurt) -> dict[str, tuple[int, int]]:
    found = {}
    for service in ("courses", "events"):
        stream = f"album:1:pub:{{{node.slug}}}:{service}"
        if client.xlen(stream):
            epoch, seq = client.xinfo_stream(stream)["last-generated-id"].decode().split("-")
            found[stream] = int(epoch), int(seq)
    return found


async def _is_up(network: Hurtful, node: Hurt) -> bool | None:
    return await asyncio.to_thread(_all_numbered_and_up, network, node) or None


def _all_numbered_and_up(network: Hurtful, node: Hurt) -> bool:
    ours: dict[str, tuple[int, int]] = {}
    for service in ("courses", "events"):
        with sqlite3.connect(f"file:{node.folder}/{service}.db?mode=ro", uri=True) as database:
            if database.execute("SELECT count(*) FROM outbox WHERE seq IS NULL").fetchone()[0]:
                return False
            like = f"album:1:pub:{{{node.slug}}}:%"
            rows = database.execute("SELECT stream, epoch, seq FROM stream_head WHERE stream LIKE ?", (like,))
            ours |= {stream: (epoch, seq) for stream, epoch, seq in rows}
        database.close()
    return ours == _ends(network, node)


Fault = Callable[[Hand], Awaitable[dict[str, Any]]]
FAULTS: dict[str, Fault] = {
    "kill_services": kill_services,
    "kill_redis": kill_redis,
    "kill_hub": kill_hub,
    "cut_redis_tail": cut_redis,
    "wipe_redis": wipe_redis,
    "cut_hub_tail": cut_hub,
    "wipe_hub": wipe_hub,
    "partition": partial(part, direction=BOTH),
    "partition_out_only": partial(part, direction=OUT),
    "partition_in_only": partial(part, direction=IN),
    "restore_backup": restore,
    "clock_skew": skew,
}
