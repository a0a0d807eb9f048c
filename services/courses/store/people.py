"""Participants and entitlements in SQL."""

from collections.abc import Collection
from dataclasses import fields, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.courses.domain.entitlement import Entitlement, EntitlementState
from services.courses.domain.participant import Assessed, DayTime, FileState, Participant, Skill, levels_until
from services.courses.domain.periods import level_valid_months
from services.courses.store import tables
from shared.contract.words import Level
from shared.kit import matching
from shared.kit.errors import NotFound

_PARTICIPANT = tuple(each.name for each in fields(Participant))
_ENTITLEMENT = tuple(each.name for each in fields(Entitlement))


class PeopleStore:
    """Loads and keeps participants and their entitlements."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def participant(self, participant_id: str, institution: str) -> Participant:
        """Give a participant file; raises NotFound, also where it is another institution's."""
        return await self._participant(participant_id, institution)

    async def participants(self, institution: str, after: str, limit: int) -> list[Participant]:
        """Give a page of an institution's participants."""
        t = tables.participant
        query = sa.select(t).where(t.c.institution == institution, t.c.id > after).order_by(t.c.id).limit(limit)
        return [_participant(row) for row in await self.connection.execute(query)]

    async def locked_participant(self, participant_id: str, institution: str | None = None) -> Participant:
        """Lock a participant file until the end of the transaction and give it; raises NotFound."""
        return matching.matched(await self._participant(participant_id, institution, lock=True))

    async def locked_participants(self, ids: Collection[str], institution: str) -> dict[str, Participant]:
        """Lock an institution's participant files until the end of the transaction and give them by id."""
        t = tables.participant
        # In one order for everybody, so that two who lock several never wait for each other.
        query = sa.select(t).where(t.c.id.in_(ids), t.c.institution == institution).order_by(t.c.id).with_for_update()
        found = [_participant(row) for row in await self.connection.execute(query)]
        return {each.id: matching.matched(each) for each in found}

    async def _participant(self, participant_id: str, institution: str | None, *, lock: bool = False) -> Participant:
        t = tables.participant
        query = sa.select(t).where(t.c.id == participant_id)
        query = query if institution is None else query.where(t.c.institution == institution)
        row = (await self.connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no participant '{participant_id}'")
        return _participant(row)

    async def add_participant(self, participant: Participant, today: date) -> None:
        """Keep a new participant file."""
        await self.connection.execute(sa.insert(tables.participant), [_participant_row(participant, today)])

    async def keep_participant(self, participant: Participant, today: date) -> None:
        """Keep a participant file that is known, as it is now."""
        t = tables.participant
        row = _participant_row(participant, today)
        await self.connection.execute(sa.update(t).where(t.c.id == participant.id).values(row))

    async def outdated_levels(self, today: date, limit: int) -> list[str]:
        """Name the participants whose levels are too old since today or before."""
        t = tables.participant
        query = sa.select(t.c.id).where(t.c.state == FileState.CURRENT.value, t.c.levels_until <= today)
        return list((await self.connection.execute(query.order_by(t.c.levels_until).limit(limit))).scalars())

    async def entitlement(self, entitlement_id: str, institution: str) -> Entitlement:
        """Give an entitlement; raises NotFound, also where it is another institution's."""
        return await self._entitlement(entitlement_id, institution)

    async def locked_entitlement(self, entitlement_id: str, institution: str | None = None) -> Entitlement:
        """Lock an entitlement until the end of the transaction and give it; raises NotFound."""
        return matching.matched(await self._entitlement(entitlement_id, institution, lock=True))

    async def _entitlement(self, entitlement_id: str, institution: str | None, *, lock: bool = False) -> Entitlement:
        t = tables.entitlement
        query = sa.select(t).where(t.c.id == entitlement_id)
        query = query if institution is None else query.where(t.c.institution == institution)
        row = (await self.connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no entitlement '{entitlement_id}'")
        return _entitlement(row)

    async def entitlements_of(self, *participant_ids: str) -> list[Entitlement]:
        """Give all entitlements of participants."""
        t = tables.entitlement
        query = sa.select(t).where(t.c.participant_id.in_(participant_ids)).order_by(t.c.id)
        return [_entitlement(row) for row in await self.connection.execute(query)]

    async def add_entitlement(self, entitlement: Entitlement) -> None:
        """Keep a new entitlement."""
        row = {name: getattr(entitlement, name) for name in _ENTITLEMENT}
        await self.connection.execute(sa.insert(tables.entitlement), [row])

    async def keep_entitlement(self, entitlement: Entitlement) -> None:
        """Keep an entitlement that is known, as it is now."""
        t = tables.entitlement
        row = {name: getattr(entitlement, name) for name in _ENTITLEMENT}
        await self.connection.execute(sa.update(t).where(t.c.id == entitlement.id).values(row))

    async def entitlements_due(self, today: date, limit: int) -> list[str]:
        """Name the entitlements that begin to be valid today or before, or whose last day is over."""
        t = tables.entitlement
        begins = sa.select(t.c.id).where(t.c.state == EntitlementState.RECORDED.value, t.c.valid_from <= today)
        open_states = [EntitlementState.RECORDED.value, EntitlementState.VALID.value]
        ended = sa.select(t.c.id).where(t.c.state.in_(open_states), t.c.valid_until < today)
        return list((await self.connection.execute(sa.union(begins, ended).limit(limit))).scalars())


def _participant(row: sa.Row[Any]) -> Participant:
    plain = Participant(**{name: row._mapping[name] for name in _PARTICIPANT})
    skills = tuple(
        (Skill(skill), Assessed(Level(found["level"]), date.fromisoformat(found["on"])))
        for skill, found in sorted(row.skills.items())
    )
    return replace(
        plain,
        state=FileState(row.state),
        skills=skills,
        availability=tuple(DayTime(each) for each in row.availability),
        languages=tuple(row.languages),
    )


def _participant_row(participant: Participant, today: date) -> dict[str, Any]:
    plain = {name: getattr(participant, name) for name in _PARTICIPANT}
    return {
        **plain,
        "skills": {skill.value: {"level": a.level.value, "on": a.on.isoformat()} for skill, a in participant.skills},
        "availability": [each.value for each in participant.availability],
        "languages": list(participant.languages),
        "levels_until": levels_until(participant, level_valid_months(today)),
    }


def _entitlement(row: sa.Row[Any]) -> Entitlement:
    plain = Entitlement(**{name: row._mapping[name] for name in _ENTITLEMENT})
    return replace(plain, state=EntitlementState(row.state))
