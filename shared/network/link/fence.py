"""What every part of the link's store stands on: its database, and the fence that only the leading link passes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import Database
from shared.kit.errors import Transient


class NotLeading(Transient):
    """Another copy of the link leads now; this one waits."""


class Fence(Protocol):
    """What tells, inside a transaction, that no other copy writes: `shared.kit.lease.Lease`."""

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Tell whether the lease is still held."""
        ...


class Fenced:
    """Tables that only the leading copy of the link may write."""

    def __init__(self, database: Database, fence: Fence) -> None:
        self._database = database
        self._fence = fence

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.transaction() as connection:
            if not await self._fence.confirm(connection):
                raise NotLeading("another copy of the link leads")
            yield connection
