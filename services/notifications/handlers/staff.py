"""What staff can do about a mail: have it tried again."""

from services.notifications.domain.delivery import BY_HAND, Delivery, release
from services.notifications.domain.retry import Pause
from services.notifications.store import Store
from shared.kit import matching
from shared.kit.errors import Conflict, NotFound
from shared.kit.work import Work


async def try_again(institution: str, id: str, work: Work[Store]) -> Delivery:
    """Queue a mail again; what paused its kind or left its address alone is lifted, for a human has looked at it."""
    found = await work.store.deliveries.delivery(id, institution, lock=True)
    if found is None:
        raise NotFound("there is no such delivery")
    matching.matched(found)
    if found.state not in BY_HAND:
        states = ", ".join(sorted(state.value for state in BY_HAND))
        raise Conflict(f"the mail is {found.state}; only {states} are tried again", code="not_to_be_retried")
    if found.forgotten or found.useless_after <= work.now:
        raise Conflict("the mail is too old to be of use", code="too_late")
    released = release(found, work.now)
    await work.store.deliveries.keep(released)
    await work.store.unsuppress(institution, found.participant_id)
    await work.store.unpause(Pause.sender.value, f"kind:{found.kind.value}")
    return released
