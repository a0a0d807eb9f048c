"""Projects that an institution manages in its own software and only tells the network of."""

from services.members.store import Store
from shared.contract.members import ProjectMessage
from shared.kit.errors import Conflict, Forbidden
from shared.kit.work import Work


async def known_version(message: ProjectMessage, work: Work[Store]) -> int:
    """Give the version in which a project was told, 0 for none; raises Conflict where it is managed here, Forbidden."""
    project_id = message.key
    if await work.store.has_project(project_id):
        raise Conflict(f"the project '{project_id}' is managed here; change it by HTTP", code="managed_here")
    seen = await work.store.network_versions(project_id)
    if seen.keys() - {message.institution}:
        raise Forbidden(f"the project '{project_id}' is another institution's", code="other_institution")
    return seen.get(message.institution, 0)
