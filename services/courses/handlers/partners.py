"""Runs that an institution manages in its own software and only tells the network of."""

from services.courses.store import Store
from shared.contract.courses import RunMessage
from shared.kit.errors import Conflict, Forbidden
from shared.kit.work import Work


async def known_version(message: RunMessage, work: Work[Store]) -> int:
    """Give the version in which a run was told, 0 for none; raises Conflict where it is managed here, Forbidden."""
    run_id = message.key
    if await work.store.has_run(run_id):
        raise Conflict(f"the run '{run_id}' is managed here; change it by HTTP", code="managed_here")
    seen = {one.institution: one.version for one in await work.store.seen_run(run_id)}
    if seen.keys() - {message.institution}:
        raise Forbidden(f"the run '{run_id}' is another institution's", code="other_institution")
    return seen.get(message.institution, 0)
