"""A lease row with a fencing token: several copies of a service may run, one of them does what only one may do."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.clock import Clock
from shared.kit.database import Database, insert
from shared.kit.tables import lease

TERM = timedelta(seconds=4)


@dataclass
class Lease:
    """One holder's claim on a name."""

    name: str
    holder: str
    database: Database
    clock: Clock
    token: int = 0
    _seen: tuple[int, datetime] | None = field(default=None, init=False)
    _since: datetime | None = field(default=None, init=False)

    async def hold(self) -> bool:
        """Take or renew the lease; a holder of the same name follows its dead predecessor at once.

        A lease that nobody renewed for a whole term is taken, too: whoever died with it may have had a clock that runs
        an hour ahead.
        """
        now = self.clock.now()
        async with self.database.transaction() as connection:
            statement = insert(connection, lease).values(name=self.name, holder=self.holder, token=1, until=now + TERM)
            mine = (lease.c.holder == self.holder) & (lease.c.token == self.token)
            free = (lease.c.until < now) | (lease.c.holder == self.holder)
            if self._seen and self._since and now - self._since > TERM:
                free |= (lease.c.token == self._seen[0]) & (lease.c.until == self._seen[1])
            taken = await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"],
                    set_={
                        "holder": self.holder,
                        "until": now + TERM,
                        "token": sa.case((mine, lease.c.token), else_=lease.c.token + 1),
                    },
                    where=free,
                ).returning(lease.c.token)
            )
            token = taken.scalar_one_or_none()
            await self._look(connection, now, taken=token is not None)
        self.token = token or 0
        return token is not None

    async def _look(self, connection: AsyncConnection, now: datetime, *, taken: bool) -> None:
        """Remember since when the other's claim has stood as it is."""
        found = None
        if not taken:
            query = sa.select(lease.c.token, lease.c.until).where(lease.c.name == self.name)
            found = (await connection.execute(query)).first()
        seen = None if found is None else (found.token, found.until)
        if seen != self._seen or seen is None:
            self._seen, self._since = seen, now

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Tell, inside a transaction, whether the lease is still held; it cannot be taken until that one ends."""
        found = await connection.execute(
            sa.select(lease.c.name)
            .where(lease.c.name == self.name, lease.c.holder == self.holder, lease.c.token == self.token)
            .with_for_update()
        )
        return self.token > 0 and found.first() is not None

    async def release(self) -> None:
        """Give the lease back, so that another copy need not wait for its end."""
        async with self.database.transaction() as connection:
            await connection.execute(
                sa.update(lease)
                .where(lease.c.name == self.name, lease.c.holder == self.holder, lease.c.token == self.token)
                .values(until=self.clock.now() - TERM)
            )
