"""What the other processes do: send, tell at a rate, and race for seats."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

from deploy.bench import messages, naive, path, racing
from deploy.bench.worker import Job
from shared.kit.clock import monotonic


async def relay(
    database: str, redis: str, count: int, institutions: int, sessions: int, version: int = 1, beat: bool = False
) -> AsyncIterator[Any]:
    """Commit messages, and bring them into the streams when the word is given."""
    node = path.node_at(database, redis)
    slugs = path.institutions(institutions)
    await path.commit(node, messages.published(slugs, sessions=sessions, version=version), count)
    await node.lease.hold()
    await node.relay.check()
    yield None
    began = monotonic()
    await path.relay_all(node)
    seconds = monotonic() - began
    if beat:
        node.relay.rest()
        await node.relay.check()
    yield seconds
    await path.close(node)


async def naive_relay(database: str, redis: str, count: int, sessions: int) -> AsyncIterator[Any]:
    """Commit messages, and send them one by one when the word is given."""
    node = path.node_at(database, redis)
    await path.commit(node, messages.published(path.institutions(1), sessions=sessions), count)
    yield None
    await naive.send_all(database, redis, count)
    yield None
    await path.close(node)


async def tell(database: str, redis: str, count: int, rate: float, sessions: int) -> AsyncIterator[Any]:
    """Run the sending node and commit messages at a rate; give the moment of each commit."""
    node = path.node_at(database, redis)
    told = list(islice(messages.published(path.institutions(1), sessions=sessions), count))
    async with node.running():
        await node.works.be_sure()
        await asyncio.sleep(0.5)
        yield None
        found, due = [], monotonic()
        for message in told:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - monotonic()))
            async with node.works() as work:
                work.tell(message)
            found.append(monotonic())
        await path.until_published(node, count)
        yield found


JOBS: dict[str, Job] = {
    "relay": relay,
    "naive_relay": naive_relay,
    "tell": tell,
    "ask": racing.ask,
    "take": racing.take,
}
