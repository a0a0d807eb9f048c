"""The copies of everybody's meetings in SQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.events.store import tables
from shared.contract.events import MeetingMessage
from shared.contract.words import MeetingKind, MeetingState, districts
from shared.kit.database import JsonText, upsert

t = tables.network_meeting


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for among the meetings of the network; it starts from `since` to `until`."""

    institution: str | None = None
    kind: MeetingKind | None = None
    quarter: str | None = None
    state: MeetingState | None = None
    since: datetime | None = None
    free: bool = False
    until: datetime | None = None
    district: str | None = None


@dataclass(frozen=True)
class Seen:
    """A meeting of some institution as it was last heard of; `picture` is the JSON of a MeetingPicture."""

    meeting_id: str
    institution: str
    starts: datetime
    version: int
    seen_at: datetime
    picture: dict[str, Any]


class NetworkStore:
    """Loads and keeps what the network tells about meetings."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def keep_seen(self, messages: Iterable[MeetingMessage], seen_at: datetime) -> None:
        """Keep pictures of meetings; an older version never replaces a newer one."""
        await upsert(self.connection, t, [_row(message, seen_at) for message in messages])

    async def seen(self, wanted: Wanted, after: tuple[datetime, str, str] | None, limit: int) -> list[Seen]:
        """Give a page of the network's meetings by start, behind a position of (start, meeting, institution)."""
        query = sa.select(t).where(*_conditions(wanted))
        if after is not None:
            # The bound values take the columns' types: SQLite keeps moments without a zone.
            position = sa.tuple_(
                sa.literal(after[0], t.c.starts.type),
                sa.literal(after[1], t.c.meeting_id.type),
                sa.literal(after[2], t.c.institution.type),
            )
            query = query.where(sa.tuple_(t.c.starts, t.c.meeting_id, t.c.institution) > position)
        found = await self.connection.execute(query.order_by(t.c.starts, t.c.meeting_id, t.c.institution).limit(limit))
        return [_seen(row) for row in found]

    async def seen_meeting(self, meeting_id: str) -> list[Seen]:
        """Give what institutions tell of a meeting: one entry, unless somebody uses another's id."""
        query = sa.select(t).where(t.c.meeting_id == meeting_id).order_by(t.c.institution)
        return [_seen(row) for row in await self.connection.execute(query)]


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    for name in ("institution", "kind", "quarter", "state"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(t.c[name] == str(value))
    if wanted.since is not None:
        conditions.append(t.c.starts >= wanted.since)
    if wanted.until is not None:
        conditions.append(t.c.starts <= wanted.until)
    if wanted.district is not None:
        conditions.append(t.c.quarter.in_(districts()[wanted.district]))
    if wanted.free:
        conditions.append(t.c.free > 0)
    return conditions


def _row(message: MeetingMessage, seen_at: datetime) -> dict[str, Any]:
    picture = message.picture
    return {
        "meeting_id": picture.meeting_id,
        "institution": message.institution,
        "version": message.version,
        "kind": picture.kind.value,
        "state": picture.state.value,
        "quarter": picture.place.quarter,
        "starts": picture.starts,
        "free": picture.availability.free,
        "picture": JsonText(picture.model_dump_json()),
        "seen_at": seen_at,
    }


def _seen(row: sa.Row[Any]) -> Seen:
    return Seen(row.meeting_id, row.institution, row.starts, row.version, row.seen_at, row.picture)
