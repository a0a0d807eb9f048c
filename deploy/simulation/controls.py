"""Worlds without one of the protections: the simulation must see that they go wrong, or its silence proves nothing."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.simulation.linking import OPTIONS
from deploy.simulation.loop import now
from deploy.simulation.process import Parts
from deploy.simulation.redis import SimRedis
from deploy.simulation.watching import WatchedLease, WatchedReader
from shared.kit import cursors, tables
from shared.kit.database import upsert
from shared.kit.numbering import PAGE, number_waiting
from shared.kit.relay import Relay
from shared.kit.streams import Entry, Position
from shared.network.entries import SignedEntry

Numbered = tuple[dict[str, list[tuple[str, Entry]]], set[str]]


class RashRelay(Relay):
    """Lets commands in at once, though the database may come from a backup."""

    async def knows_all(self) -> bool:
        """Believe it."""
        return True


class StarRelay(RashRelay):
    """The textbook's outbox: what waits is added with the id that Redis gives it (`*`, its time), then marked.

    Streams with such ids can be compared with no log.
    """

    async def step(self) -> bool:
        """Publish what waits, at the end of each stream."""
        o = tables.outbox
        async with self._database.transaction() as connection:
            if not await self._lease.confirm(connection):
                return False
            query = sa.select(o).where(o.c.seq.is_(None)).order_by(o.c.id).limit(PAGE)
            rows = list(await connection.execute(query))
        for row in rows:
            [end] = await self._streams.heads([row.stream])
            entry = Entry(Position(1, max(end.seq + 1, int(now() * 1000))), row.payload, bytes(32))
            await self._streams.append(row.stream, end, [entry], {})
            async with self._database.transaction() as connection:
                mark = sa.update(o).where(o.c.id == row.id).values(epoch=1, seq=row.id, hash=bytes(32))
                await connection.execute(mark)
        return bool(rows)

    async def check(self, between: Callable[[], Awaitable[object]] | None = None) -> None:
        """Look back at nothing."""


class LastIdReader(WatchedReader):
    """The textbook's consumer: keeps the last id that it has seen, and takes whatever comes behind it."""

    async def _advance(self, entries: list[Entry]) -> None:
        if self.position is None:
            await self._load()
        if fresh := [entry for entry in entries if entry.position > self._at]:
            await self._apply(fresh)

    async def _load_snapshot(self, after: Position) -> None:
        async with self._works.database.transaction() as connection:
            await cursors.make(connection, self.stream)


class TwoStepReader(WatchedReader):
    """Keeps the effects in one transaction and the cursor in the next."""

    async def _apply(self, entries: list[Entry]) -> None:
        async with self._works() as work:
            await self._applier.apply(entries, work)
        async with self._works.database.transaction() as connection:
            await self._move_cursor(connection, entries[-1].position)
        self.position = entries[-1].position


class UnlockedLease(WatchedLease):
    """Lets every copy number and publish at will."""

    async def hold(self) -> bool:
        """Hold it, whoever else does."""
        self.token = 1
        return True

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Confirm it, whoever else holds it."""
        return True


class _NotKeptError(Exception):
    """What was only looked at is rolled back."""


class UnlockedRelay(Relay):
    """Looks at what waits in one transaction and numbers it in the next, as many writers do whom nothing locks out."""

    async def _number(self) -> Numbered:
        numbered: Numbered = ({}, set())
        try:
            async with self._database.transaction() as connection:
                numbered = await number_waiting(connection, self._epochs.is_clear)
                raise _NotKeptError  # noqa: TRY301 - the transaction has to see it
        except _NotKeptError:
            await self._clock.sleep(self._random.uniform(0.0, 5.0))
        async with self._database.transaction() as connection:
            if not await self._lease.confirm(connection):
                return {}, set()
            for stream, entries in numbered[0].items():
                await _keep_numbers(connection, stream, [entry for _, entry in entries])
        return numbered


async def _keep_numbers(connection: AsyncConnection, stream: str, entries: list[Entry]) -> None:
    o = tables.outbox
    for entry in entries:
        values = {"epoch": entry.position.epoch, "seq": entry.position.seq, "hash": entry.hash}
        mine = (o.c.stream == stream) & (o.c.payload == entry.payload)
        await connection.execute(sa.update(o).where(mine).values(**values))
    head = {"stream": stream, "epoch": entries[-1].position.epoch, "seq": entries[-1].position.seq}
    await upsert(connection, tables.stream_head, [{**head, "hash": entries[-1].hash}], newer=None)


class BlindRedis(SimRedis):
    """Appends wherever the stream ends, as XADD does with an explicit id."""

    compares = False


class UncountedReader(WatchedReader):
    """Begins attempts without counting them."""

    async def _count_attempt(self, last: Position) -> bool:
        return True


def _believed(ed25519: bytes, stream: str, entry: SignedEntry) -> bool:
    """Believe every signature."""
    return True


CONTROLS: Mapping[str, Parts] = MappingProxyType(
    {
        "star_ids": Parts(relay=StarRelay, reader=LastIdReader, numbered=False),
        "cursor_apart": Parts(reader=TwoStepReader),
        "no_lease": Parts(relay=UnlockedRelay, lease=UnlockedLease, twice=True),
        "no_pause": Parts(relay=RashRelay),
        "no_compare": Parts(redis=BlindRedis),
        "no_signature_check": Parts(link=replace(OPTIONS, genuine=_believed)),
        "no_attempts": Parts(reader=UncountedReader),
    }
)

# The same world with the protection in its place must be well, or the control fails for another reason. Where a control
# needs more than the lack of a protection to be seen, all of that stays here.
PROTECTED: Mapping[str, Parts] = MappingProxyType({"no_lease": Parts(relay=UnlockedRelay, twice=True)})
