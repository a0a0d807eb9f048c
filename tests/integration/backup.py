"""A database as it was at a moment, to go back to, and what was told behind it, to be taken back."""

from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from shared.kit import tables as kit
from shared.kit.node import Service
from shared.kit.numbering import number_waiting
from shared.kit.outbox import ends_of_log, keep_lost, log_after
from shared.kit.recovering import recovery, retelling
from shared.kit.streams import START, Entry, Position
from shared.kit.work import Works

PAGE = 1000


@dataclass
class Backup:
    """All rows of a service's database, and how far its log went."""

    service: Service
    works: Works[Any]
    rows: dict[sa.Table, list[dict[str, Any]]]
    ends: dict[str, Position]

    @classmethod
    async def made(cls, service: Service, works: Works[Any]) -> Self:
        """Make a backup; all that was told has its number by then."""
        tables = (*kit.metadata.sorted_tables, *service.tables.sorted_tables)
        async with works.database.transaction() as connection:
            await number_waiting(connection, lambda _: True)
            rows = {
                table: [dict(row._mapping) for row in await connection.execute(sa.select(table))] for table in tables
            }
            return cls(service, works, rows, await ends_of_log(connection))

    async def put_back(self, *, published: bool = False) -> dict[str, list[Entry]]:
        """Restore it; give what was told meanwhile, by stream: all of it, or only what had been published."""
        async with self.works.database.transaction() as connection:
            if not published:
                await number_waiting(connection, lambda _: True)
            ends = await ends_of_log(connection)
            lost = {name: await log_after(connection, name, self.ends.get(name, START), PAGE) for name in ends}
            for table in reversed(self.rows):
                await connection.execute(sa.delete(table))
            for table, rows in self.rows.items():
                if rows:
                    await connection.execute(sa.insert(table), rows)
        return lost

    async def take_back(self, stream: str, entries: list[Entry], page: int = PAGE) -> None:
        """Bring log and tables to what was told, page by page, as a start behind a restored backup does."""
        recover = recovery(self.works, self.service.recover, self.service.takes)
        for begin in range(0, len(entries), page):
            part = entries[begin : begin + page]
            async with self.works.database.transaction() as connection:
                await keep_lost(connection, stream, part, self.works.clock.now())
                await recover(connection, part)
                if part[-1] is entries[-1]:
                    await retelling(self.works, self.service.retell)(connection, stream)

    async def text(self) -> str:
        """Give all that the database holds now, as text."""
        now = await Backup.made(self.service, self.works)
        return f"{now.rows}"
