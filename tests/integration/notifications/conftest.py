"""A notifications service without a process: messages in by hand, mails out by real SMTP, a clock that is moved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from services.notifications import consume
from services.notifications.app import service
from services.notifications.domain.attempts import Attempt
from services.notifications.domain.delivery import Delivery
from services.notifications.handlers import sending
from services.notifications.handlers.keeping import keep_house
from services.notifications.handlers.queueing import queue_due
from services.notifications.handlers.sending import Claimed
from services.notifications.handlers.smtp import Line
from services.notifications.settings import Settings
from services.notifications.store import Store
from services.notifications.timers import Post
from shared.contract.courses import EnrolmentChanged, ParticipantContactRecorded, RunPicture
from shared.contract.envelope import Message, type_of
from shared.contract.words import Availability, EnrolmentState, RunKind, RunState, SeatCause, Session, WaitingBand
from shared.embedded.smtp import Catcher
from shared.kit import migrate
from shared.kit import tables as kit
from shared.kit.clock import Clock, Ids
from shared.kit.database import Database
from shared.kit.http import application
from shared.kit.node import build
from shared.kit.work import Works

NOW = datetime(2026, 11, 18, 8, tzinfo=UTC)
START = datetime(2026, 12, 1, 8, tzinfo=UTC)
HOUSE = "vhs-hannover"
KEYS = {"ours": HOUSE, "theirs": "vnb"}


class MovedClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        """Give the moment."""
        return self.moment

    async def sleep(self, seconds: float) -> None:
        """Move on instead of waiting."""
        self.moment += timedelta(seconds=seconds)


def run_picture(starts: datetime = START, title: str = "Deutsch B2 Beruf") -> RunPicture:
    """Give a run of two dates."""
    return RunPicture(
        run_id="run_00000001",
        offer_id="off_00000001",
        number="B2-1",
        title=title,
        kind=RunKind.DEUFOEV_BASIS,
        state=RunState.PUBLISHED,
        sessions=tuple(
            Session(starts=starts + timedelta(days=day), ends=starts + timedelta(days=day, hours=3)) for day in (0, 2)
        ),
        capacity=18,
        availability=Availability(free=0, waiting=WaitingBand.NONE, as_of=NOW),
    )


def enrolment(
    cause: SeatCause, state: EnrolmentState, version: int = 1, person: int = 1, **more: Any
) -> EnrolmentChanged:
    """Give what courses tells about one person's place."""
    given: dict[str, Any] = {"run_version": version, "run": run_picture(), **more}
    return EnrolmentChanged(
        institution=HOUSE,
        version=version,
        enrolment_id=f"enr_{person:08}",
        participant_id=f"par_{person:08}",
        state=state,
        cause=cause,
        **given,
    )


def given(version: int = 1, person: int = 1, **more: Any) -> EnrolmentChanged:
    """Give that a person got a seat."""
    return enrolment(SeatCause.GIVEN, EnrolmentState.ENROLLED, version, person, **more)


def contact(
    person: int = 1, mail: str | None = "", version: int = 1, language: str = "tr"
) -> ParticipantContactRecorded:
    """Give how a person is reached; None is a person without a mail address."""
    return ParticipantContactRecorded(
        institution=HOUSE,
        version=version,
        participant_id=f"par_{person:08}",
        name="Ayşe Yılmaz",
        mail=f"p{person}@example.org" if mail == "" else mail,
        language=language,
    )


class Notified:
    """The service under test."""

    def __init__(self, database: Database, catcher: Catcher) -> None:
        self.database = database
        self.catcher = catcher
        self.clock = MovedClock()
        self.random = Random(3)
        self.settings = Settings(
            secret=SecretStr("0123456789abcdef0123"),
            smtp=catcher.address,
            smtp_patience=timedelta(seconds=1.5),
            mail_from="post@album.example",
        )
        self.works = Works(database, Store, self.clock, Ids(Random(7), self.clock), self.settings)

    async def hear(self, *messages: Message) -> None:
        """Give messages to the handlers that a running service would give them to."""
        for message in messages:
            async with self.works() as work:
                await consume.hears.routes[type_of(type(message))].do(message, work)

    def post(self, holder: str = "one", seed: int = 1) -> Post:
        """Give a sender."""
        return Post(self.works, self.settings, holder, Random(seed))

    async def send(self) -> int:
        """Send what is due."""
        return await self.post().until_nothing_is_due()

    async def claim(self, holder: str = "one", lease: timedelta = timedelta(minutes=5)) -> Claimed | None:
        """Take a mail as a sender would that then does nothing."""
        async with self.works() as work:
            return await sending.claim_next(self.settings, holder, lease, work)

    async def answer(self, claimed: Claimed) -> None:
        """Send a claimed mail and keep the answer."""
        line = Line(self.settings.mail_server, self.settings.mail_from)
        said = await line.send(claimed.recipient, claimed.body)
        await line.close()
        async with self.works() as work:
            await sending.keep_answer(claimed, said, self.random, work)

    async def recover(self) -> int:
        """Judge dead attempts."""
        async with self.works() as work:
            return await sending.recover(work)

    async def queue_due(self) -> int:
        """Queue what has waited until now."""
        async with self.works() as work:
            return await queue_due(work)

    async def keep_house(self) -> None:
        """Forget what is kept no longer."""
        async with self.works() as work:
            await keep_house(work)

    async def rows(self) -> list[Any]:
        """Give every row of every table of the service."""
        async with self.database.reading() as connection:
            tables = service.tables.sorted_tables
            return [row for table in tables for row in await connection.execute(sa.select(table))]

    async def attempts(self, id: str) -> list[Attempt]:
        """Give the attempts at a delivery."""
        async with self.works.looking() as store:
            return await store.deliveries.attempts(id)

    async def deliveries(self, kind: str | None = None) -> list[Delivery]:
        """Give all deliveries by the version of their message, then by kind."""
        async with self.works.looking() as store:
            return sorted(await store.deliveries.page(None, kind=kind), key=lambda one: (one.version, one.kind))

    async def states(self) -> dict[str, str]:
        """Give the state of the newest delivery of each kind."""
        return {one.kind.value: one.state.value for one in await self.deliveries()}

    async def one(self, kind: str) -> Delivery:
        """Give the only delivery of a kind."""
        [found] = await self.deliveries(kind)
        return found


@pytest.fixture
async def notified(database_url: str, smtp_catcher: Catcher) -> AsyncIterator[Notified]:
    """Give a service on a fresh database of each kind, with a mail server of its own."""
    database = Database(database_url)
    await migrate.upgrade(service, database)
    async with database.transaction() as connection:
        row = {"slug": HOUSE, "name": "VHS Hannover", "state": "active", "version": 1}
        await connection.execute(sa.insert(kit.institution).values(row))
    yield Notified(database, smtp_catcher)
    await database.close()


@asynccontextmanager
async def staff_of(database: Database, settings: Settings, clock: MovedClock) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with the institution's own key, `ours`; `theirs` is that of another institution."""
    settings.database = database.url
    node = build(service, settings)
    node.works.clock = clock
    async with database.transaction() as connection:
        vnb = {"slug": "vnb", "name": "VNB", "state": "active", "version": 1}
        await connection.execute(sa.insert(kit.institution).values(vnb))
        for number, (secret, institution) in enumerate(KEYS.items()):
            row = {"key_id": f"key_0000000{number}", "institution": institution, "scopes": ["read", "write"]}
            hashed = sha256(secret.encode()).hexdigest()
            await connection.execute(sa.insert(kit.api_key).values(**row, sha256=hashed, revoked=False, version=1))
    transport = httpx.ASGITransport(application(node))
    headers = {"Authorization": "Bearer ours"}
    async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
        yield client
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()
