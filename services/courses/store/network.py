"""The copies of everybody's runs in SQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.courses.domain.run import FIELDS, first_day
from services.courses.store import tables
from shared.contract.courses import RunMessage
from shared.contract.words import FieldOfAction, Level, RunKind, RunState, districts
from shared.kit.database import JsonText, upsert

t = tables.network_run


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for among the runs of the network; it begins on a day from `first` to `last`."""

    institution: str | None = None
    kind: RunKind | None = None
    level: Level | None = None
    quarter: str | None = None
    state: RunState | None = None
    free: bool = False
    field_of_action: FieldOfAction | None = None
    district: str | None = None
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class Seen:
    """A run of some institution as it was last heard of; `picture` is the JSON of a RunPicture."""

    institution: str
    version: int
    seen_at: datetime
    picture: dict[str, Any]


class NetworkStore:
    """Loads and keeps what the network tells about runs."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def keep_seen(self, messages: Iterable[RunMessage], seen_at: datetime) -> None:
        """Keep pictures of runs; an older version never replaces a newer one."""
        await upsert(self.connection, t, [_row(message, seen_at) for message in messages])

    async def seen(self, wanted: Wanted, after: tuple[str, str], limit: int) -> list[Seen]:
        """Give a page of the network's runs behind a position of (run, institution)."""
        position = sa.tuple_(t.c.run_id, t.c.institution)
        query = sa.select(t).where(*_conditions(wanted), position > sa.tuple_(*after))
        found = await self.connection.execute(query.order_by(t.c.run_id, t.c.institution).limit(limit))
        return [_seen(row) for row in found]

    async def newest(self, institution: str | None = None) -> tuple[int, int, datetime | None]:
        """Give figures that change with everything heard: how many runs, their versions together, the last moment."""
        # Versions may be moments in milliseconds or larger: their sum must fit into 64 bits on SQLite.
        versions = sa.func.coalesce(sa.func.sum(t.c.version % 2**31), 0)
        figures = (sa.func.count(), versions, sa.func.max(t.c.seen_at))
        query = sa.select(*figures).where(*_conditions(Wanted(institution)))
        count, version, moment = (await self.connection.execute(query)).one()
        return int(count), int(version), moment

    async def seen_run(self, run_id: str) -> list[Seen]:
        """Give what institutions tell of a run: one entry, unless somebody uses another's id."""
        query = sa.select(t).where(t.c.run_id == run_id).order_by(t.c.institution)
        return [_seen(row) for row in await self.connection.execute(query)]


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    for name in ("institution", "kind", "quarter", "state", "field_of_action"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(t.c[name] == str(value))
    if wanted.level is not None:
        conditions.append(sa.or_(t.c.from_level == wanted.level.value, t.c.to_level == wanted.level.value))
    if wanted.district is not None:
        conditions.append(t.c.quarter.in_(districts()[wanted.district]))
    if wanted.first is not None:
        conditions.append(t.c.starts_on >= wanted.first)
    if wanted.last is not None:
        conditions.append(t.c.starts_on <= wanted.last)
    if wanted.free:
        conditions.append(t.c.free > 0)
    return conditions


def _row(message: RunMessage, seen_at: datetime) -> dict[str, Any]:
    picture = message.picture
    return {
        "run_id": picture.run_id,
        "institution": message.institution,
        "version": message.version,
        "kind": picture.kind.value,
        "state": picture.state.value,
        "from_level": picture.from_level,
        "to_level": picture.to_level,
        "quarter": picture.place.quarter,
        "field_of_action": picture.field_of_action or FIELDS.get(picture.kind),
        "starts_on": first_day(picture),
        "free": picture.availability.free,
        "picture": JsonText(picture.model_dump_json()),
        "seen_at": seen_at,
    }


def _seen(row: sa.Row[Any]) -> Seen:
    return Seen(row.institution, row.version, row.seen_at, row.picture)
