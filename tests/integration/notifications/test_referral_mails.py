"""Mails to people whom another institution referred, and the contact that goes once the last of them has left."""

from datetime import timedelta

import sqlalchemy as sa

from services.notifications.handlers.contacts import forget_leaving
from services.notifications.store.tables import contact as contact_table
from shared.contract.courses import ParticipantErased, Referred
from shared.contract.referrals import ReferralField
from shared.contract.words import EnrolmentState, SeatCause
from tests.integration.notifications.conftest import HOUSE, NOW, Notified, contact, enrolment

REFERRED = Referred(by="kargah", fields=(ReferralField.NAME, ReferralField.MAIL))
ENDED = REFERRED.model_copy(update={"ended": True})
ERASED = ParticipantErased(institution=HOUSE, version=2, participant_id="par_00000001", farewell=True)


async def _kinds(notified: Notified) -> dict[str, str]:
    async with notified.works() as work:
        found = await work.store.deliveries.about(HOUSE, "enr_00000001")
    return {one.kind.value: one.state.value for one in found}


async def _forget(notified: Notified) -> str:
    """Forget whom nothing is sent to any more; give the name that is kept."""
    async with notified.works() as work:
        await forget_leaving(work)
        row = await work.connection.execute(sa.select(contact_table.c.name))
        return str(row.scalar_one())


async def _ended(notified: Notified) -> None:
    offered = enrolment(
        SeatCause.OFFERED, EnrolmentState.OFFERED, 1, offered_until=NOW + timedelta(hours=48), referred=REFERRED
    )
    ended = enrolment(SeatCause.WITHDRAWN, EnrolmentState.WITHDRAWN, 2, referred=ENDED)
    await notified.hear(contact(language="de"), offered)
    await notified.send()
    await notified.hear(ended, ERASED)


async def test_the_last_mail_leaves_before_the_contact_goes(notified: Notified) -> None:
    """A referral that ended is told of; the address is kept until then, and no moment longer."""
    await _ended(notified)
    assert await _kinds(notified) == {"seat_offered": "handed_over", "referral_ended": "queued"}
    assert await _forget(notified) == "Ayşe Yılmaz"
    await notified.send()
    assert await _forget(notified) == ""
    assert await _kinds(notified) == {"seat_offered": "handed_over", "referral_ended": "handed_over"}
    assert not [row for row in await notified.rows() if "p1@example.org" in str(row)]
    assert len(notified.catcher.mails) == 2


async def test_a_mail_that_does_not_get_through_keeps_nobody_for_longer(notified: Notified) -> None:
    """After 72 hours the contact goes, sent or not."""
    await _ended(notified)
    notified.clock.moment += timedelta(hours=71)
    assert await _forget(notified) == "Ayşe Yılmaz"
    notified.clock.moment += timedelta(hours=2)
    assert await _forget(notified) == ""
    assert await notified.send() == 0


async def test_without_a_farewell_nothing_is_sent_any_more(notified: Notified) -> None:
    """The control: an erasure that the person asked for stops the mail and forgets the contact at once."""
    await _ended(notified)
    await notified.hear(ERASED.model_copy(update={"farewell": False}))
    assert await notified.send() == 0
    assert await _forget(notified) == ""


async def test_who_leaves_by_themselves_gets_no_mail_about_it(notified: Notified) -> None:
    """Withdrawn by the person, not by the end of the referral: they know, and the contact goes at once."""
    waiting = enrolment(SeatCause.QUEUED, EnrolmentState.WAITING, 1, place_in_queue=2, referred=REFERRED)
    await notified.hear(contact(language="de"), waiting)
    await notified.send()
    await notified.hear(enrolment(SeatCause.WITHDRAWN, EnrolmentState.WITHDRAWN, 2, referred=REFERRED), ERASED)
    assert await _kinds(notified) == {"waiting": "handed_over"}
    assert await _forget(notified) == ""


async def test_an_offer_that_ended_offers_no_way_back_to_who_was_referred(notified: Notified) -> None:
    """What came with the referral is deleted: nobody is left who could ask again, and the mail says so."""
    expired = enrolment(SeatCause.OFFER_EXPIRED, EnrolmentState.EXPIRED, 1, offered_until=NOW, referred=REFERRED)
    await notified.hear(contact(language="de"), expired, ERASED)
    await notified.send()
    body = notified.catcher.mails[-1].message.get_body(("plain",))
    assert body is not None
    assert "Wir löschen, was wir über Sie bekommen haben." in body.get_content()
    assert "http" not in body.get_content()
