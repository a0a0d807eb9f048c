"""Two institutions that refer people to each other, on one node or on two, with the real relay and the real reader."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import httpx
import sqlalchemy as sa

from services.courses import timers
from services.courses.app import service
from services.courses.domain.consent import Consent
from services.courses.handlers import referring
from services.courses.handlers.referring import Asking
from shared.contract.catalogue import find
from shared.contract.courses import RunPublished
from shared.contract.envelope import Message, open_envelope, open_message
from shared.contract.referrals import ReferralField
from shared.contract.samples import sample
from shared.contract.words import RunState
from shared.kit import outbox
from shared.kit.lease import Lease
from shared.kit.memory_streams import MemoryStreams
from shared.kit.reader import StreamReader
from shared.kit.relay import Relay
from shared.kit.streams import Entry, Position
from shared.kit.tables import parked
from tests.integration.courses.courses_house import OTHER, OWNER, START, House, open_house

SENDER, RECEIVER = OTHER, OWNER
ALL = tuple(ReferralField)
SKILLS = {name: {"level": "B1", "on": "2027-01-04"} for name in ("listening", "reading", "speaking", "writing")}
CANARIES = {
    "name": "Kanarienvogel Nummereins",
    "mail": "kanarienpost@canary.example.org",
    "phone": "0511 7777123456",
    "schooling": "Kanarienschule Izmir",
    "profession": "Kanarienzüchterin",
    "goal": "Kanarienziel Pflegeberuf",
    "mobility": "Kanarienrad ohne Licht",
}
PERSON: dict[str, Any] = {
    **CANARIES,
    "language": "tr",
    "contact_consent": True,
    "skills": SKILLS,
    "availability": ["morning"],
    "childcare": True,
    "languages": ["tr", "ku"],
}


def consent(**changed: Any) -> dict[str, Any]:
    """Give a consent to tell everything, until the end of February."""
    return {
        "sender": SENDER,
        "receiver": RECEIVER,
        "fields": [str(each) for each in ALL],
        "purpose": "Platz im Berufssprachkurs",
        "given_on": "2027-01-10",
        "expires_on": "2027-02-28",
        "text": "Ich bin einverstanden, dass kargah diese Angaben an die VHS Nord gibt.",
        "version": "2027-01",
        **changed,
    }


@dataclass
class Network:
    """Who is where: a house for each side, which may be the same one; streams for each house."""

    houses: dict[str, House]
    streams: dict[int, MemoryStreams] = field(default_factory=dict)
    readers: dict[tuple[int, str], StreamReader] = field(default_factory=dict)

    @property
    def there(self) -> list[House]:
        """Give each house once."""
        return list({id(house): house for house in self.houses.values()}.values())

    async def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request with an institution's key."""
        headers = {"Authorization": f"Bearer {who}", **headers}
        return await self.houses[who].api.request(method, f"/institutions/{who}/{path}", json=body, headers=headers)

    async def ask(self, who: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request that must succeed and give its answer."""
        answer = await self.call(who, method, path, body)
        assert answer.is_success, answer.text
        return cast("dict[str, Any]", answer.json() if answer.content else {})

    async def run(self, **plan: Any) -> str:
        """Publish a run of the receiver's and let everybody hear of it."""
        run_id = await self.houses[RECEIVER].run(**plan)
        await self.flow()
        return run_id

    async def person(self, **values: Any) -> str:
        """Begin a file at the sender's."""
        found = await self.ask(SENDER, "POST", "participants", {**PERSON, **values})
        return cast("str", found["participant_id"])

    async def refer(self, run_id: str, person: str, **changed: Any) -> str:
        """Have the sender refer somebody; give the id of the referral."""
        body = {"participant_id": person, "to": RECEIVER, "run_id": run_id, "consent": consent(**changed)}
        return cast("str", (await self.ask(SENDER, "POST", "referrals", body))["referral_id"])

    async def referral(self, who: str, referral_id: str) -> dict[str, Any]:
        """Give one side's view of a referral."""
        return await self.ask(who, "GET", f"referrals/{referral_id}")

    async def states(self, referral_id: str) -> tuple[str, str]:
        """Give the state on the sender's and on the receiver's side."""
        sent, received = [await self.referral(who, referral_id) for who in (SENDER, RECEIVER)]
        return sent["state"], received["state"]

    async def flow(self) -> None:
        """Let relays, lines and readers work until nothing moves any more."""
        for _ in range(12):
            moved = [await self._tell(house) for house in self.there]
            await self.carry()
            await self.read()
            for house in self.there:
                await timers.forget_referred(house.node)
            if not any(moved):
                return
        raise AssertionError("the network does not come to rest")

    def streams_of(self, house: House) -> MemoryStreams:
        """Give what stands for a house's Redis."""
        return self.streams.setdefault(id(house), MemoryStreams())

    async def tell(self) -> None:
        """Let the relays alone work."""
        for house in self.there:
            await self._tell(house)

    async def _tell(self, house: House) -> bool:
        lease = Lease("relay", "test", house.works.database, house.clock)
        assert await lease.hold()
        relay = Relay(house.works.database, self.streams_of(house), house.clock, Random(1), lease)
        moved = False
        while await relay.step():
            moved = True
        await relay.check()
        return moved

    async def carry(self) -> None:
        """Bring public streams and boxes to the other node, as they are inside a node: the line is not the matter."""
        for here in self.there:
            for other in self.there:
                for name in self._names() if here is not other else ():
                    [end] = await self.streams_of(other).heads([name])
                    behind = await self.streams_of(here).read(name, end, 500)
                    if behind:
                        await self.streams_of(other).append(name, end, behind, await self.streams_of(here).state(name))

    def _names(self) -> list[str]:
        pub = [f"album:1:pub:{{{slug}}}:courses" for slug in (SENDER, RECEIVER)]
        return [*pub, f"album:1:box:{{{SENDER}}}:{RECEIVER}", f"album:1:box:{{{RECEIVER}}}:{SENDER}"]

    async def read(self) -> None:
        """Let the readers alone work."""
        for house in self.there:
            hosted = {slug for slug, where in self.houses.items() if where is house}
            for name in self._names():
                if ":box:" not in name or any(f"box:{{{slug}}}" in name for slug in hosted):
                    await self.reader(house, name).catch_up()

    def reader(self, house: House, name: str) -> StreamReader:
        """Give the reader of a stream in a house; a new one after a restart."""
        key = (id(house), name)
        if key not in self.readers:
            streams = self.streams_of(house)

            async def log(stream: str, after: Position, count: int) -> list[Entry]:
                async with house.works.database.reading() as connection:
                    return await outbox.log_after(connection, stream, after, count)

            self.readers[key] = StreamReader(name, service.hears, house.works, streams, log, house.clock, Random(2))
        return self.readers[key]

    async def hear(self, who: str, *messages: Message) -> None:
        """Give messages to an institution's service as its reader would, each in a unit of work of its own."""
        for message in messages:
            async with self.houses[who].works() as work:
                await service.hears.routes[message.type].do(message, work)

    async def boxed(self, to: str, sender: str) -> list[Message]:
        """Give what stands in a box, in order."""
        entries = await self.streams_of(self.houses[sender]).read(f"album:1:box:{{{to}}}:{sender}", Position(0, 0), 500)
        return [open_message(open_envelope(entry.payload), find) for entry in entries]

    async def parked(self, who: str) -> list[tuple[str, str]]:
        """Give code and type of what is parked."""
        async with self.houses[who].works.database.reading() as connection:
            rows = await connection.execute(sa.select(parked.c.code, parked.c.type).order_by(parked.c.id))
            return [(row.code, row.type) for row in rows]

    def turn(self, **time: float) -> None:
        """Turn the clocks of all houses."""
        for house in self.there:
            house.clock.turn(**time)


@asynccontextmanager
async def open_network(*urls: str) -> AsyncIterator[Network]:
    """Open both institutions on one node, or each on its own where two databases are given."""
    async with AsyncExitStack() as stack:
        houses = [await stack.enter_async_context(open_house(url)) for url in urls]
        for number, house in enumerate(houses):
            house.works.ids._random.seed(number + 11)
        yield Network({SENDER: houses[0], RECEIVER: houses[-1]})


async def referred(house: House, participant_id: str) -> dict[str, Any]:
    """Have the owner of a house refer somebody of theirs to a run that the other one told of."""
    told = RunPublished.model_validate({**sample(RunPublished), "institution": OTHER})
    open_ = told.picture.model_copy(update={"state": RunState.PUBLISHED, "ends_on": None})
    whole = Consent(OWNER, OTHER, ALL, "Kurs", START.date(), START.date().replace(month=6), "Text", "1")
    async with house.works() as work:
        await work.store.keep_seen([told.model_copy(update={"picture": open_})], work.now)
        asking = Asking(OWNER, participant_id, OTHER, told.picture.run_id, whole)
        found = await referring.ask(asking, work)
    return {"referral_id": found.id}
