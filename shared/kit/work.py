"""The unit of work: a handler's changes and its messages, kept together or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.envelope import Message, encode
from shared.contract.streams import stream_for
from shared.kit import matching
from shared.kit import outbox as outbox_of
from shared.kit.clock import Clock, Ids
from shared.kit.database import Database
from shared.kit.errors import Unsure
from shared.kit.fairness import Rest
from shared.kit.settings import Settings
from shared.kit.tables import outbox

S = TypeVar("S")
MOMENT = 5.0
"""Seconds for which a command waits: an ordinary start takes a part of one, and nobody sees it."""
_TOLD = ("stream", "key", "type", "payload", "told_at")
# One round trip for all rows, and for the word that wakes the relay.
_TELL_ALL = """
INSERT INTO outbox (stream, key, type, payload, told_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[])
RETURNING pg_notify('album_outbox', '')
"""


@dataclass
class Work(Generic[S]):
    """What a handler works with: the store to read and keep, `tell` to speak, the moment, new ids, the settings."""

    store: S
    connection: AsyncConnection
    now: datetime
    ids: Ids
    settings: Settings
    unsure: bool = False
    _told: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, *messages: Message) -> None:
        """Say something to others once the changes are kept; raises MessageRefused above the limits, and Unsure."""
        if self.unsure:
            raise Unsure
        for message in messages:
            payload = encode(message, id=self.ids.new("msg"), time=self.now)
            self._told.append(
                {
                    "stream": stream_for(message),
                    "key": message.key,
                    "type": message.type,
                    "payload": payload,
                    "told_at": self.now,
                }
            )

    async def blank(self, *tombstones: Message) -> None:
        """Take back the content of all that was told of the tombstones' things; each stands in place of its own."""
        if self.unsure:
            raise Unsure
        for message in tombstones:
            payload = encode(message, id=self.ids.new("msg"), time=self.now)
            await outbox_of.blank(self.connection, stream_for(message), message.key, message.type, payload)

    async def keep_told(self) -> bool:
        """Write what was told into the outbox, in this transaction; tell whether there was anything."""
        if not self._told:
            return False
        if self.connection.dialect.name == "postgresql":
            columns = ([each[name] for each in self._told] for name in _TOLD)
            await self.connection.exec_driver_sql(_TELL_ALL, tuple(columns))
        else:
            await self.connection.execute(sa.insert(outbox), self._told)
        self._told.clear()
        return True

    def mark(self) -> int:
        """Remember how much has been told, to take back what a failed part said."""
        return len(self._told)

    def take_back(self, mark: int) -> None:
        """Forget what was told since the mark."""
        del self._told[mark:]


class Joint(Protocol):
    """One transaction that all units of work of a request share, so that its answer is kept with what they did."""

    caller: str

    def part(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a part of the transaction, which can fail alone; the first part begins it."""
        ...

    def look(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open what reads: inside the transaction once it has begun, for it must see what was done."""
        ...

    def tell(self) -> None:
        """Note that something was told; the relay is woken when all is committed."""
        ...


joint: ContextVar[Joint | None] = ContextVar("joint", default=None)


class Works(Generic[S]):
    """Opens units of work on a service's database; the edge owns the transaction, handlers never commit."""

    def __init__(
        self, database: Database, store: Callable[[AsyncConnection], S], clock: Clock, ids: Ids, settings: Settings
    ) -> None:
        self.database = database
        self.clock = clock
        self.ids = ids
        self.settings = settings
        self.told = asyncio.Event()
        # Whoever sends messages by both ways in rests from both.
        self.rest = Rest()
        # Held while a message is tried at which a process may have ended.
        self.suspects = asyncio.Lock()
        # Cleared from a start on until all who hold what was told were heard: the database may be an old backup.
        self.sure = asyncio.Event()
        self.sure.set()
        self._store = store

    async def be_sure(self) -> None:
        """Wait until all is known that was told, as after any start; raises Unsure where that takes longer."""
        if self.sure.is_set():
            return
        try:
            async with asyncio.timeout(MOMENT):
                await self.sure.wait()
        except TimeoutError:
            raise Unsure from None

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Work[S]]:
        """Open a unit of work: all of it is kept at the end, or nothing."""
        shared = joint.get()
        # Before the first look at the database: what is seen there may change as long as the service is unsure.
        unsure = not self.sure.is_set()
        async with shared.part() if shared else self.database.transaction() as connection:
            work = Work(self._store(connection), connection, self.clock.now(), self.ids, self.settings, unsure)
            yield work
            matching.check_met()
            told = await work.keep_told()
        if told and shared:
            shared.tell()
        elif told:
            self.told.set()

    @asynccontextmanager
    async def within(self, connection: AsyncConnection) -> AsyncIterator[Work[S]]:
        """Open a unit of work in a transaction that somebody else ends."""
        work = Work(self._store(connection), connection, self.clock.now(), self.ids, self.settings)
        yield work
        await work.keep_told()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[S]:
        """Open a store that only reads."""
        shared = joint.get()
        async with shared.look() if shared else self.database.reading() as connection:
            yield self._store(connection)
