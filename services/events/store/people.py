"""The people who asked to attend, in SQL."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.events.domain.registration import Participant
from services.events.store import tables
from shared.contract.words import RegistrationState
from shared.kit import matching
from shared.kit.database import insert
from shared.kit.errors import NotFound
from shared.kit.tables import institution as institution_known

t = tables.participant
_UNCONFIRMED = RegistrationState.UNCONFIRMED.value


class PeopleStore:
    """Loads and keeps participants."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def check_known(self, participant_id: str) -> None:
        """Raise NotFound where a person is erased, or never was."""
        query = sa.select(t.c.id).where(t.c.id == participant_id)
        if (await self.connection.execute(query)).first() is None:
            raise NotFound(f"there is no participant '{participant_id}'")

    async def locked_participant(self, participant_id: str, institution: str | None = None) -> Participant:
        """Lock a participant and give them; raises NotFound, also where they are another institution's."""
        query = sa.select(t).where(t.c.id == participant_id)
        query = query if institution is None else query.where(t.c.institution == institution)
        found = await self._participant(query)
        if found is None:
            raise NotFound(f"there is no participant '{participant_id}'")
        return matching.matched(found)

    async def participant_by_mail(self, institution: str, mail_key: str) -> Participant | None:
        """Lock whoever has an address at an institution and give them."""
        return await self._participant(sa.select(t).where(t.c.institution == institution, t.c.mail_key == mail_key))

    async def add_participant(self, participant: Participant) -> bool:
        """Keep a new participant; False where the address is known, even by another process at this moment."""
        row = {**asdict(participant), "mail_key": participant.mail_key}
        statement = insert(self.connection, t).values(row).on_conflict_do_nothing().returning(t.c.id)
        return (await self.connection.execute(statement)).first() is not None

    async def keep_participant(self, participant: Participant) -> None:
        """Keep a participant who is known, as they are now."""
        row = {**asdict(participant), "mail_key": participant.mail_key}
        await self.connection.execute(sa.update(t).where(t.c.id == participant.id).values(row))

    async def delete_participant(self, participant_id: str) -> None:
        """Forget a person: what remains of their registrations, for the counts, says nothing of them."""
        r = tables.registration
        await self.connection.execute(sa.update(r).where(r.c.participant_id == participant_id).values(company=None))
        await self.connection.execute(sa.delete(t).where(t.c.id == participant_id))

    async def ways_of(self, participant_id: str) -> tuple[int, int]:
        """Count a person's registrations: those that are unconfirmed, and those that once were confirmed."""
        r = tables.registration
        unconfirmed = sa.func.count().filter(r.c.state == _UNCONFIRMED)
        confirmed = sa.func.count().filter(r.c.state != _UNCONFIRMED)
        query = sa.select(unconfirmed, confirmed).where(r.c.participant_id == participant_id)
        row = (await self.connection.execute(query)).one()
        return row[0], row[1]

    async def name_of(self, institution: str) -> str:
        """Give the name of an institution as people know it, or its slug while nobody told the name."""
        query = sa.select(institution_known.c.name).where(institution_known.c.slug == institution)
        return (await self.connection.execute(query)).scalar() or institution

    async def _participant(self, query: sa.Select[Any]) -> Participant | None:
        row = (await self.connection.execute(query.with_for_update())).first()
        if row is None:
            return None
        return Participant(row.id, row.institution, row.name, row.mail, row.language, row.version)
