"""What earlier imports brought, in SQL."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.courses.domain.catalogue import from_json, to_json
from services.courses.domain.imported import Imported
from services.courses.store import tables

t = tables.imported


class ImportStore:
    """Loads and keeps the rows of earlier imports."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def imported(self, institution: str, source: str) -> dict[str, Imported]:
        """Give all rows that a source ever brought to an institution, by number."""
        query = sa.select(t).where(t.c.institution == institution, t.c.source == source)
        return {row.number: _imported(row) for row in await self.connection.execute(query)}

    async def imported_rows(self, institution: str, source: str, numbers: Iterable[str]) -> dict[str, Imported]:
        """Give some of these rows, by number."""
        query = sa.select(t).where(t.c.institution == institution, t.c.source == source, t.c.number.in_(list(numbers)))
        return {row.number: _imported(row) for row in await self.connection.execute(query)}

    async def imported_run(self, run_id: str) -> Imported | None:
        """Lock and give the row that brought a run, or None for a run that staff made."""
        row = (await self.connection.execute(sa.select(t).where(t.c.run_id == run_id).with_for_update())).first()
        return _imported(row) if row else None

    async def add_imported(self, institution: str, source: str, imported: Imported) -> None:
        """Keep the row of a new run."""
        key = {"institution": institution, "source": source, "number": imported.number, "run_id": imported.run_id}
        await self.connection.execute(sa.insert(t), [{**key, **_values(imported)}])

    async def keep_imported(self, imported: Imported) -> None:
        """Keep the row of a known run, as it is now."""
        await self.connection.execute(sa.update(t).where(t.c.run_id == imported.run_id).values(_values(imported)))


def _imported(row: sa.Row[Any]) -> Imported:
    return Imported(row.run_id, row.number, from_json(row.base), from_json(row.local), frozenset(row.edited))


def _values(imported: Imported) -> dict[str, Any]:
    return {
        "base": to_json(imported.base),
        "local": to_json(imported.local),
        "edited": sorted(imported.edited),
    }
