"""A service whose database came from a backup: its relay, a hub on a line that can be cut, and the way back."""

import sqlalchemy as sa

from shared.kit import outbox
from shared.kit.database import upsert
from shared.kit.epochs import Epochs
from shared.kit.lease import Lease
from shared.kit.memory_streams import MemoryStreams
from shared.kit.recovering import Recover
from shared.kit.relay import Mine, Relay
from shared.kit.streams import START, Entry, Position
from shared.kit.tables import outbox as rows
from shared.kit.tables import stream_head
from shared.kit.witness import Head, StreamsWitness, Witness
from tests.integration.kit.sample import OWN, PUB, Sample, institution


class Line:
    """A hub at the end of a line that may be cut."""

    def __init__(self, streams: MemoryStreams) -> None:
        self.cut = False
        self._there = StreamsWitness(streams)

    async def head(self, stream: str) -> Head | None:
        """Say nothing while the line is cut."""
        return None if self.cut else await self._there.head(stream)

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give what the hub holds."""
        return await self._there.read(stream, after, count)


class LostTwice(MemoryStreams):
    """A Redis that dies again, where it is to: behind a state, and before what follows it."""

    dies = False

    async def keep_state(self, stream: str, state: dict[str, Entry]) -> None:
        """Keep it, and lose all once more."""
        await super().keep_state(stream, state)
        if self.dies:
            self.dies = False
            self.wipe()


def relay_of(
    sample: Sample,
    hub: Witness | None = None,
    streams: MemoryStreams | None = None,
    mine: Mine | None = None,
    recover: Recover | None = None,
) -> Relay:
    """Give the relay of a service that has just started, with its epochs."""
    lease = sample.lease = Lease("relay", "one", sample.database, sample.clock)
    there = streams or sample.streams
    epochs = Epochs(sample.database, there, sample.clock, lease, hub, recover or sample_recover(sample))
    return Relay(sample.database, there, sample.clock, sample.random, lease, epochs, mine=mine)


def sample_recover(sample: Sample):  # type: ignore[no-untyped-def] # the closure is the sample's hook
    """Note what was taken back."""
    sample.taken_back = []  # type: ignore[attr-defined] # only these tests look at it

    async def recover(_: object, entries: list[Entry]) -> None:
        sample.taken_back += [entry.position.seq for entry in entries]  # type: ignore[attr-defined]

    return recover


async def publish(sample: Sample, relay: Relay) -> None:
    """Let a relay compare, number and publish until nothing waits."""
    assert await sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass
    await relay.check()


async def restore(sample: Sample, seq: int) -> None:
    """Bring the database back to where the log ended at a position of epoch 1."""
    async with sample.database.transaction() as connection:
        for stream in (PUB, OWN):
            hash_ = await outbox.hash_at(connection, stream, Position(1, seq))
            await connection.execute(sa.delete(rows).where(rows.c.stream == stream, rows.c.seq > seq))
            back = {"stream": stream, "epoch": 1, "seq": seq, "hash": hash_ or b""}
            await upsert(connection, stream_head, [back] if hash_ else [], newer=None)


async def restored(sample: Sample) -> tuple[MemoryStreams, MemoryStreams]:
    """Give a hub with eight messages, and the Redis of a node whose backup has three of them, as it has itself."""
    hub, node = MemoryStreams(), MemoryStreams()
    await sample.tell(*(institution(version=n) for n in range(1, 9)))
    await publish(sample, relay_of(sample, streams=hub))
    await node.append(PUB, START, await hub.read(PUB, START, 3), {})
    await restore(sample, 3)
    return hub, node


async def names_of(streams: MemoryStreams, stream: str = PUB) -> list[str]:
    """Give the positions of a stream."""
    return [str(entry.position) for entry in await streams.read(stream, START, 99)]
