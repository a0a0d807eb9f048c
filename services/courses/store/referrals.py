"""Referrals in SQL, and the private halves of their keys."""

from dataclasses import asdict, fields, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from services.courses.domain.consent import Consent
from services.courses.domain.participant import FileState
from services.courses.domain.referral import OPEN, Receipt, Referral, ReferralState, Side
from services.courses.store import tables
from shared.contract.referrals import ReferralField
from shared.contract.words import InstitutionState
from shared.kit import tables as kit
from shared.kit.database import upsert
from shared.kit.errors import NotFound

_REFERRAL = tuple(each.name for each in fields(Referral))
_CONSENT = TypeAdapter(Consent)
_RECEIPT = TypeAdapter(Receipt)
_OPEN = [state.value for state in OPEN]
t = tables.referral
key = tables.referral_key


class ReferralStore:
    """Loads and keeps referrals."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def referral(self, referral_id: str, institution: str) -> Referral:
        """Give one side of a referral; raises NotFound."""
        found = await self.referral_if_any(referral_id, institution)
        if found is None:
            raise NotFound(f"there is no referral '{referral_id}'")
        return found

    async def referral_if_any(self, referral_id: str, institution: str) -> Referral | None:
        """Give one side of a referral, None where there is none."""
        return await self._referral_in(sa.select(t).where(t.c.id == referral_id, t.c.institution == institution))

    async def locked_referral(self, referral_id: str, institution: str) -> Referral | None:
        """Lock one side of a referral until the end of the transaction and give it."""
        query = sa.select(t).where(t.c.id == referral_id, t.c.institution == institution)
        return await self._referral_in(query.with_for_update())

    async def referrals(
        self, institution: str, after: str, limit: int, side: Side | None, state: ReferralState | None
    ) -> list[Referral]:
        """Give a page of an institution's referrals."""
        query = sa.select(t).where(t.c.institution == institution, t.c.id > after)
        query = query if side is None else query.where(t.c.side == side.value)
        query = query if state is None else query.where(t.c.state == state.value)
        return await self._referrals_in(query.order_by(t.c.id).limit(limit))

    async def referrals_of(self, participant_id: str) -> list[Referral]:
        """Give all referrals of a participant, on whichever side the file is."""
        return await self._referrals_in(sa.select(t).where(t.c.participant_id == participant_id).order_by(t.c.id))

    async def due_referrals(self, today: date, limit: int) -> list[tuple[str, str]]:
        """Name the open referrals whose consent has ended, as (institution, id)."""
        query = sa.select(t.c.institution, t.c.id).where(t.c.state.in_(_OPEN), t.c.expires_on < today)
        return [(row.institution, row.id) for row in await self.connection.execute(query.limit(limit))]

    async def referrals_to_forget(self, limit: int) -> list[tuple[str, str]]:
        """Name the referrals of which something is still to be deleted, as (institution, id)."""
        query = sa.select(t.c.institution, t.c.id).where(t.c.forget)
        return [(row.institution, row.id) for row in await self.connection.execute(query.limit(limit))]

    async def receipts_to_verify(self, limit: int) -> list[Referral]:
        """Give referrals with a receipt whose signature nobody could check yet."""
        return await self._referrals_in(sa.select(t).where(t.c.erasure == "unverified").order_by(t.c.id).limit(limit))

    async def add_referral(self, referral: Referral) -> None:
        """Keep a new referral."""
        await self.connection.execute(sa.insert(t), [_row(referral)])

    async def keep_referral(self, referral: Referral) -> None:
        """Keep a referral that is known, as it is now."""
        mine = (t.c.id == referral.id) & (t.c.institution == referral.institution)
        await self.connection.execute(sa.update(t).where(mine).values(_row(referral)))

    async def keep_key(self, referral: Referral, private: bytes) -> None:
        """Keep the private half of a referral's key."""
        row = {"institution": referral.institution, "referral_id": referral.id, "private": private}
        await upsert(self.connection, key, [row], newer=None)

    async def key_of(self, referral: Referral) -> bytes | None:
        """Give the private half of a referral's key, None where it is destroyed."""
        query = sa.select(key.c.private).where(*_of(referral))
        found: bytes | None = (await self.connection.execute(query)).scalar_one_or_none()
        return found

    async def destroy_key(self, referral: Referral) -> None:
        """Delete the private half: nothing that was sealed for it can be read by anybody any more."""
        await self.connection.execute(sa.delete(key).where(*_of(referral)))

    async def file_like(self, institution: str, name: str, mail: str) -> str | None:
        """Name the institution's participant with the same name and mail; one address may belong to a family."""
        p = tables.participant
        query = sa.select(p.c.id).where(
            p.c.institution == institution,
            sa.func.lower(p.c.mail) == mail.lower(),
            p.c.name == name,
            p.c.state.not_in([FileState.ERASED.value, FileState.CLOSED.value]),
        )
        found: str | None = (await self.connection.execute(query.order_by(p.c.id).limit(1))).scalar_one_or_none()
        return found

    async def state_of_institution(self, slug: str) -> InstitutionState | None:
        """Give how an institution stands to the network, None where nobody heard of it."""
        query = sa.select(kit.institution.c.state).where(kit.institution.c.slug == slug)
        found = (await self.connection.execute(query)).scalar_one_or_none()
        return InstitutionState(found) if found else None

    async def _referral_in(self, query: sa.Select[Any]) -> Referral | None:
        found = await self._referrals_in(query)
        return found[0] if found else None

    async def _referrals_in(self, query: sa.Select[Any]) -> list[Referral]:
        return [_referral(row) for row in await self.connection.execute(query)]


def _of(referral: Referral) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return key.c.institution == referral.institution, key.c.referral_id == referral.id


def _referral(row: sa.Row[Any]) -> Referral:
    plain = Referral(**{name: row._mapping[name] for name in _REFERRAL})
    return replace(
        plain,
        side=Side(row.side),
        state=ReferralState(row.state),
        fields=tuple(ReferralField(each) for each in row.fields),
        consent=_CONSENT.validate_python(row.consent) if row.consent else None,
        receipt=_RECEIPT.validate_python(row.receipt) if row.receipt else None,
    )


def _row(referral: Referral) -> dict[str, Any]:
    plain = {name: getattr(referral, name) for name in _REFERRAL}
    return {
        **plain,
        "fields": list(referral.fields),
        "consent": asdict(referral.consent) if referral.consent else None,
        "receipt": asdict(referral.receipt) if referral.receipt else None,
    }
