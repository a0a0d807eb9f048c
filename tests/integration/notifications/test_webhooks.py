"""From a public message to a partner's server: once for each webhook, signed, in bounded time, and never lost."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random

import pytest
import sqlalchemy as sa
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from pydantic import SecretStr
from standardwebhooks import Webhook as Judge
from standardwebhooks.webhooks import WebhookVerificationError
from structlog.testing import capture_logs

from services.notifications.app import service
from services.notifications.domain.push import PushState
from services.notifications.domain.webhook import AT_ONCE, Signing, WebhookState
from services.notifications.handlers import webhooks as handlers
from services.notifications.handlers.receiver import WayOut
from shared.contract.members import InstitutionLeft
from shared.kit import migrate
from shared.kit.database import Database
from tests.integration.kit.sample import institution
from tests.integration.notifications.conftest import HOUSE
from tests.integration.notifications.webhook_house import Arrived, Pushing, Receiver, Said, Script, published


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a partner's server that takes everything."""
    async with Receiver().open() as opened:
        yield opened


async def _pushing(url: str, receiver: Receiver) -> AsyncIterator[Pushing]:
    database = Database(url)
    await migrate.upgrade(service, database)
    pushing = Pushing(database, receiver.url)
    yield pushing
    await pushing.out.close()
    await database.close()


@pytest.fixture
async def on_both(database_url: str, receiver: Receiver) -> AsyncIterator[Pushing]:
    """Give the service on a fresh database of each kind."""
    async for pushing in _pushing(database_url, receiver):
        yield pushing


@pytest.fixture
async def pushing(sqlite_url: str, receiver: Receiver) -> AsyncIterator[Pushing]:
    """Give the service on SQLite, where the SQL makes no difference."""
    async for pushing in _pushing(sqlite_url, receiver):
        yield pushing


def says(*answers: Said) -> Script:
    """Give a script that gives answers in turn, the last one for ever."""
    left = list(answers)
    return lambda arrived: left.pop(0) if len(left) > 1 else left[0]


async def test_the_tables_are_what_the_migrations_make(on_both: Pushing) -> None:
    """The migrated schema has no difference to the tables of the store."""
    assert await migrate.differences(service, on_both.database) == []


async def test_a_message_arrives_byte_by_byte_and_the_judge_accepts_its_signature(
    on_both: Pushing, receiver: Receiver
) -> None:
    """The body is the CloudEvent as it stands on the stream; another body under the same signature is refused."""
    made = await on_both.make()
    [[entry]] = (await on_both.hear(published(1))).values()
    assert await on_both.push() == 1
    [came] = receiver.arrived
    assert came.body == entry.payload
    assert came.headers["content-type"].startswith("application/cloudevents+json")
    judge = Judge(str(made.secret))
    assert judge.verify(came.body, came.headers)["data"]["picture"]["run_id"] == "run_00000001"
    with pytest.raises(WebhookVerificationError):
        judge.verify(came.body + b" ", came.headers)
    [done] = await on_both.pushes(made.webhook.id)
    assert (done.state, done.attempts, done.message_id) == (PushState.delivered, 1, came.headers["webhook-id"])


async def test_a_message_that_is_heard_twice_is_pushed_once_to_each_webhook(
    on_both: Pushing, receiver: Receiver
) -> None:
    """A replay of the stream adds nothing; two webhooks get one each, both with the same `webhook-id`."""
    await on_both.make()
    await on_both.make()
    entries = await on_both.hear(published(1), published(2))
    await on_both.push()
    await on_both.take(entries)
    await on_both.push()
    assert len(receiver.ids()) == 4
    assert len(set(receiver.ids())) == 2


async def test_all_of_a_batch_arrives_not_only_the_newest_of_each_thing(on_both: Pushing, receiver: Receiver) -> None:
    """Where the kit's own copy takes the newest state alone, webhooks get every message, in the stream's order."""
    made = await on_both.make()
    await on_both.hear(*(institution(version=version) for version in (1, 2, 3)))
    bodies = [one.message_id for one in await on_both.pushes(made.webhook.id)]
    await on_both.push()
    assert sorted(receiver.ids()) == sorted(bodies)
    assert sorted(json.loads(one.body)["data"]["version"] for one in receiver.arrived) == [1, 2, 3]


async def test_a_webhook_begins_with_what_comes_after_it_was_made(on_both: Pushing, receiver: Receiver) -> None:
    """What stood on the streams before is not pushed, even where it is heard again from a snapshot."""
    before = await on_both.hear(published(1))
    await on_both.make()
    await on_both.take(before)
    await on_both.hear(published(2))
    await on_both.push()
    assert [json.loads(one.body)["subject"] for one in receiver.arrived] == ["run_00000002"]


async def test_types_and_institutions_are_filtered(on_both: Pushing, receiver: Receiver) -> None:
    """Each webhook gets what it asked for and nothing else."""
    runs = await on_both.make(types=("courses.run.published.v1",), institutions=("vnb",))
    facts = await on_both.make(types=("members.institution.changed.v1",))
    await on_both.hear(published(1), published(2, "vnb"), institution())
    assert [one.type for one in await on_both.pushes(runs.webhook.id)] == ["courses.run.published.v1"]
    assert [one.type for one in await on_both.pushes(facts.webhook.id)] == ["members.institution.changed.v1"]
    await on_both.push()
    assert {json.loads(one.body)["source"] for one in receiver.arrived} == {"/vnb/courses", "/office/members"}


async def test_ed25519_signatures_are_checked_with_the_public_key_alone(pushing: Pushing, receiver: Receiver) -> None:
    """PyNaCl accepts the signature with `whpk_`, and refuses it for another body; no secret is shown."""
    made = await pushing.make(signing=Signing.ed25519)
    await pushing.hear(published(1))
    await pushing.push()
    [came] = receiver.arrived
    signed = f"{came.headers['webhook-id']}.{came.headers['webhook-timestamp']}.".encode() + came.body
    signature = base64.b64decode(came.headers["webhook-signature"].removeprefix("v1a,"))
    key = VerifyKey(base64.b64decode(made.public_keys[0].removeprefix("whpk_")))
    key.verify(signed, signature)
    with pytest.raises(BadSignatureError):
        key.verify(signed + b" ", signature)
    assert made.secret is None


async def test_the_old_secret_signs_along_for_a_day(pushing: Pushing, receiver: Receiver) -> None:
    """After a rotation a receiver with either secret accepts; a day later the old one opens nothing any more."""
    first = await pushing.make()
    async with pushing.works() as work:
        second = await handlers.rotate_secret(HOUSE, first.webhook.id, Random(6), work)
    await pushing.hear(published(1))
    await pushing.push()
    for made in (first, second):
        Judge(str(made.secret)).verify(receiver.arrived[0].body, receiver.arrived[0].headers)
    assert len(receiver.arrived[0].headers["webhook-signature"].split(" ")) == 2
    pushing.clock.moment += timedelta(hours=25)
    await pushing.hear(published(2))
    await pushing.push()
    assert len(receiver.arrived[1].headers["webhook-signature"].split(" ")) == 1


async def test_no_secret_lies_readable_in_the_database(pushing: Pushing, receiver: Receiver) -> None:
    """Neither kind is in any row; sealed with another ALBUM_SECRET it opens for nobody, and the webhook says so."""
    shared = await pushing.make()
    await pushing.make(signing=Signing.ed25519)
    async with pushing.database.reading() as connection:
        rows = [str(tuple(row)) for table in service.tables.sorted_tables for row in
                await connection.execute(sa.select(table))]  # fmt: skip
    raw = base64.b64decode(str(shared.secret).removeprefix("whsec_"))
    for readable in (str(shared.secret), str(shared.secret)[6:20], repr(raw)[2:20], "whsk_"):
        assert not any(readable in row for row in rows)
    await pushing.hear(published(1))
    pushing.settings.secret = SecretStr("another-secret-of-the-node")
    assert await pushing.push() == 0
    stopped = await pushing.webhook(shared.webhook.id)
    assert (stopped.state, stopped.reason) == (WebhookState.disabled, "secret_unreadable")
    async with pushing.works() as work:
        renewed = await handlers.rotate_secret(HOUSE, shared.webhook.id, Random(9), work)
        await handlers.change_webhook(HOUSE, shared.webhook.id, {"state": WebhookState.active}, True, work)
    assert await pushing.push() == 1
    Judge(str(renewed.secret)).verify(receiver.arrived[0].body, receiver.arrived[0].headers)


async def test_gone_disables_at_once(on_both: Pushing, receiver: Receiver) -> None:
    """After 410 nothing is pushed and nothing is kept; made active again, it begins with what comes then."""
    receiver.script = says(Said(410), Said(204, body=""))
    made = await on_both.make()
    await on_both.hear(published(1))
    await on_both.push()
    stopped = await on_both.webhook(made.webhook.id)
    assert (stopped.state, stopped.reason) == (WebhookState.disabled, "gone")
    await on_both.hear(published(2))
    assert (len(await on_both.pushes(made.webhook.id)), await on_both.push()) == (1, 0)
    async with on_both.works() as work:
        await handlers.change_webhook(HOUSE, made.webhook.id, {"state": WebhookState.active}, True, work)
    await on_both.hear(published(3))
    await on_both.push()
    assert json.loads(receiver.arrived[-1].body)["subject"] == "run_00000003"


async def test_an_institution_that_leaves_is_pushed_to_no_more(pushing: Pushing, receiver: Receiver) -> None:
    """Its webhook is disabled by the message that says so; that of another one would get it."""
    made = await pushing.make()
    known = institution(slug=HOUSE)
    await pushing.hear(InstitutionLeft(institution="office", version=2, picture=known.picture))
    stopped = await pushing.webhook(made.webhook.id)
    assert (stopped.state, stopped.reason) == (WebhookState.disabled, "institution_left")
    assert await pushing.push() == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_respected_for_all_that_waits(pushing: Pushing, receiver: Receiver, status: int) -> None:
    """For as long as was asked, nothing goes to this address, not even what was never tried; then all arrives."""
    receiver.script = says(Said(status, "retry-after: 600\r\n"), Said(204, body=""))
    made = await pushing.make()
    await pushing.hear(published(1))
    await pushing.push()
    await pushing.hear(published(2))
    pushing.clock.moment += timedelta(seconds=590)
    assert await pushing.push() == 0
    pushing.clock.moment += timedelta(seconds=30)
    assert await pushing.push() == 2
    assert {one.state for one in await pushing.pushes(made.webhook.id)} == {PushState.delivered}
    assert len(set(receiver.ids())) == 2


async def test_a_redirect_is_a_failure_and_nobody_follows_it(pushing: Pushing, receiver: Receiver) -> None:
    """The answer 302 leads to another attempt at the same address later; the other address is never called."""
    async with Receiver().open() as elsewhere:
        receiver.script = says(Said(302, f"location: {elsewhere.url}\r\n"))
        made = await pushing.make()
        await pushing.hear(published(1))
        await pushing.push()
        [waiting] = await pushing.pushes(made.webhook.id)
        assert (waiting.state, waiting.last_outcome) == (PushState.waiting, "redirect")
        assert elsewhere.arrived == []


async def test_after_72_hours_a_message_is_given_up_and_the_webhook_disabled(
    on_both: Pushing, receiver: Receiver
) -> None:
    """Until then it comes again with one id, in growing waits; the end is in the log, in the row and in the webhook."""
    receiver.script = says(Said(500))
    made = await on_both.make()
    await on_both.hear(published(1))
    with capture_logs() as logs:
        for _ in range(200):
            await on_both.push()
            on_both.clock.moment += timedelta(minutes=30)
    [lost] = await on_both.pushes(made.webhook.id)
    stopped = await on_both.webhook(made.webhook.id)
    assert (lost.state, lost.last_outcome) == (PushState.given_up, "server_error")
    assert 10 < lost.attempts < 60
    assert set(receiver.ids()) == {lost.message_id}
    assert stopped.state is WebhookState.active or stopped.reason == "failing"
    assert [one["event"] for one in logs].count("push_given_up") == 1
    async with on_both.works() as work:
        again = await handlers.push_again(made.webhook.id, lost.id, work)
    receiver.script = says(Said(204, body=""))
    async with on_both.works() as work:
        await handlers.change_webhook(HOUSE, made.webhook.id, {"state": WebhookState.active}, True, work)
    assert await on_both.push() == 1
    assert receiver.ids()[-1] == again.message_id


async def test_an_address_that_fails_for_72_hours_is_disabled(pushing: Pushing, receiver: Receiver) -> None:
    """New messages every few hours change nothing as long as none comes through; one success would."""
    receiver.script = says(Said(404))
    made = await pushing.make()
    for hour in range(0, 80, 4):
        await pushing.hear(published(hour))
        pushing.clock.moment += timedelta(hours=4)
        await pushing.push()
    stopped = await pushing.webhook(made.webhook.id)
    assert (stopped.state, stopped.reason) == (WebhookState.disabled, "failing")
    receiver.script = says(*[Said(404)] * 3, Said(204, body=""), Said(404))
    other = await pushing.make()
    for hour in range(0, 80, 4):
        await pushing.hear(published(100 + hour))
        pushing.clock.moment += timedelta(hours=4)
        await pushing.push()
    assert (await pushing.webhook(other.webhook.id)).state is WebhookState.active


async def test_a_paused_webhook_keeps_for_later_and_gives_up_in_the_end(pushing: Pushing, receiver: Receiver) -> None:
    """Made active within 72 hours it gets what was told meanwhile; what waited longer is given up."""
    made = await pushing.make()

    async def become(state: WebhookState) -> None:
        async with pushing.works() as work:
            await handlers.change_webhook(HOUSE, made.webhook.id, {"state": state}, True, work)

    await become(WebhookState.paused)
    await pushing.hear(published(1))
    assert await pushing.push() == 0
    pushing.clock.moment += timedelta(hours=48)
    await pushing.hear(published(2))
    pushing.clock.moment += timedelta(hours=25)
    await pushing.give_up_old()
    await become(WebhookState.active)
    assert await pushing.push() == 1
    assert [one.state for one in await pushing.pushes(made.webhook.id)] == [PushState.given_up, PushState.delivered]


async def test_a_dead_address_is_tried_a_few_times_and_then_left_alone(pushing: Pushing, receiver: Receiver) -> None:
    """Fifty messages for an address where nobody listens cost a handful of attempts; when it is back, all arrive."""
    dead = await pushing.make(url="http://127.0.0.1:9/nobody")
    await pushing.hear(*(published(number) for number in range(50)))
    assert await pushing.push() <= 2 * AT_ONCE
    async with pushing.works() as work:
        await handlers.change_webhook(HOUSE, dead.webhook.id, {"url": receiver.url}, True, work)
    pushing.clock.moment += timedelta(minutes=1)
    await pushing.push()
    assert len(set(receiver.ids())) == 50


@pytest.mark.parametrize(("most", "arrives"), [(64, 20), (1, 0)])
async def test_a_receiver_that_hangs_holds_up_nobody_else(
    pushing: Pushing, receiver: Receiver, most: int, arrives: int
) -> None:
    """While four attempts hang, another webhook gets all its messages; with one line for all, the control, none."""
    async with Receiver(lambda arrived: None).open() as hanging:
        await pushing.make(url=hanging.url)
        await pushing.make()
        pushing.out = WayOut(private=True, connections=most, whole=30.0)
        await pushing.hear(*(published(number) for number in range(20)))
        sending = asyncio.create_task(pushing.couriers(most).run())
        await asyncio.wait_for(hanging.came.wait(), 10)
        for _ in range(100):
            if len(receiver.arrived) >= max(arrives, 1):
                break
            await asyncio.sleep(0.02)
        assert len(receiver.arrived) == arrives
        assert len(hanging.arrived) <= AT_ONCE
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await pushing.out.close()


async def test_an_attempt_ends_in_time_and_its_answer_is_read_in_part(pushing: Pushing, receiver: Receiver) -> None:
    """Silence is a timeout; of a huge answer only the beginning is kept, and its status counts."""
    receiver.script = lambda arrived: None
    made = await pushing.make()
    await pushing.hear(published(1))
    await pushing.push()
    [waiting] = await pushing.pushes(made.webhook.id)
    assert waiting.last_outcome == "timeout"
    receiver.script = says(Said(200, body="x\x00y" * 1_000_000))
    pushing.clock.moment += timedelta(minutes=1)
    await pushing.push()
    async with pushing.works.looking() as store:
        attempts = await store.pushes.attempts(waiting.id)
    assert [(one.outcome, one.status) for one in attempts] == [("timeout", None), ("delivered", 200)]
    assert attempts[1].answer == ("x y" * 67)[:200]


async def test_a_message_that_a_receiver_refuses_holds_up_no_other(pushing: Pushing, receiver: Receiver) -> None:
    """Ten refused messages (422) do not make the address rest: all others arrive in the same go."""

    def answer(arrived: Arrived) -> Said:
        number = int(json.loads(arrived.body)["subject"].removeprefix("run_"))
        return Said(422) if number < 10 else Said(204, body="")

    receiver.script = answer
    made = await pushing.make()
    await pushing.hear(*(published(number) for number in range(30)))
    assert await pushing.push() == 30
    assert len(await pushing.pushes(made.webhook.id, "delivered")) == 20


async def test_a_sender_that_dies_after_the_request_makes_the_push_again_with_the_same_id(
    on_both: Pushing, receiver: Receiver
) -> None:
    """The answer was never kept: the next one sends once more, and the receiver can know it by `webhook-id`."""
    made = await on_both.make()
    await on_both.hear(published(1))
    first = on_both.couriers(holder="one")
    assert await first._keep_and_begin() == 1
    await asyncio.wait(first._under_way)
    sending = asyncio.create_task(on_both.couriers(holder="one").run())
    for _ in range(200):
        if await on_both.pushes(made.webhook.id, "delivered"):
            break
        await asyncio.sleep(0.02)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert len(set(receiver.ids())) == 1
    async with on_both.works.looking() as store:
        [done] = await store.pushes.page(made.webhook.id)
        attempts = await store.pushes.attempts(done.id)
    assert [one.outcome for one in attempts] == ["unknown", "delivered"]
