"""Every class of failure and every phase in which a mail server can fail, by real SMTP."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from services.notifications.domain.delivery import State
from services.notifications.handlers.smtp import Line, Server
from shared.contract.words import EnrolmentState, SeatCause
from shared.embedded.smtp_script import Answer, Drop, Hang, Moment, Phase, Reply, Script
from tests.integration.notifications.conftest import NOW, Notified, contact, enrolment, given


def at(phase: Phase, answer: Answer) -> Script:
    """Give a script with one answer in one phase."""
    return lambda moment: answer if moment.phase == phase else None


async def sent_under(notified: Notified, script: Script) -> State:
    """Plan one mail, send it once under a script, and give where it stands."""
    await notified.hear(contact(), given())
    notified.catcher.script = script
    await notified.send()
    return (await notified.one("enrolled")).state


@pytest.mark.parametrize(
    ("phase", "answer", "state", "outcome"),
    [
        ("connect", Reply(421, "busy"), State.deferred, "connect"),
        ("connect", Reply(554, "5.7.1 blocked"), State.deferred, "policy"),
        ("mail", Reply(451, "4.7.1 greylisted"), State.deferred, "greylist"),
        ("mail", Reply(530, "5.7.0 login first"), State.deferred, "login"),
        ("rcpt", Reply(452, "4.5.3 too many recipients"), State.deferred, "rate"),
        ("rcpt", Reply(452, "4.2.2 mailbox full"), State.deferred, "mailbox_full"),
        ("rcpt", Reply(550, "5.1.1 no such user"), State.undeliverable, "dead_address"),
        ("rcpt", Reply(550, "5.7.1 not from you"), State.deferred, "policy"),
        ("rcpt", Reply(550, "no"), State.undeliverable, "unknown"),
        ("data", Reply(451, "4.3.0 later"), State.deferred, "greylist"),
        ("end", Reply(554, "5.6.0 what is this"), State.held, "content"),
        ("end", Reply(452, "4.3.1 disk full"), State.deferred, "unknown"),
    ],
)
async def test_a_refusal_is_treated_by_its_class(
    notified: Notified, phase: Phase, answer: Answer, state: State, outcome: str
) -> None:
    """The state follows the table, and the attempt keeps class, code and phase."""
    assert await sent_under(notified, at(phase, answer)) is state
    [attempt] = await notified.attempts((await notified.one("enrolled")).id)
    assert (attempt.outcome, attempt.phase, attempt.code) == (outcome, phase, getattr(answer, "code", None))
    assert notified.catcher.mails == []


@pytest.mark.parametrize("answer", [Drop(), Hang()], ids=["dropped", "silent"])
@pytest.mark.parametrize("phase", ["connect", "helo", "mail", "rcpt", "data"])
async def test_a_line_lost_before_the_mail_is_a_plain_retry(notified: Notified, phase: Phase, answer: Answer) -> None:
    """Nothing of the mail had begun: it is tried again, and arrives once."""
    assert await sent_under(notified, at(phase, answer)) is State.deferred
    notified.catcher.script = lambda _: None
    notified.clock.moment += timedelta(minutes=1)
    assert await notified.send() == 1
    assert len(notified.catcher.mails) == 1
    assert (await notified.one("enrolled")).state is State.handed_over


@pytest.mark.parametrize("answer", [Drop(), Hang(), Drop(taken=True), Hang(taken=True)])
async def test_a_line_lost_after_the_mail_is_uncertain_and_left_alone(notified: Notified, answer: Drop | Hang) -> None:
    """Whether it arrived or not, it is not sent again without a human."""
    assert await sent_under(notified, at("end", answer)) is State.uncertain
    notified.catcher.script = lambda _: None
    notified.clock.moment += timedelta(days=1)
    await notified.send()
    assert len(notified.catcher.mails) == int(answer.taken)


@pytest.mark.parametrize("cause", [SeatCause.OCCASION_CANCELLED, SeatCause.OCCASION_CHANGED])
async def test_an_uncertain_cancellation_or_change_is_sent_once_more(notified: Notified, cause: SeatCause) -> None:
    """With the same Message-ID, so that mailboxes can see it is one mail; and never a third time."""
    await notified.hear(contact(), enrolment(cause, EnrolmentState.WAITING))
    notified.catcher.script = at("end", Drop(taken=True))
    assert await notified.send() == 2
    notified.clock.moment += timedelta(days=1)
    assert await notified.send() == 0
    [first, second] = notified.catcher.mails
    assert first.raw == second.raw
    [found] = await notified.deliveries()
    assert (found.state, found.attempts) == (State.uncertain, 2)


async def test_the_attempts_of_a_mail_send_the_same_bytes(notified: Notified) -> None:
    """Rendered once, kept, and sent as they are: what staff look at is what was sent."""
    seen: list[bytes] = []

    def refuse(moment: Moment) -> Answer | None:
        seen.extend([moment.content] if moment.phase == "end" else [])
        return Reply(451, "4.3.0 later") if moment.phase == "end" else None

    await sent_under(notified, refuse)
    notified.clock.moment += timedelta(hours=1)
    await notified.send()
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_a_mail_is_given_up_after_three_days(notified: Notified) -> None:
    """It is tried in growing steps, then staff see it as undeliverable."""
    await sent_under(notified, at("connect", Drop()))
    while (found := await notified.one("enrolled")).state is State.deferred:
        notified.clock.moment = found.not_before
        await notified.send()
    assert found.state is State.undeliverable
    assert timedelta(hours=69) < notified.clock.moment - NOW <= timedelta(hours=72)
    assert 25 < found.attempts < 45


async def test_a_dead_address_is_left_alone_from_then_on(notified: Notified) -> None:
    """The next mail to it is suppressed before any SMTP; a new address of the same person is written to."""
    await sent_under(notified, at("rcpt", Reply(550, "5.1.1 p1@example.org unknown")))
    notified.catcher.script = lambda _: None
    await notified.hear(given(version=2))
    assert await notified.send() == 0
    assert [one.state.value for one in await notified.deliveries("enrolled")] == ["undeliverable", "suppressed"]
    [attempt] = await notified.attempts((await notified.deliveries("enrolled"))[0].id)
    assert attempt.answer == "5.1.1 … unknown"
    await notified.hear(contact(version=2, mail="new@example.org"), given(version=3))
    assert await notified.send() == 1


async def test_a_mailbox_that_is_full_for_three_mails_is_left_alone_for_two_weeks(notified: Notified) -> None:
    """One full mailbox is bad luck, the third time somebody should call; after two weeks it is tried again."""
    await notified.hear(contact())
    notified.catcher.script = at("rcpt", Reply(552, "5.2.2 full"))
    for version in (1, 2, 3):
        # Each is a kind of its own, so that none supersedes another.
        cause = (SeatCause.GIVEN, SeatCause.OCCASION_CHANGED, SeatCause.OFFER_EXPIRED)[version - 1]
        await notified.hear(enrolment(cause, EnrolmentState.WAITING, version))
        await notified.send()
    notified.clock.moment += timedelta(days=2)
    notified.catcher.script = lambda _: None
    assert await notified.send() == 0
    assert set((await notified.states()).values()) == {"suppressed"}
    notified.clock.moment += timedelta(days=12)
    await notified.hear(given(version=4))
    assert await notified.send() == 1


@pytest.mark.parametrize(
    ("phase", "reply", "pause"),
    [("mail", Reply(550, "5.7.1 no"), timedelta(minutes=10)), ("mail", Reply(530, "5.7.0 no"), timedelta(minutes=5))],
)
async def test_a_fault_of_ours_stops_the_sender_for_a_while(
    notified: Notified, phase: Phase, reply: Reply, pause: timedelta
) -> None:
    """One mail meets the refusal, the others wait; nobody's address suffers for it."""
    await notified.hear(*(contact(person) for person in range(5)), *(given(person=person) for person in range(5)))
    notified.catcher.script = at(phase, reply)
    assert await notified.send() == 1
    notified.catcher.script = lambda _: None
    assert await notified.send() == 0
    notified.clock.moment += pause
    assert await notified.send() == 4
    notified.clock.moment += timedelta(hours=1)
    assert await notified.send() == 1
    assert len(notified.catcher.mails) == 5


async def test_a_refused_content_holds_its_kind_and_nothing_else(notified: Notified) -> None:
    """Mails of the same template wait, others leave."""
    await notified.hear(contact(1), contact(2), contact(3), given(person=1))
    notified.catcher.script = at("end", Reply(554, "5.6.0 bad"))
    await notified.send()
    notified.catcher.script = lambda _: None
    await notified.hear(given(person=2))
    await notified.hear(enrolment(SeatCause.QUEUED, EnrolmentState.WAITING, 1, 3, place_in_queue=1))
    assert await notified.send() == 1
    assert notified.catcher.mails[0].recipients == ("p3@example.org",)


async def test_a_mail_that_ends_while_it_is_on_its_way_is_not_tried_again(notified: Notified) -> None:
    """The seat is given back during the attempt: if it fails, the mail is cancelled; if it succeeds, it was sent."""
    await notified.hear(contact(), given())
    claimed = await notified.claim()
    assert claimed is not None
    await notified.hear(enrolment(SeatCause.WITHDRAWN, EnrolmentState.WITHDRAWN, 2))
    notified.catcher.script = at("rcpt", Reply(451, "later"))
    await notified.answer(claimed)
    assert (await notified.one("enrolled")).state is State.cancelled


async def test_an_address_that_cannot_be_written_holds_its_mail_only(notified: Notified) -> None:
    """The renderer says what is wrong; the mails behind it leave."""
    await notified.hear(contact(1, mail="kein at"), contact(2), given(person=1), given(person=2))
    assert await notified.send() == 1
    held = next(one for one in await notified.deliveries("enrolled") if one.participant_id == "par_00000001")
    assert held.state is State.held
    assert held.reason == "not_written: this is no mail address that every server can reach"


async def test_a_connection_is_used_again_also_after_a_refusal(notified: Notified) -> None:
    """Several mails, one connection; a refused recipient does not cost it."""
    await notified.hear(*(contact(person) for person in range(4)), *(given(person=person) for person in range(4)))
    notified.catcher.script = lambda moment: (
        Reply(550, "no") if moment.phase == "rcpt" and moment.recipients[-1].startswith("p2@") else None
    )
    assert await notified.send() == 4
    assert len(notified.catcher.mails) == 3
    assert notified.catcher.connections == 1


async def test_a_line_that_the_server_closed_while_idle_costs_no_attempt(notified: Notified) -> None:
    """The hang-up shows at the next mail: the line connects again and sends it."""
    line = Line(notified.settings.mail_server, "post@album.example")
    body = b"Subject: x\r\n\r\n.dot\r\n"
    assert (await line.send("a@example.org", body)).accepted
    notified.catcher.script = lambda moment: Drop() if moment.phase == "mail" and moment.connection == 1 else None
    assert (await line.send("b@example.org", body)).accepted
    await line.close()
    assert [mail.raw for mail in notified.catcher.mails] == [body, body]
    assert notified.catcher.connections == 2


async def test_a_login_that_the_server_does_not_offer_is_a_matter_of_login(notified: Notified) -> None:
    """The operator has set a password for a server that wants none."""
    notified.settings.smtp_user, notified.settings.smtp_password = "album", SecretStr("geheim")
    await sent_under(notified, lambda _: None)
    [attempt] = await notified.attempts((await notified.one("enrolled")).id)
    assert (attempt.outcome, attempt.phase) == ("login", "login")


async def test_nobody_listening_is_a_plain_retry() -> None:
    """A port that nobody has gives an answer and no exception."""
    line = Line(Server("127.0.0.1", 1, patience=1.0), "post@album.example")
    answer = await line.send("a@example.org", b"x")
    await line.close()
    assert (answer.phase, answer.code, answer.uncertain) == ("connect", None, False)
