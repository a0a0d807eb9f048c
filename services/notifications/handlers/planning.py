"""Plans the mails that follow from what happened to a person's place."""

from dataclasses import replace

from services.notifications.domain.delivery import Delivery, State, end
from services.notifications.domain.occasions import Picture
from services.notifications.domain.planning import Happening, Planned, ending_of, plan, wanted
from services.notifications.handlers.queueing import queue
from services.notifications.store import Store
from shared.contract.words import SeatCause
from shared.kit.work import Work


async def place_changed(happening: Happening, shown: Picture, work: Work[Store]) -> None:
    """Plan what follows, end what is not true any more; an older message than the last changes nothing."""
    if happening.version < await work.store.version_of(happening.institution, happening.subject_id):
        return
    await work.store.keep_version(happening.institution, happening.subject_id, happening.version)
    earlier = await work.store.deliveries.about(happening.institution, happening.subject_id)
    mails = plan(happening, work.now)
    still = [await _settle(one, happening, shown, mails, work) for one in earlier]
    new = [mail for mail in mails if wanted(mail, happening, still)]
    if new or still:
        await work.store.keep_picture(happening.institution, shown, work.now)
    contact = await work.store.contact(happening.institution, happening.participant_id) if new else None
    for mail in new:
        await work.store.deliveries.add(queue(_delivery(mail, happening, shown, work), contact, work.now))


async def _settle(
    earlier: Delivery, happening: Happening, shown: Picture, mails: list[Planned], work: Work[Store]
) -> Delivery:
    """End an earlier mail, or have it show the occasion as it is now, as long as it is not written."""
    ending = ending_of(earlier, happening, mails)
    settled = earlier
    if ending is not None:
        settled = end(earlier, ending.state, work.now, ending.reason)
    elif happening.cause is SeatCause.OCCASION_CHANGED and _unwritten(earlier, happening):
        settled = replace(earlier, picture=shown.digest, occasion_version=happening.occasion_version)
    if settled != earlier:
        await work.store.deliveries.keep(settled)
    return settled


def _unwritten(earlier: Delivery, happening: Happening) -> bool:
    unsent = earlier.state in {State.planned, State.queued} and not earlier.written
    return unsent and earlier.occasion_version < happening.occasion_version


def _delivery(mail: Planned, happening: Happening, shown: Picture, work: Work[Store]) -> Delivery:
    return Delivery(
        id=work.ids.new("dlv"),
        institution=happening.institution,
        participant_id=happening.participant_id,
        subject_id=happening.subject_id,
        business_key=mail.business_key(happening),
        kind=mail.kind,
        version=happening.version,
        occasion_id=happening.occasion_id,
        occasion_version=happening.occasion_version,
        picture=shown.digest,
        starts=happening.starts,
        facts=mail.facts,
        not_before=mail.not_before,
        useless_after=mail.useless_after,
        planned_at=work.now,
        changed_at=work.now,
    )
