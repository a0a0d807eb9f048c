"""The office's tables: invitations, hub accounts, and every roster that was issued."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import insert, upsert
from shared.network.tables import account, invitation, issued


@dataclass(frozen=True)
class Invited:
    """An invitation that is open: whom it is for, the secret's SHA-256, until when it works."""

    slug: str
    secret_sha256: bytes
    until: datetime


@dataclass(frozen=True)
class Issued:
    """A roster as the office signed it."""

    version: int
    document: bytes
    signatures: bytes
    at: datetime
    why: str


class OfficeStore:
    """Loads and keeps what the office knows, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def invitations(self) -> list[Invited]:
        """Give the invitations that nobody has used, by slug."""
        rows = await self._connection.execute(sa.select(invitation).order_by(invitation.c.slug))
        return [Invited(row.slug, row.secret_sha256, row.until) for row in rows]

    async def keep_invitation(self, invited: Invited) -> None:
        """Keep an invitation in place of an earlier one."""
        row = {"slug": invited.slug, "secret_sha256": invited.secret_sha256, "until": invited.until}
        await upsert(self._connection, invitation, [row], newer=None)

    async def end_invitation(self, slug: str) -> None:
        """Forget an invitation that was used, or that ended."""
        await self._connection.execute(sa.delete(invitation).where(invitation.c.slug == slug))

    async def accounts(self) -> dict[str, bytes]:
        """Give the SHA-256 of every member's password on the hub."""
        rows = await self._connection.execute(sa.select(account).order_by(account.c.slug))
        return {row.slug: row.password_sha256 for row in rows}

    async def keep_account(self, slug: str, password_sha256: bytes) -> None:
        """Keep a member's password."""
        row = {"slug": slug, "password_sha256": password_sha256}
        await upsert(self._connection, account, [row], newer=None)

    async def newest(self) -> Issued | None:
        """Give the newest roster; None before the network begins."""
        rows = await self._connection.execute(sa.select(issued).order_by(issued.c.version.desc()).limit(1))
        row = rows.first()
        return None if row is None else _issued(row)

    async def behind(self, version: int) -> list[Issued]:
        """Give the rosters behind a version, in order."""
        wanted = sa.select(issued).where(issued.c.version > version).order_by(issued.c.version)
        return [_issued(row) for row in await self._connection.execute(wanted)]

    async def issue(self, one: Issued) -> bool:
        """Keep a roster; False where its version was issued in this moment by somebody else."""
        row = {
            "version": one.version,
            "document": one.document,
            "signatures": one.signatures,
            "at": one.at,
            "why": one.why,
        }
        done = await self._connection.execute(
            insert(self._connection, issued).values(row).on_conflict_do_nothing().returning(issued.c.version)
        )
        return done.first() is not None


def _issued(row: sa.Row[tuple[int, bytes, bytes, datetime, str]]) -> Issued:
    return Issued(row.version, row.document, row.signatures, row.at, row.why)
