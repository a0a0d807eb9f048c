"""Offers and runs in SQL."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.courses.domain.run import Offer, Run
from services.courses.store import tables
from shared.contract.words import FieldOfAction, Level, Place, RunKind, RunState, Session
from shared.kit import matching
from shared.kit.errors import NotFound

_OFFER = tuple(each.name for each in fields(Offer))
_RUN = tuple(each.name for each in fields(Run))
_MOST_NUMBERS = 500


def _due(state: RunState, column: sa.Column[Any]) -> sa.Select[Any]:
    due = sa.select(tables.run.c.id).where(tables.run.c.state == state.value, column <= sa.bindparam("now"))
    return due.order_by(column).limit(sa.bindparam("count"))


_TO_START = _due(RunState.CONFIRMED, tables.run.c.starts_at)
_TO_COMPLETE = _due(RunState.RUNNING, tables.run.c.ends_at)


class RunStore:
    """Loads and keeps offers and runs."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def offer(self, offer_id: str, institution: str) -> Offer:
        """Give an offer of an institution; raises NotFound."""
        t = tables.offer
        row = (
            await self.connection.execute(sa.select(t).where(t.c.id == offer_id, t.c.institution == institution))
        ).first()
        if row is None:
            raise NotFound(f"there is no offer '{offer_id}'")
        return _offer(row)

    async def offers(self, institution: str, after: str, limit: int) -> list[Offer]:
        """Give a page of an institution's offers."""
        t = tables.offer
        query = sa.select(t).where(t.c.institution == institution, t.c.id > after).order_by(t.c.id).limit(limit)
        return [_offer(row) for row in await self.connection.execute(query)]

    async def offer_like(self, wanted: Offer) -> Offer | None:
        """Give the institution's offer with the same title, kind and levels."""
        t = tables.offer
        query = sa.select(t).where(t.c.institution == wanted.institution, t.c.title == wanted.title)
        for row in await self.connection.execute(query.order_by(t.c.id)):
            found = _offer(row)
            if (found.kind, found.from_level, found.to_level) == (wanted.kind, wanted.from_level, wanted.to_level):
                return found
        return None

    async def add_offer(self, offer: Offer) -> None:
        """Keep a new offer."""
        await self.connection.execute(sa.insert(tables.offer), [{name: getattr(offer, name) for name in _OFFER}])

    async def run(self, run_id: str, institution: str | None = None) -> Run:
        """Give a run as it was last committed; raises NotFound, also where it is another institution's."""
        return await self._run(_which(run_id, institution), run_id)

    async def has_run(self, run_id: str) -> bool:
        """Tell whether a run is managed here, whoever's it is."""
        t = tables.run
        return (await self.connection.execute(sa.select(t.c.id).where(t.c.id == run_id))).first() is not None

    async def locked_run(self, run_id: str, institution: str | None = None) -> Run:
        """Lock a run until the end of the transaction and give it; raises NotFound."""
        # Without this lock two desks read the same counts and both give the last seat.
        return matching.matched(await self._run(_which(run_id, institution).with_for_update(), run_id))

    async def _run(self, query: sa.Select[Any], run_id: str) -> Run:
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise NotFound(f"there is no run '{run_id}'")
        return _run(row)

    async def runs(
        self, institution: str, after: str, limit: int, *, state: RunState | None = None, number: str | None = None
    ) -> list[Run]:
        """Give a page of an institution's own runs, drafts among them."""
        t = tables.run
        query = sa.select(t).where(t.c.institution == institution, t.c.id > after)
        query = query if state is None else query.where(t.c.state == state.value)
        query = query if number is None else query.where(t.c.number == number)
        found = await self.connection.execute(query.order_by(t.c.id).limit(limit))
        return [_run(row) for row in found]

    async def runs_numbered(self, institution: str, numbers: Sequence[str]) -> dict[str, list[Run]]:
        """Give an institution's own runs that have one of these numbers, by number."""
        t, found = tables.run, defaultdict[str, list[Run]](list)
        for start in range(0, len(numbers), _MOST_NUMBERS):
            wanted = t.c.number.in_(numbers[start : start + _MOST_NUMBERS])
            for row in await self.connection.execute(sa.select(t).where(t.c.institution == institution, wanted)):
                found[row.number].append(_run(row))
        return dict(found)

    async def add_run(self, run: Run) -> None:
        """Keep a new run."""
        await self.connection.execute(sa.insert(tables.run), [_run_row(run)])

    async def keep_run(self, run: Run) -> None:
        """Keep a run that is known, as it is now."""
        await self.connection.execute(sa.update(tables.run).where(tables.run.c.id == run.id).values(_run_row(run)))

    async def keep_counts(self, run: Run) -> None:
        """Keep what changes with every seat: the counts, the state and the version, without the plans."""
        t = tables.run
        names = ("taken", "held", "waiting", "counted_at", "state", "version")
        values = {name: getattr(run, name) for name in names}
        await self.connection.execute(sa.update(t).where(t.c.id == run.id).values(values))

    async def versions_told_to_people(self, institution: str) -> dict[str, int]:
        """Give the versions of an institution's runs that people can see: drafts are told to nobody."""
        t = tables.run
        query = sa.select(t.c.id, t.c.version).where(t.c.institution == institution, t.c.state != RunState.DRAFT.value)
        return {row.id: row.version for row in await self.connection.execute(query)}

    async def runs_to_start(self, now: datetime, limit: int) -> list[str]:
        """Name the confirmed runs whose first session has started."""
        return await self._due(_TO_START, now, limit)

    async def runs_to_complete(self, now: datetime, limit: int) -> list[str]:
        """Name the running runs whose last session has ended."""
        return await self._due(_TO_COMPLETE, now, limit)

    async def _due(self, query: sa.Select[Any], now: datetime, limit: int) -> list[str]:
        return list((await self.connection.execute(query, {"now": now, "count": limit})).scalars())


def _which(run_id: str, institution: str | None) -> sa.Select[Any]:
    query = sa.select(tables.run).where(tables.run.c.id == run_id)
    return query if institution is None else query.where(tables.run.c.institution == institution)


def _offer(row: sa.Row[Any]) -> Offer:
    values = row._mapping
    plain = {name: values[name] for name in _OFFER}
    return Offer(**{**plain, "kind": RunKind(row.kind), **_levels(row)})


def _levels(row: sa.Row[Any]) -> dict[str, Level | None]:
    return {
        "from_level": Level(row.from_level) if row.from_level else None,
        "to_level": Level(row.to_level) if row.to_level else None,
    }


def _run(row: sa.Row[Any]) -> Run:
    values = row._mapping
    plain = {name: values[name] for name in _RUN}
    rich = {
        "kind": RunKind(row.kind),
        "field_of_action": FieldOfAction(row.field_of_action) if row.field_of_action else None,
        "state": RunState(row.state),
        "sessions": tuple(Session.model_validate(each) for each in row.sessions),
        "place": Place.model_validate(row.place),
    }
    return Run(**{**plain, **rich, **_levels(row)})


def _run_row(run: Run) -> dict[str, Any]:
    plain = {name: getattr(run, name) for name in _RUN}
    return {
        **plain,
        "sessions": [each.model_dump(mode="json", exclude_none=True) for each in run.sessions],
        "place": run.place.model_dump(mode="json", exclude_none=True),
        "starts_at": run.starts_at,
        "ends_at": run.ends_at,
    }
