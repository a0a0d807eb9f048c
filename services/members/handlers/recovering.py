"""After a backup was restored: institutions, projects and keys become again what was told of them."""

from collections.abc import Sequence

from services.members.domain.institution import Institution
from services.members.domain.key import ApiKey
from services.members.domain.project import Project
from services.members.store import Store
from shared.contract.envelope import Message
from shared.contract.members import InstitutionMessage, KeyMessage, KeyRevoked, ProjectMessage
from shared.kit.work import Work


async def take_back(messages: Sequence[Message], work: Work[Store]) -> None:
    """Bring what is kept here to the newest told state; an older message moves nothing back."""
    for message in messages:
        if isinstance(message, InstitutionMessage):
            await work.store.keep_institution(Institution(message.picture, message.version))
        elif isinstance(message, ProjectMessage):
            await work.store.keep_project(Project(message.institution, message.picture, message.version))
        elif isinstance(message, KeyMessage):
            await work.store.keep_key(_key(message, work))


def _key(message: KeyMessage, work: Work[Store]) -> ApiKey:
    revoked_at = work.now if isinstance(message, KeyRevoked) else None
    return ApiKey(
        message.key_id, message.institution, message.sha256, message.scopes, work.now, revoked_at, message.version
    )
