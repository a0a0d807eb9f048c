"""Webhooks without a process: messages in by the kit's own code, pushes out by real HTTP, a clock that moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from pydantic import SecretStr

from services.notifications import consume
from services.notifications.domain.push import Push
from services.notifications.domain.webhook import Signing, Webhook
from services.notifications.handlers import pushing
from services.notifications.handlers import webhooks as handlers
from services.notifications.handlers.receiver import WayOut
from services.notifications.handlers.webhooks import Wish, WithSecret
from services.notifications.settings import Settings
from services.notifications.store import Store
from services.notifications.timers.couriers import Couriers
from shared.contract.courses import RunPublished
from shared.contract.envelope import Message, encode
from shared.contract.streams import stream_for
from shared.kit import directory
from shared.kit.applying import Applier
from shared.kit.clock import Ids
from shared.kit.database import Database
from shared.kit.streams import GENESIS, Entry, Position, chain
from shared.kit.work import Works
from tests.integration.notifications.conftest import HOUSE, MovedClock, run_picture

SECRET = "0123456789abcdef0123"


@dataclass
class Arrived:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes


Script = Callable[[Arrived], "Said | None"]


@dataclass(frozen=True)
class Said:
    """An answer of a receiver."""

    status: int
    headers: str = ""
    body: str = "ok"


@dataclass
class Receiver:
    """A partner's server; its script answers with Said, or with None to hang until the end of the test."""

    script: Script = field(default=lambda arrived: Said(204, body=""))
    arrived: list[Arrived] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def open(self, **tls: object) -> AsyncIterator["Receiver"]:
        """Listen on a free port of this machine."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **tls)  # type: ignore[arg-type] # `ssl`
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/album"
        try:
            yield self
        finally:
            self._over.set()
            server.close()

    def __post_init__(self) -> None:
        self._over = asyncio.Event()

    def ids(self) -> list[str]:
        """Give the `webhook-id` of every request in order."""
        return [one.headers["webhook-id"] for one in self.arrived]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:-2]
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                arrived = Arrived(headers, await reader.readexactly(int(headers["content-length"])))
                self.arrived.append(arrived)
                self.came.set()
                said = self.script(arrived)
                if said is None:
                    await self._over.wait()
                    return
                size = len(said.body.encode())
                head_out = f"HTTP/1.1 {said.status} x\r\ncontent-length: {size}\r\n{said.headers}\r\n"
                writer.write(head_out.encode() + said.body.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            writer.close()


def published(number: int, institution: str = HOUSE, version: int = 1) -> RunPublished:
    """Give that a run is open."""
    picture = run_picture().model_copy(update={"run_id": f"run_{number:08}"})
    return RunPublished(institution=institution, version=version, picture=picture)


class Pushing:
    """The service under test."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url
        self.clock = MovedClock()
        self.clock.moment = datetime.now(UTC)
        self.settings = Settings(secret=SecretStr(SECRET), webhook_private=True)
        self.works = Works(database, Store, self.clock, Ids(Random(7), self.clock), self.settings)
        self.out = WayOut(private=True, connections=64, whole=1.0)
        self._heads: dict[str, Entry] = {}
        self._random = Random(1)

    def entries(self, *messages: Message) -> dict[str, list[Entry]]:
        """Number messages as relays do, each on its stream behind what came before."""
        numbered: dict[str, list[Entry]] = {}
        for message in messages:
            stream = stream_for(message)
            last = self._heads.get(stream)
            position = Position(1, last.position.seq + 1) if last else Position(1, 1)
            payload = encode(message, id=f"msg_{message.key}_{message.version}", time=self.clock.now())
            hash_ = chain(last.hash if last else GENESIS, stream, position, payload)
            self._heads[stream] = Entry(position, payload, hash_)
            numbered.setdefault(stream, []).append(self._heads[stream])
        return numbered

    def ends(self) -> dict[str, Position]:
        """Give where the streams end."""
        return {stream: entry.position for stream, entry in self._heads.items()}

    async def hear(self, *messages: Message) -> dict[str, list[Entry]]:
        """Have messages heard, and give their entries."""
        return await self.take(self.entries(*messages))

    async def take(self, numbered: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
        """Apply entries as the kit's reader does."""
        hears = consume.hears.and_also(directory.hears)
        for stream, entries in numbered.items():
            async with self.works() as work:
                await Applier(stream, hears).apply(entries, work)
        return numbered

    async def make(
        self,
        url: str = "",
        types: tuple[str, ...] | None = None,
        institutions: tuple[str, ...] | None = None,
        signing: Signing = Signing.hmac,
    ) -> WithSecret:
        """Make a webhook, by default at the fixture's receiver."""
        wish = Wish(url or self.url, types, institutions, signing)
        async with self.works() as work:
            return await handlers.make_webhook(HOUSE, wish, self.ends(), True, Random(5), work)

    def couriers(self, most: int = 64, holder: str = "one") -> Couriers:
        """Give a sender."""
        return Couriers(self.works, self.out, most, holder, self._random)

    async def push(self) -> int:
        """Push what is due, and give how many attempts that took."""
        return await self.couriers().until_nothing_is_due()

    async def give_up_old(self) -> None:
        """Give up what is too old."""
        async with self.works() as work:
            await pushing.give_up_old(work)

    async def pushes(self, id: str, state: str | None = None) -> list[Push]:
        """Give the pushes of a webhook, the oldest first."""
        async with self.works.looking() as store:
            return sorted(await store.pushes.page(id, state=state, count=10_000), key=lambda one: one.made_at)

    async def webhook(self, id: str) -> Webhook:
        """Give a webhook as it is now."""
        async with self.works.looking() as store:
            found = await store.webhooks.webhook(id)
        assert found is not None
        return found
