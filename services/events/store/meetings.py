"""Series and meetings in SQL."""

from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.events.domain.meeting import Meeting, Series
from services.events.store import tables
from shared.contract.words import MeetingKind, MeetingState, Place
from shared.kit import matching
from shared.kit.errors import NotFound

_SERIES = tuple(each.name for each in fields(Series))
_MEETING = tuple(each.name for each in fields(Meeting))
t = tables.meeting


class MeetingStore:
    """Loads and keeps series and meetings."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def one_series(self, series_id: str, institution: str) -> Series:
        """Give a series of an institution; raises NotFound."""
        s = tables.series
        query = sa.select(s).where(s.c.id == series_id, s.c.institution == institution)
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise NotFound(f"there is no series '{series_id}'")
        return _series(row._mapping)

    async def series(self, institution: str, after: str, limit: int) -> list[Series]:
        """Give a page of an institution's series."""
        s = tables.series
        query = sa.select(s).where(s.c.institution == institution, s.c.id > after).order_by(s.c.id).limit(limit)
        return [_series(row._mapping) for row in await self.connection.execute(query)]

    async def add_series(self, series: Series) -> None:
        """Keep a new series."""
        await self.connection.execute(sa.insert(tables.series), [{name: getattr(series, name) for name in _SERIES}])

    async def meeting(self, meeting_id: str, institution: str | None = None) -> Meeting:
        """Give a meeting as it was last committed; raises NotFound, also where it is another institution's."""
        return await self._meeting(_which(meeting_id, institution), meeting_id)

    async def has_meeting(self, meeting_id: str) -> bool:
        """Tell whether a meeting is managed here, whoever's it is."""
        return (await self.connection.execute(sa.select(t.c.id).where(t.c.id == meeting_id))).first() is not None

    async def locked_meeting(self, meeting_id: str, institution: str | None = None) -> Meeting:
        """Lock a meeting until the end of the transaction and give it; raises NotFound."""
        # Without this lock two desks read the same counts and both give the last seat.
        return matching.matched(await self._meeting(_which(meeting_id, institution).with_for_update(), meeting_id))

    async def _meeting(self, query: sa.Select[Any], meeting_id: str) -> Meeting:
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise NotFound(f"there is no meeting '{meeting_id}'")
        return _meeting(row._mapping)

    async def meetings(
        self, institution: str, after: str, limit: int, *, state: MeetingState | None = None
    ) -> list[Meeting]:
        """Give a page of an institution's own meetings, drafts among them."""
        query = sa.select(t).where(t.c.institution == institution, t.c.id > after)
        query = query if state is None else query.where(t.c.state == state.value)
        found = await self.connection.execute(query.order_by(t.c.id).limit(limit))
        return [_meeting(row._mapping) for row in found]

    async def add_meeting(self, meeting: Meeting) -> None:
        """Keep a new meeting."""
        await self.connection.execute(sa.insert(t), [_row(meeting)])

    async def keep_meeting(self, meeting: Meeting) -> None:
        """Keep a meeting that is known, as it is now."""
        await self.connection.execute(sa.update(t).where(t.c.id == meeting.id).values(_row(meeting)))

    async def versions_told_to_people(self, institution: str) -> dict[str, int]:
        """Give the versions of an institution's meetings that people can see: drafts are told to nobody."""
        public = (t.c.institution == institution) & (t.c.state != MeetingState.DRAFT.value)
        found = await self.connection.execute(sa.select(t.c.id, t.c.version).where(public))
        return {row.id: row.version for row in found}

    async def meetings_to_hold(self, now: datetime, limit: int) -> list[str]:
        """Name the published meetings that are over."""
        query = sa.select(t.c.id).where(t.c.state == MeetingState.PUBLISHED.value, t.c.ends_at <= now)
        return list((await self.connection.execute(query.order_by(t.c.ends_at).limit(limit))).scalars())


def _which(meeting_id: str, institution: str | None) -> sa.Select[Any]:
    query = sa.select(t).where(t.c.id == meeting_id)
    return query if institution is None else query.where(t.c.institution == institution)


def _series(row: sa.RowMapping) -> Series:
    return Series(row["id"], row["institution"], row["title"], MeetingKind(row["kind"]))


def _meeting(row: sa.RowMapping) -> Meeting:
    rich = {
        "kind": MeetingKind(row["kind"]),
        "state": MeetingState(row["state"]),
        "place": Place.model_validate(row["place"]),
        "interests": tuple(row["interests"]),
        "languages": tuple(row["languages"]),
    }
    return Meeting(**{**{name: row[name] for name in _MEETING}, **rich})


def _row(meeting: Meeting) -> dict[str, Any]:
    return {
        **{name: getattr(meeting, name) for name in _MEETING},
        "place": meeting.place.model_dump(mode="json", exclude_none=True),
        "interests": list(meeting.interests),
        "languages": list(meeting.languages),
        "ends_at": meeting.ends_at,
    }
