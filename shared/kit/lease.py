"""A lease row with a fencing token: several copies of a service may run, one of them does what only one may do."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.clock import Clock, passed
from shared.kit.database import Database, insert_in
from shared.kit.tables import lease

TERM = timedelta(seconds=4)
IS_HELD = sa.and_(
    lease.c.name == sa.bindparam("name"),
    lease.c.holder == sa.bindparam("holder"),
    lease.c.token == sa.bindparam("token"),
)
"""The lease's row as its holder knows it; the values are those of `Held`."""
_HELD = sa.select(lease.c.name).where(IS_HELD).with_for_update()

# A claim that nobody ever had: tokens begin with 1.
_NEVER = (0, datetime(2000, 1, 1, tzinfo=UTC))


@cache
def _claim(dialect: str) -> sa.sql.base.Executable:
    """Give the statement that takes or renews a lease; built once, as above."""
    until = lease.c.until.type
    statement = insert_in(dialect, lease).values(
        name=sa.bindparam("lease_name"),
        holder=sa.bindparam("lease_holder"),
        token=1,
        until=sa.bindparam("lease_until", type_=until),
    )
    new = statement.excluded
    mine = (lease.c.holder == new.holder) & (lease.c.token == sa.bindparam("known_token"))
    free = (lease.c.until < sa.bindparam("now", type_=until)) | (lease.c.holder == new.holder)
    left = (lease.c.token == sa.bindparam("left_token")) & (lease.c.until == sa.bindparam("left_until", type_=until))
    token = sa.case((mine, lease.c.token), else_=lease.c.token + 1)
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": new.holder, "until": new.until, "token": token},
        where=free | left,
    ).returning(lease.c.token)


class Held(NamedTuple):
    """What a statement compares with the lease's row, to be sure that the lease is still held."""

    name: str
    holder: str
    token: int


@dataclass
class Lease:
    """One holder's claim on a name."""

    name: str
    holder: str
    database: Database
    clock: Clock
    token: int = 0
    _seen: tuple[int, datetime] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    @property
    def held(self) -> Held:
        """Give what was held last; tokens begin with 1, and nobody ever holds 0."""
        return Held(self.name, self.holder, self.token)

    async def hold(self) -> bool:
        """Take or renew the lease; a holder of the same name follows its dead predecessor at once.

        A lease that nobody renewed for a whole term is taken, too: whoever died with it may have had a clock that runs
        an hour ahead.
        """
        now = self.clock.now()
        async with self.database.transaction() as connection:
            left = self._seen if self._seen and passed(self.clock, self._since) > TERM else _NEVER
            values = {"lease_name": self.name, "lease_holder": self.holder, "lease_until": now + TERM, "now": now}
            values |= {"known_token": self.token, "left_token": left[0], "left_until": left[1]}
            taken = await connection.execute(_claim(connection.dialect.name), values)
            token = taken.scalar_one_or_none()
            await self._look(connection, taken=token is not None)
        self.token = token or 0
        return token is not None

    async def _look(self, connection: AsyncConnection, *, taken: bool) -> None:
        """Remember since when the other's claim has stood as it is."""
        found = None
        if not taken:
            query = sa.select(lease.c.token, lease.c.until).where(lease.c.name == self.name)
            found = (await connection.execute(query)).first()
        seen = None if found is None else (found.token, found.until)
        if seen != self._seen:
            self._seen, self._since = seen, self.clock.monotonic()

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Tell, inside a transaction, whether the lease is still held; it cannot be taken until that one ends."""
        found = await connection.execute(_HELD, self.held._asdict())
        return self.token > 0 and found.first() is not None

    async def release(self) -> None:
        """Give the lease back, so that another copy need not wait for its end."""
        async with self.database.transaction() as connection:
            await connection.execute(
                sa.update(lease)
                .where(lease.c.name == self.name, lease.c.holder == self.holder, lease.c.token == self.token)
                .values(until=self.clock.now() - TERM)
            )
