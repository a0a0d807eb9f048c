"""API keys: shown once, kept as a SHA-256, each for one institution and some scopes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

from services.members.domain.refusal import Misfit, Refused

Scope = Literal["read", "write", "office"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key."""

    key_id: str
    institution: str
    sha256: str
    scopes: tuple[Scope, ...]
    issued_at: datetime
    revoked_at: datetime | None = None
    version: int = 1


def issue(
    key_id: str, institution: str, scopes: Iterable[Scope], random_part: str, office: str, now: datetime
) -> tuple[ApiKey, str]:
    """Give what is kept of a new key, and the key itself as it is shown once; raises Misfit."""
    chosen = tuple(scope for scope in SCOPES if scope in set(scopes))
    if not chosen:
        raise Misfit("no_scope", f"a key needs a scope: {', '.join(SCOPES)}")
    if "office" in chosen and institution != office:
        raise Misfit("scope_not_theirs", f"the scope 'office' is for '{office}' only, not for '{institution}'")
    secret = f"album_{key_id}_{random_part}"
    return ApiKey(key_id, institution, sha256(secret.encode()).hexdigest(), chosen, now), secret


def revoke(key: ApiKey, now: datetime) -> ApiKey:
    """Take a key out of use; raises Refused where it is already."""
    if key.revoked_at is not None:
        raise Refused("already_revoked", f"the key {key.key_id} is revoked already")
    return replace(key, revoked_at=now, version=key.version + 1)
