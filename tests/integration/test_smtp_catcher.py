"""The mail catcher takes mails as a real server does, and misbehaves exactly as its script says."""

import os
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from shared.embedded.smtp import Catcher
from shared.embedded.smtp_script import Answer, Drop, Hang, Moment, Phase, Reply, Script


def mail(to: str = "ayse@example.org", subject: str = "Ihr Platz im Kurs") -> EmailMessage:
    """Return a small mail with text that needs an encoding."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "kurse@example.org", to, subject
    message.set_content("Grüße aus Hannover\n.ein Punkt am Anfang der Zeile\n")
    return message


def at(phase: Phase, answer: Answer) -> Script:
    """Return a script that gives one answer in one phase."""
    return lambda moment: answer if moment.phase == phase else None


async def send(catcher: Catcher, message: EmailMessage, patience: float = 10) -> None:
    """Send a mail to the catcher."""
    await aiosmtplib.send(message, hostname=catcher.host, port=catcher.port, timeout=patience, start_tls=False)


async def test_a_mail_is_caught_with_its_envelope(smtp_catcher: Catcher) -> None:
    """Parsed, raw, sender, recipients, and the time it arrived."""
    await send(smtp_catcher, mail())
    [caught] = smtp_catcher.wait_for(1)
    assert caught.message["Subject"] == "Ihr Platz im Kurs"
    assert ".ein Punkt am Anfang" in caught.message.get_content()
    assert b"Subject: Ihr Platz im Kurs" in caught.raw
    assert (caught.sender, caught.recipients) == ("kurse@example.org", ("ayse@example.org",))
    assert caught.arrived_at.tzinfo is UTC
    assert smtp_catcher.mails_to("ayse@example.org") == [caught]
    assert smtp_catcher.mails_to("bela@example.org") == []


async def test_mails_are_kept_as_files(tmp_path: Path) -> None:
    """Every mail is one file that a mail program opens, numbered on after a restart."""
    when = datetime(2026, 3, 1, tzinfo=UTC)
    for subject in ("eins", "zwei"):
        with Catcher(tmp_path, now=lambda: when) as catcher:
            await send(catcher, mail(subject=subject))
            assert catcher.mails[0].arrived_at == when
    names = sorted(os.listdir(tmp_path))  # noqa: PTH208 - a listing of a handful of files, in a test
    assert names == ["00001-ayse@example.org.eml", "00002-ayse@example.org.eml"]
    assert b"Subject: zwei" in (tmp_path / names[1]).read_bytes()


async def test_several_mails_go_through_one_connection(smtp_catcher: Catcher) -> None:
    """A client that keeps its connection is served, as a worker does."""
    async with aiosmtplib.SMTP(hostname=smtp_catcher.host, port=smtp_catcher.port, start_tls=False) as client:
        for number in range(3):
            await client.send_message(mail(subject=f"Nr. {number}"))
    assert [str(caught.message["Subject"]) for caught in smtp_catcher.mails] == ["Nr. 0", "Nr. 1", "Nr. 2"]
    assert smtp_catcher.connections == 1


@pytest.mark.parametrize(
    ("phase", "error"),
    [
        ("connect", aiosmtplib.SMTPConnectError),
        ("helo", aiosmtplib.SMTPHeloError),
        ("mail", aiosmtplib.SMTPSenderRefused),
        ("rcpt", aiosmtplib.SMTPRecipientsRefused),
        ("data", aiosmtplib.SMTPDataError),
        ("end", aiosmtplib.SMTPDataError),
    ],
)
async def test_a_scripted_refusal_reaches_the_client_in_its_phase(
    smtp_catcher: Catcher, phase: Phase, error: type[Exception]
) -> None:
    """The client gets the code where the script gives it, nothing counts as arrived, and the next mail goes through."""
    smtp_catcher.script = at(phase, Reply(451, "later please"))
    with pytest.raises(error, match="later please"):
        await send(smtp_catcher, mail())
    assert smtp_catcher.mails == []
    smtp_catcher.script = lambda _: None
    await send(smtp_catcher, mail())
    assert len(smtp_catcher.mails) == 1


@pytest.mark.parametrize("phase", ["connect", "helo", "mail", "rcpt", "data", "end"])
async def test_a_cut_connection_is_an_error_for_the_client(smtp_catcher: Catcher, phase: Phase) -> None:
    """The line is dropped without an answer in any phase, and nothing counts as arrived."""
    smtp_catcher.script = at(phase, Drop())
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await send(smtp_catcher, mail())
    assert smtp_catcher.mails == []


@pytest.mark.parametrize("phase", ["connect", "helo", "mail", "rcpt", "data", "end"])
async def test_a_silent_server_makes_the_client_give_up(smtp_catcher: Catcher, phase: Phase) -> None:
    """The client's own patience ends; the catcher can still be stopped."""
    smtp_catcher.script = at(phase, Hang())
    with pytest.raises((aiosmtplib.SMTPException, TimeoutError)):
        await send(smtp_catcher, mail(), patience=0.3)
    assert smtp_catcher.mails == []


@pytest.mark.parametrize("answer", [Drop(taken=True), Hang(taken=True), Reply(451, taken=True)])
async def test_a_mail_can_arrive_although_the_client_is_not_told(smtp_catcher: Catcher, answer: Answer) -> None:
    """The ambiguous case: the mail is there, the client sees an error."""
    smtp_catcher.script = at("end", answer)
    with pytest.raises((aiosmtplib.SMTPException, TimeoutError, OSError)):
        await send(smtp_catcher, mail(), patience=0.3)
    assert len(smtp_catcher.wait_for(1)) == 1


async def test_the_code_421_closes_the_connection(smtp_catcher: Catcher) -> None:
    """After 421 the server hangs up, as RFC 5321 says."""
    smtp_catcher.script = at("rcpt", Reply(421, "closing"))
    client = aiosmtplib.SMTP(hostname=smtp_catcher.host, port=smtp_catcher.port, start_tls=False)
    await client.connect()
    with pytest.raises(aiosmtplib.SMTPException):
        await client.send_message(mail())
    with pytest.raises(aiosmtplib.SMTPException):
        await client.noop()
    client.close()


async def test_the_script_knows_the_envelope_and_the_connection(smtp_catcher: Catcher) -> None:
    """One recipient of two is refused; the other gets the mail."""
    asked: list[Moment] = []

    def script(moment: Moment) -> Answer | None:
        asked.append(moment)
        refused = moment.phase == "rcpt" and moment.recipients[-1] == "gone@example.org"
        return Reply(550, "no such mailbox") if refused else None

    smtp_catcher.script = script
    await send(smtp_catcher, mail("ayse@example.org, gone@example.org"))
    assert [moment.phase for moment in asked] == ["connect", "helo", "mail", "rcpt", "rcpt", "data", "end"]
    assert {moment.connection for moment in asked} == {1}
    assert asked[-1].recipients == ("ayse@example.org",)
    assert b"Hannover" in asked[-1].content
    assert smtp_catcher.mails[0].recipients == ("ayse@example.org",)


def test_waiting_for_a_mail_that_does_not_come_says_how_many_came(smtp_catcher: Catcher) -> None:
    """The error names both numbers."""
    with pytest.raises(TimeoutError, match="0 of 1 mails"):
        smtp_catcher.wait_for(1, seconds=0.05)
