"""API keys: an operator issues and revokes them; every service of the node hears their SHA-256."""

from collections.abc import Iterable

from services.members.domain import key as domain
from services.members.domain.key import ApiKey, Scope
from services.members.handlers.institutions import ensure_office
from services.members.handlers.refusing import refusing
from services.members.store import Store
from shared.contract.members import KeyIssued, KeyMessage, KeyRevoked
from shared.kit.errors import Conflict, NotFound
from shared.kit.work import Work


async def issue(institution: str, scopes: Iterable[Scope], random_part: str, work: Work[Store]) -> tuple[ApiKey, str]:
    """Issue a key; the second of the two is the key itself, which nobody can show again."""
    await _check_hosted(institution, work)
    with refusing():
        key, secret = domain.issue(
            work.ids.new("key"), institution, scopes, random_part, work.settings.office, work.now
        )
    await work.store.keep_key(key)
    _tell(key, KeyIssued, work)
    return key, secret


async def revoke(key_id: str, work: Work[Store]) -> ApiKey:
    """Take a key out of use everywhere on the node."""
    key = await work.store.key(key_id)
    with refusing():
        revoked = domain.revoke(key, work.now)
    await work.store.keep_key(revoked)
    _tell(revoked, KeyRevoked, work)
    return revoked


async def _check_hosted(institution: str, work: Work[Store]) -> None:
    if not work.settings.hosts(institution):
        raise Conflict(f"this node does not host '{institution}' (ALBUM_HOSTED)", code="not_hosted")
    if institution == work.settings.office:
        await ensure_office(work)
    elif not await work.store.is_known(institution):
        raise NotFound(f"no institution '{institution}' is known here: `album institutions add {institution}` first")


def _tell(key: ApiKey, kind: type[KeyMessage], work: Work[Store]) -> None:
    # `type` has its only value as default in every message that can be spoken.
    work.tell(
        kind(  # type: ignore[call-arg]
            institution=key.institution,
            version=key.version,
            key_id=key.key_id,
            sha256=key.sha256,
            scopes=key.scopes,
        )
    )
