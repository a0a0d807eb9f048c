"""Each mail once: two senders, killed senders, late senders."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.notifications.domain.delivery import State
from services.notifications.handlers.smtp import Line
from services.notifications.store import Store
from services.notifications.store.tables import delivery
from services.notifications.timers import Post
from shared.contract.words import EnrolmentState, SeatCause
from shared.embedded.smtp_script import Answer, Moment, Reply
from shared.kit.database import Database
from shared.kit.work import Works
from tests.integration.notifications.conftest import Notified, contact, enrolment, given

MAILS = 20


async def many(notified: Notified) -> None:
    """Plan a number of mails."""
    for person in range(MAILS):
        await notified.hear(contact(person), given(person=person))


def message_ids(notified: Notified) -> list[str]:
    """Give the Message-IDs of what arrived."""
    return [str(mail.message["Message-ID"]) for mail in notified.catcher.mails]


async def test_two_senders_at_once_send_each_mail_once(notified: Notified) -> None:
    """Each claims what the other has not; with connections to the database of their own, as two processes have."""
    await many(notified)
    other = Database(notified.database.url)
    works = Works(other, Store, notified.clock, notified.works.ids, notified.settings)
    posts = [notified.post("one"), Post(works, notified.settings, "two", notified.random)]
    made = await asyncio.gather(*(post.until_nothing_is_due() for post in posts for _ in range(2)))
    await other.close()
    assert sum(made) == MAILS
    assert len(message_ids(notified)) == len(set(message_ids(notified))) == MAILS


async def test_without_the_claim_two_senders_double(notified: Notified) -> None:
    """The control: the same two senders reading the queue without claiming send mails twice."""
    await many(notified)

    async def careless() -> None:
        line = Line(notified.settings.mail_server, "post@album.example")
        async with notified.works.looking() as store:
            page = await store.deliveries.page(None, state="queued")
        for one in page:
            await line.send("a@example.org", f"Message-ID: <{one.id}>\r\n\r\nx\r\n".encode())
        await line.close()

    await asyncio.gather(careless(), careless())
    assert len(message_ids(notified)) > len(set(message_ids(notified)))


async def test_the_attempt_is_committed_before_the_first_word(notified: Notified) -> None:
    """When the server hears of a mail, the row says so already."""
    seen: list[tuple[str, int]] = []
    await notified.hear(contact(), given())

    async def states() -> None:
        database = Database(notified.database.url)
        async with database.reading() as connection:
            query = sa.select(delivery.c.state, delivery.c.attempts).where(delivery.c.state != "planned")
            seen.extend((row.state, row.attempts) for row in await connection.execute(query))
        await database.close()

    def look(moment: Moment) -> Answer | None:
        if moment.phase == "mail":
            with ThreadPoolExecutor() as pool:  # this is the catcher's thread, whose loop is busy with asking
                pool.submit(asyncio.run, states()).result()
        return None

    notified.catcher.script = look
    await notified.send()
    assert seen == [("sending", 1)]


async def test_a_sender_that_dies_leaves_its_mail_uncertain(notified: Notified) -> None:
    """Killed between the two transactions: nobody knows what the server got, so it is not sent again."""
    await notified.hear(contact(), given())
    assert await notified.claim(lease=timedelta(minutes=5)) is not None
    notified.clock.moment += timedelta(minutes=4)
    assert await notified.recover() == 0
    notified.clock.moment += timedelta(minutes=2)
    assert await notified.recover() == 1
    assert await notified.send() == 0
    found = await notified.one("enrolled")
    assert (found.state, found.reason) == (State.uncertain, "sender_died")
    [attempt] = await notified.attempts(found.id)
    assert (attempt.outcome, attempt.phase) == ("uncertain", None)


async def test_a_cancellation_whose_sender_dies_is_sent_once_more(notified: Notified) -> None:
    """Two copies do less harm than none; a second death leaves it to staff."""
    await notified.hear(contact(), enrolment(SeatCause.OCCASION_CANCELLED, EnrolmentState.WAITING))
    for _ in range(2):
        assert await notified.claim() is not None
        notified.clock.moment += timedelta(minutes=6)
        await notified.recover()
    assert await notified.send() == 0
    assert (await notified.one("run_cancelled")).state is State.uncertain


async def test_a_sender_that_starts_again_judges_its_own_dead_attempts_at_once(notified: Notified) -> None:
    """Same host and port: its predecessor is dead, nobody waits for the lease; another's attempt is left alone."""
    await notified.hear(contact(1), contact(2), given(person=1), given(person=2))
    await notified.claim("one")
    await notified.claim("two")
    running = asyncio.create_task(notified.post("one").run())
    while State.uncertain not in (  # noqa: ASYNC110 - a database has no event to wait for
        states := {one.state for one in await notified.deliveries("enrolled")}
    ):
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert states == {State.uncertain, State.sending}


async def test_an_answer_that_comes_after_the_lease_changes_nothing(notified: Notified) -> None:
    """The attempt has been judged meanwhile; a slow sender does not overrule that."""
    await notified.hear(contact(), given())
    claimed = await notified.claim()
    assert claimed is not None
    notified.clock.moment += timedelta(minutes=6)
    await notified.recover()
    await notified.answer(claimed)
    assert (await notified.one("enrolled")).state is State.uncertain


async def test_a_stop_finishes_the_mail_that_is_under_way(notified: Notified) -> None:
    """A service that is stopped in the middle of a mail keeps its result."""
    await notified.hear(contact(), given())
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def look(moment: Moment) -> Answer | None:
        if moment.phase == "end":
            loop.call_soon_threadsafe(begun.set)
        return None

    notified.catcher.script = look
    running = asyncio.create_task(notified.post().run())
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await notified.one("enrolled")).state is State.handed_over


async def test_a_running_sender_takes_what_comes(notified: Notified) -> None:
    """Over several connections, until all mails are there, each once."""
    running = asyncio.create_task(notified.post().run())
    await many(notified)
    await asyncio.to_thread(notified.catcher.wait_for, MAILS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(set(message_ids(notified))) == len(notified.catcher.mails) == MAILS
    assert 1 <= notified.catcher.connections <= notified.settings.smtp_connections
    assert {one.state for one in await notified.deliveries("enrolled")} == {State.handed_over}


async def test_a_database_that_fails_for_a_moment_loses_no_answer(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail is out: its result is kept as soon as the database answers again."""
    await notified.hear(contact(), given())
    post, claimed = notified.post(), await notified.claim()
    assert claimed is not None
    real, failures = notified.works.database.transaction, [ConnectionError("gone"), ConnectionError("gone")]

    def shaky() -> object:
        if failures:
            raise failures.pop()
        return real()

    monkeypatch.setattr(notified.works.database, "transaction", shaky)
    line = Line(notified.settings.mail_server, "post@album.example")
    await post._deliver(claimed, line)
    await line.close()
    assert len(notified.catcher.mails) == 1
    assert (await notified.one("enrolled")).state is State.handed_over


async def test_a_server_that_complains_of_too_many_is_spoken_to_less(notified: Notified) -> None:
    """Each such answer halves the connections in use, down to one; minutes later they come back."""
    await many(notified)
    notified.catcher.script = lambda moment: Reply(452, "4.5.3 too many") if moment.phase == "rcpt" else None
    post = notified.post()
    await post.until_nothing_is_due()
    assert post._room() == 1
    notified.clock.moment += timedelta(minutes=6)
    assert post._room() == notified.settings.smtp_connections
