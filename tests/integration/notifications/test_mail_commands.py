"""What an operator sees of mails, and what the log never says."""

import asyncio
import json
import logging

import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services.notifications import commands
from services.notifications.app import service
from shared.contract.courses import ParticipantErased
from shared.embedded.smtp import Catcher
from shared.embedded.smtp_script import Drop, Reply
from shared.kit import migrate
from shared.kit.database import Database
from tests.integration.notifications.conftest import HOUSE, Notified, contact, given


async def _refused_mail(url: str, catcher: Catcher) -> str:
    database = Database(url)
    await migrate.upgrade(service, database)
    notified = Notified(database, catcher)
    catcher.script = lambda moment: Reply(550, "5.1.1 unknown") if moment.phase == "rcpt" else None
    await notified.hear(contact(), given())
    await notified.send()
    id = (await notified.one("enrolled")).id
    await database.close()
    return id


@pytest.fixture
def refused(database_url: str, smtp_catcher: Catcher, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the id of a mail that was refused, in the database that the command finds."""
    monkeypatch.setenv("ALBUM_DATABASE", database_url)
    monkeypatch.setattr(commands.mail, "services", lambda: {"notifications": service})
    return asyncio.run(_refused_mail(database_url, smtp_catcher))


def album(*words: str) -> str:
    """Run a command and give what it says."""
    result = CliRunner().invoke(commands.app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def test_why_tells_the_whole_story_of_a_mail(refused: str) -> None:
    """Kind, state, reason, attempt, in words and as JSON; never the address."""
    told = album("mail", "why", refused)
    assert "enrolled (info)" in told
    assert "undeliverable (dead_address)" in told
    assert "dead_address, in the phase rcpt: 550 5.1.1 unknown" in told
    assert "p1@example.org" not in told
    as_json = json.loads(album("mail", "why", refused, "--json"))
    assert as_json["attempts_made"][0]["outcome"] == "dead_address"


def test_why_of_an_unknown_mail_says_so(refused: str) -> None:
    """A wrong id is told, not traced."""
    result = CliRunner().invoke(commands.app, ["mail", "why", "dlv_nothing"])
    assert result.exit_code == 2
    assert "there is no delivery" in result.output


def test_list_shows_mails_by_state(refused: str) -> None:
    """As a table or JSON; an empty list says so."""
    rows = json.loads(album("mail", "list", "--state", "undeliverable", "--json"))
    assert [row["id"] for row in rows] == [refused]
    assert len(json.loads(album("mail", "list", "--json"))) == 2
    assert "There are no such mails." in album("mail", "list", "--state", "held")
    table = album("mail", "list", "--institution", HOUSE)
    assert refused in table
    assert "dead_address" in table
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "There are no such mails." in album("mail", "list", "--institution", "vnb")


CANARIES = ("Kanarienvogel", "kanari.vogel")


async def test_the_log_carries_ids_only(notified: Notified, caplog: pytest.LogCaptureFixture) -> None:
    """Every way a mail can go wrong is logged, by ids; no name and no address is in any line of any library."""
    bird = contact(mail="kanari.vogel@example.org").model_copy(update={"name": "Kanarienvogel"})
    wrong = contact(2, mail="kanari.vogel").model_copy(update={"name": "Kanarienvogel"})
    caplog.set_level(logging.WARNING)  # as the kit sets it: below that, drivers print every bound value
    with capture_logs() as lines:
        for number, reply in enumerate([Drop(), Reply(550, "5.1.1 kanari.vogel@example.org"), Reply(554, "5.6.0 x")]):
            phase = ("end", "rcpt", "end")[number]
            notified.catcher.script = lambda moment, reply=reply, phase=phase: (  # type: ignore[misc] # bound now
                reply if moment.phase == phase else None
            )
            await notified.hear(bird.model_copy(update={"version": number + 1}), given(version=number + 1))
            await notified.send()
            async with notified.works() as work:
                await work.store.unsuppress(HOUSE, "par_00000001")
        await notified.hear(wrong, given(person=2))
        async with notified.works() as work:
            await work.store.unpause("kind:enrolled")
        await notified.send()
        await notified.hear(ParticipantErased(institution=HOUSE, version=9, participant_id="par_00000001"))
    events = {line["event"] for line in lines}
    assert events == {"delivery_uncertain", "address_suppressed", "sending_paused", "letter_not_written"}
    everything = str(lines) + caplog.text
    assert not [bird for bird in CANARIES if bird in everything]


def test_a_name_in_the_log_would_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    """The control of the test above: what is logged is what is looked at."""
    with capture_logs() as lines:
        structlog.get_logger().info("x", name="Kanarienvogel")
    logging.getLogger("aiosmtplib").warning("kanari.vogel")
    everything = str(lines) + caplog.text
    assert [bird for bird in CANARIES if bird in everything] == list(CANARIES)
