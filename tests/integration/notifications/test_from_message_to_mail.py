"""From what courses and events tell to the mail in a mailbox."""

import re
from datetime import timedelta
from email.message import EmailMessage

import pytest

from services.notifications.domain.delivery import State
from shared.contract.courses import EnrolmentChanged, ParticipantErased
from shared.contract.events import MeetingPicture, RegistrantContactRecorded, RegistrationChanged
from shared.contract.words import (
    Availability,
    EnrolmentState,
    MeetingKind,
    MeetingState,
    RegistrationState,
    SeatCause,
    WaitingBand,
)
from shared.pages.links import Links
from tests.integration.notifications.conftest import (
    HOUSE,
    NOW,
    START,
    Notified,
    contact,
    enrolment,
    given,
    run_picture,
)


def text_of(message: EmailMessage) -> str:
    """Give the plain text of a mail."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def links_in(message: EmailMessage, notified: Notified) -> dict[str, tuple[str, str]]:
    """Give purpose -> (subject, language) of the signed links in a mail; a wrong signature raises."""
    links = Links(notified.settings.secret.get_secret_value(), "http://x")
    found = [links.read(token, NOW) for token in re.findall(r"/l/(\S+)", text_of(message))]
    return {one.purpose: (one.subject, one.language) for one in found}


def offered(version: int = 2) -> EnrolmentChanged:
    """Give that a person is offered a seat for two days."""
    until = NOW + timedelta(hours=48)
    return enrolment(SeatCause.OFFERED, EnrolmentState.OFFERED, version, offered_until=until)


def moved(version: int, days: int) -> EnrolmentChanged:
    """Give that the run starts some days later."""
    later = run_picture(START + timedelta(days=days))
    return enrolment(SeatCause.OCCASION_CHANGED, EnrolmentState.ENROLLED, version, run=later)


def registration(cause: SeatCause, state: RegistrationState, version: int = 1) -> RegistrationChanged:
    """Give what events tells about one person's place in a meeting."""
    meeting = MeetingPicture(
        meeting_id="mtg_00000001",
        kind=MeetingKind.DIVERSITY,
        state=MeetingState.PUBLISHED,
        title="Vielfalt im Betrieb",
        starts=START,
        capacity=30,
        availability=Availability(free=3, waiting=WaitingBand.NONE, as_of=NOW),
    )
    return RegistrationChanged(
        institution=HOUSE,
        version=version,
        registration_id="reg_00000001",
        participant_id="par_00000001",
        state=state,
        cause=cause,
        confirm_until=NOW + timedelta(days=7) if state is RegistrationState.UNCONFIRMED else None,
        meeting_version=1,
        meeting=meeting,
    )


async def test_a_given_seat_becomes_one_mail_and_a_planned_reminder(notified: Notified) -> None:
    """The contact and the place come in, one mail goes out by SMTP, the reminder waits for its day."""
    await notified.hear(contact(), given())
    assert await notified.send() == 1
    [mail] = notified.catcher.mails
    assert (mail.sender, mail.recipients) == ("post@album.example", ("p1@example.org",))
    assert "VHS Hannover über ALBuM" in str(mail.message["From"])
    assert mail.message["Content-Language"] == "tr, de"
    assert "Deutsch B2 Beruf" in text_of(mail.message)
    assert links_in(mail.message, notified) == {"cancel": ("enr_00000001", "tr")}
    assert await notified.states() == {"enrolled": "handed_over", "reminder": "planned"}


async def test_a_place_may_come_before_its_contact(notified: Notified) -> None:
    """The mail is planned all the same, and leaves when the contact is there."""
    await notified.hear(given())
    assert await notified.send() == 0
    assert (await notified.one("enrolled")).state is State.planned
    await notified.hear(contact())
    assert (await notified.one("enrolled")).state is State.queued
    assert await notified.send() == 1


@pytest.mark.parametrize("contact_first", [True, False])
async def test_who_has_no_mail_address_is_not_written_to(notified: Notified, contact_first: bool) -> None:
    """The record says why, and staff know whom to call."""
    told = [contact(mail=None), given()]
    await notified.hear(*(told if contact_first else told[::-1]))
    assert await notified.send() == 0
    found = await notified.one("enrolled")
    assert (found.state, found.reason) == (State.suppressed, "no_address")


async def test_a_message_handled_twice_makes_one_mail(notified: Notified) -> None:
    """The business key is unique for ever: before the mail is sent, and after."""
    await notified.hear(contact(), given(), given())
    await notified.send()
    await notified.hear(given())
    await notified.send()
    assert len(notified.catcher.mails) == 1
    assert len(await notified.deliveries()) == 2


async def test_an_old_message_that_comes_late_changes_nothing(notified: Notified) -> None:
    """A place moves forward only."""
    await notified.hear(contact(), given(version=3))
    await notified.hear(enrolment(SeatCause.QUEUED, EnrolmentState.WAITING, 2, place_in_queue=4))
    assert set(await notified.states()) == {"enrolled", "reminder"}


async def test_an_older_contact_does_not_replace_a_newer_one(notified: Notified) -> None:
    """The mail goes to the newest address."""
    await notified.hear(contact(version=2, mail="new@example.org"), contact(version=1, mail="old@example.org"), given())
    await notified.send()
    assert [mail.recipients for mail in notified.catcher.mails] == [("new@example.org",)]


async def test_the_waiting_list_tells_the_place(notified: Notified) -> None:
    """The number is in the mail, and the link to leave the list."""
    await notified.hear(contact(language="en"))
    await notified.hear(enrolment(SeatCause.QUEUED, EnrolmentState.WAITING, place_in_queue=4))
    await notified.send()
    [mail] = notified.catcher.mails
    assert "You are number \u20684\u2069 on the waiting list." in text_of(mail.message)
    assert set(links_in(mail.message, notified)) == {"cancel"}


async def test_an_offer_has_both_links_and_its_deadline(notified: Notified) -> None:
    """The deadline is Berlin time."""
    await notified.hear(contact(language="en"), offered())
    await notified.send()
    [mail] = notified.catcher.mails
    assert set(links_in(mail.message, notified)) == {"accept", "decline"}
    assert "Friday, 20 November 2026, 09:00" in text_of(mail.message).replace(" at ", ", ")


async def test_an_offer_that_cannot_be_answered_any_more_is_not_sent(notified: Notified) -> None:
    """The deadline passes before the mail leaves."""
    await notified.hear(contact(), offered())
    notified.clock.moment += timedelta(hours=48)
    assert await notified.send() == 0
    found = await notified.one("seat_offered")
    assert (found.state, found.reason) == (State.expired, "too_late")


async def test_an_offer_that_expired_says_so_with_a_way_back(notified: Notified) -> None:
    """The link leads to the queue again."""
    await notified.hear(contact(), offered(), enrolment(SeatCause.OFFER_EXPIRED, EnrolmentState.EXPIRED, 3))
    await notified.send()
    [mail] = notified.catcher.mails
    assert set(links_in(mail.message, notified)) == {"again"}
    assert await notified.states() == {"seat_offered": "expired", "offer_expired": "handed_over"}


async def test_a_double_opt_in_leads_to_the_pages_of_events(notified: Notified) -> None:
    """Unconfirmed brings the link to confirm; confirmed brings the registration."""
    known = RegistrantContactRecorded(
        institution=HOUSE, version=1, participant_id="par_00000001", name="Bo", mail="bo@example.org", language="en"
    )
    await notified.hear(known, registration(SeatCause.ASKED, RegistrationState.UNCONFIRMED))
    await notified.send()
    await notified.hear(registration(SeatCause.GIVEN, RegistrationState.REGISTERED, 2))
    await notified.send()
    first, second = notified.catcher.mails
    assert links_in(first.message, notified) == {"confirm": ("reg_00000001", "en")}
    assert notified.settings.link_url("events") in text_of(first.message)
    assert links_in(second.message, notified) == {"cancel": ("reg_00000001", "en")}


async def test_the_reminder_comes_a_day_before_and_not_after_the_start(notified: Notified) -> None:
    """It is queued when its time has come; one that is late is expired."""
    await notified.hear(contact(1), given(person=1), contact(2), given(person=2))
    await notified.send()
    notified.clock.moment = START - timedelta(hours=24)
    await notified.queue_due()
    assert (await notified.states())["reminder"] == "queued"
    assert await notified.send() == 2
    assert len(notified.catcher.mails) == 4


async def test_a_reminder_after_the_start_is_expired(notified: Notified) -> None:
    """Nobody is reminded of what has begun."""
    await notified.hear(contact(), given())
    await notified.send()
    notified.clock.moment = START
    await notified.queue_due()
    assert await notified.send() == 0
    assert (await notified.states())["reminder"] == "expired"


async def test_the_reminder_moves_with_the_course_and_back(notified: Notified) -> None:
    """Away and back again leaves exactly one reminder, at the right time."""
    await notified.hear(contact(), given(), moved(2, days=7), moved(3, days=0))
    found = await notified.deliveries("reminder")
    assert [one.state.value for one in found] == ["superseded", "superseded", "planned"]
    assert found[-1].not_before == START - timedelta(hours=24)


async def test_two_changes_before_the_mail_leaves_are_one_mail(notified: Notified) -> None:
    """The newer version supersedes; a mail that still waits shows the course as it is now."""
    await notified.hear(contact(language="en"), given(), moved(2, days=7), moved(3, days=14))
    assert await notified.send() == 2
    changed, enrolled = (text_of(mail.message) for mail in notified.catcher.mails)
    assert "Something has changed" in changed
    assert "15 December 2026" in changed
    assert "15 December 2026" in enrolled
    states = [one.state.value for one in await notified.deliveries("run_changed")]
    assert states == ["superseded", "handed_over"]


async def test_a_cancelled_course_kills_what_is_not_sent(notified: Notified) -> None:
    """One mail says it, with the reason; reminder and unsent mails are cancelled."""
    off = run_picture().model_copy(update={"cancelled_reason": "Zu wenige Anmeldungen"})
    await notified.hear(contact(), given())
    await notified.hear(enrolment(SeatCause.OCCASION_CANCELLED, EnrolmentState.ENROLLED, 2, run=off))
    assert await notified.send() == 1
    [mail] = notified.catcher.mails
    assert "Zu wenige Anmeldungen" in text_of(mail.message)
    assert b"METHOD:CANCEL" in next(
        part.get_payload(decode=True) for part in mail.message.walk() if part.get_content_subtype() == "calendar"
    )
    assert await notified.states() == {
        "enrolled": "cancelled",
        "reminder": "cancelled",
        "run_cancelled": "handed_over",
    }


async def test_who_leaves_is_not_reminded(notified: Notified) -> None:
    """No mail, and no reminder; coming back brings both again."""
    await notified.hear(contact(), given())
    await notified.send()
    await notified.hear(enrolment(SeatCause.WITHDRAWN, EnrolmentState.WITHDRAWN, 2))
    assert await notified.send() == 0
    assert (await notified.states())["reminder"] == "cancelled"
    await notified.hear(given(version=3))
    assert await notified.send() == 1
    assert (await notified.states())["reminder"] == "planned"


async def test_mails_leave_in_the_order_of_their_classes(notified: Notified) -> None:
    """A cancellation overtakes everything that waited longer."""
    await notified.hear(contact(1), contact(2), contact(3), given(person=1))
    await notified.hear(enrolment(SeatCause.OCCASION_CHANGED, EnrolmentState.WAITING, 1, 2))
    await notified.hear(enrolment(SeatCause.OCCASION_CANCELLED, EnrolmentState.WAITING, 1, 3))
    await notified.send()
    assert [mail.recipients[0] for mail in notified.catcher.mails] == [
        "p3@example.org",
        "p2@example.org",
        "p1@example.org",
    ]


async def test_erasing_a_person_leaves_only_the_counts(notified: Notified) -> None:
    """No address and no letter stay, unsent mails are cancelled, and a late message brings nothing back."""
    await notified.hear(contact(), given())
    await notified.send()
    gone = ParticipantErased(institution=HOUSE, version=5, participant_id="par_00000001")
    await notified.hear(gone, contact(version=2), given(version=6))
    assert await notified.send() == 0
    found = await notified.deliveries()
    assert [(one.kind.value, one.state.value) for one in found] == [
        ("enrolled", "handed_over"),
        ("reminder", "cancelled"),
        ("enrolled", "cancelled"),
        ("reminder", "cancelled"),
    ]
    assert [(one.address, one.written) for one in found] == [(None, False)] * 4
    whole_database = str(await notified.rows())
    assert "Ayşe" not in whole_database
    assert "p1@example.org" not in whole_database


async def test_an_erasure_counts_whatever_its_version(notified: Notified) -> None:
    """A speaker that tells it with an old version means it all the same; the same contact told again stays out."""
    gone = ParticipantErased(institution=HOUSE, version=1, participant_id="par_00000001")
    await notified.hear(contact(version=4), gone, contact(version=4))
    assert "Ayşe" not in str(await notified.rows())


async def test_what_erasure_takes_out_was_there(notified: Notified) -> None:
    """The control of the test above: before, name, address and letter are in the database."""
    await notified.hear(contact(), given())
    await notified.send()
    whole_database = str(await notified.rows())
    assert "Ayşe" in whole_database
    assert "p1@example.org" in whole_database
    assert (await notified.one("enrolled")).written


async def test_letters_are_kept_for_two_weeks_and_addresses_for_ninety_days(notified: Notified) -> None:
    """What has not left yet stays whole."""
    later = run_picture(START + timedelta(days=300))
    await notified.hear(contact(), given(run=later))
    await notified.send()
    seen = []
    for days in (13, 15, 91):
        notified.clock.moment = NOW + timedelta(days=days)
        await notified.keep_house()
        one = await notified.one("enrolled")
        seen.append((one.written, one.address))
    assert seen == [(True, "p1@example.org"), (False, "p1@example.org"), (False, None)]
    assert (await notified.one("enrolled")).state is State.assumed_delivered
    notified.clock.moment = START + timedelta(days=299)
    await notified.queue_due()
    assert await notified.send() == 1
