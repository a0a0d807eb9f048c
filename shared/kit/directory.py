"""Every service's own copy of who is in the network and which API keys open it, fed by what members tells."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract import members
from shared.contract.streams import StreamName
from shared.contract.words import Audience, InstitutionState
from shared.kit.database import upsert
from shared.kit.hears import Hears
from shared.kit.settings import Settings
from shared.kit.tables import api_key, institution
from shared.kit.work import Work

hears = Hears()
_KNOWN = sa.select(institution.c.slug, institution.c.name)


@hears.newest(
    members.InstitutionApplied,
    members.InstitutionAdmitted,
    members.InstitutionActivated,
    members.InstitutionChanged,
    members.InstitutionSuspended,
    members.InstitutionLeft,
)
async def institutions(messages: list[members.InstitutionMessage], work: Work[Any]) -> None:
    """Keep who is in the network."""
    rows = [
        {"slug": m.picture.slug, "name": m.picture.name, "state": m.picture.state.value, "version": m.version}
        for m in messages
    ]
    await upsert(work.connection, institution, rows)


@hears.newest(members.KeyIssued, members.KeyRevoked)
async def keys(messages: list[members.KeyMessage], work: Work[Any]) -> None:
    """Keep which API keys open the service."""
    rows = [
        {
            "key_id": m.key_id,
            "institution": m.institution,
            "sha256": m.sha256,
            "scopes": list(m.scopes),
            "revoked": isinstance(m, members.KeyRevoked),
            "version": m.version,
        }
        for m in messages
    ]
    await upsert(work.connection, api_key, rows)


@dataclass(frozen=True)
class Key:
    """An API key that opens something, and for whom."""

    key_id: str
    institution: str
    scopes: tuple[str, ...]
    state: InstitutionState | None


async def known_institutions(connection: AsyncConnection) -> dict[str, str]:
    """Give the names of the institutions that take part, by slug; one that left is still read to its end."""
    found = await connection.execute(_KNOWN)
    return {row.slug: row.name for row in found}


def streams_of(service: str, settings: Settings) -> Callable[[AsyncConnection], Awaitable[set[str]]]:
    """Give what names the streams that a service may have written here, by who is hosted; sealed ones are not named."""

    async def named(connection: AsyncConnection) -> set[str]:
        known = {settings.office, *await known_institutions(connection)}
        here = known if settings.hosted == "*" else set(settings.hosted.split(","))
        spaces = (Audience.NETWORK, Audience.INSTITUTION)
        return {str(StreamName(space, one, service)) for one in here for space in spaces}

    return named


async def find_key(connection: AsyncConnection, secret: str) -> Key | None:
    """Find a key by its SHA-256, the only form in which it is kept."""
    found = await connection.execute(
        sa.select(api_key.c.key_id, api_key.c.institution, api_key.c.scopes, institution.c.state)
        .outerjoin(institution, institution.c.slug == api_key.c.institution)
        .where(api_key.c.sha256 == sha256(secret.encode()).hexdigest(), api_key.c.revoked.is_(False))
    )
    row = found.first()
    if row is None:
        return None
    return Key(row.key_id, row.institution, tuple(row.scopes), InstitutionState(row.state) if row.state else None)
