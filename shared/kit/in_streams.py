"""The streams `album:1:in:{<institution>}`: software beside the node's own Redis leaves messages, and reads answers.

Whoever can write to the node's Redis is trusted to be the node's: the stream names the institution, no key is asked.
A consumer group is a work queue here, where every entry is answered once and then deleted. FastStream reads what is
new; what it never redelivers, because a process ended in the middle, is claimed here, one entry at a time.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, cast

import sqlalchemy as sa
import structlog
from faststream.redis import RedisBatchStreamMessage, RedisBroker, StreamSub
from faststream.redis.message import FAKE_CONSUMER
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from shared.contract.catalogue import find
from shared.contract.envelope import MessageRefused, service_of
from shared.contract.words import InstitutionState
from shared.kit import cloudevents, parking
from shared.kit.applying import is_transient
from shared.kit.clock import full_jitter
from shared.kit.cloudevents import Event, Unreadable
from shared.kit.directory import known_institutions
from shared.kit.errors import Transient, words_of
from shared.kit.fairness import Breath, in_lane
from shared.kit.in_stream_bounds import ANSWERS, Bounds
from shared.kit.inbox import Answer, Takes, take
from shared.kit.limits import Limits
from shared.kit.parking import Refusal
from shared.kit.settings import Settings
from shared.kit.streams import Entry, Position
from shared.kit.tables import institution as institutions
from shared.kit.tables import parked
from shared.kit.work import Work, Works

log = structlog.get_logger()
PREFIX = "album:1:in:"
PAGE = 100
TAKEN_AT_ONCE = 16
DELIVERIES = 5
IDLE_MS = 30_000
BLOCK_MS = 2000
SPEAKS_FOR_THE_UNKNOWN = "members"


def in_stream(institution: str) -> str:
    """Name the stream into which partner systems of an institution write."""
    return f"{PREFIX}{{{institution}}}"


@dataclass(frozen=True)
class Left:
    """An entry that somebody left, and the event in it."""

    id: bytes
    payload: bytes
    event: Event | Unreadable

    @property
    def service(self) -> str:
        """Name the service that answers it; what nobody knows is answered by one."""
        kind = find(self.event.type) if isinstance(self.event, Event) else None
        return service_of(kind) if kind else SPEAKS_FOR_THE_UNKNOWN

    @property
    def position(self) -> Position:
        """Give where it stood."""
        return Position.parse(self.id)


def read_entry(id_: bytes, fields: Mapping[bytes, bytes]) -> Left:
    """Read an entry: the field `p` with a structured event, or `ce-…`, `content-type` and `data` as in binary mode."""
    if b"p" in fields:
        return Left(id_, fields[b"p"], cloudevents.structured(fields[b"p"]))
    try:
        attributes = cloudevents.attributes_of(fields)
    except MessageRefused as error:
        return Left(id_, b"", Unreadable(None, None, error.code, str(error)))
    content_type = fields.get(b"content-type", b"").decode("ascii", "replace") or None
    data = fields.get(b"data", b"")
    # Parked, it can be put back as `p`.
    whole = {**attributes, "datacontenttype": content_type, "data_base64": b64encode(data).decode()}
    return Left(id_, json.dumps(whole).encode(), cloudevents.binary(attributes, content_type, data))


class InStreams:
    """Takes what lies in the streams of the institutions that the node hosts, as one service."""

    def __init__(
        self,
        service: str,
        takes: Takes,
        works: Works[Any],
        broker: RedisBroker,
        redis: Redis,
        settings: Settings,
        random: Random,
    ) -> None:
        self._service = service
        self._takes = takes
        self._works = works
        self._broker = broker
        self._redis = redis
        self._settings = settings
        self._random = random
        self._group = f"album:{service}"
        self._consumer = settings.holder_of(service)
        self._subscribers: dict[str, Any] = {}
        self._known: list[str] = []
        self._bounds = Bounds(redis)
        self._shares = Limits(settings.rate, settings.burst, "messages")

    async def turn(self) -> None:
        """Subscribe to the streams of institutions that joined, and take what somebody left in the middle."""
        async with self._works.database.reading() as connection:
            known = [slug for slug in await known_institutions(connection) if self._settings.hosts(slug)]
        self._known = sorted(known)
        for institution in self._known:
            async with _reaching_redis():
                await self._look_after(institution)
        await self._leave_again()

    async def _look_after(self, institution: str) -> None:
        stream = in_stream(institution)
        subscriber = self._subscribers.get(stream)
        try:
            await self._recover(institution, first=subscriber is None)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # From the very beginning: what was written before this service came is to be taken as well.
            await self._redis.xgroup_create(stream, self._group, id="0", mkstream=True)
        # FastStream stops a subscriber for good when its group is gone, as after a wipe.
        if subscriber is None or not subscriber.running:
            self._subscribers[stream] = await self._subscribe(institution)

    async def _subscribe(self, institution: str) -> Any:
        await self._broker.connect()
        subscriber = self._broker.subscriber(
            stream=StreamSub(
                in_stream(institution),
                group=self._group,
                consumer=self._consumer,
                last_id=">",
                batch=True,
                max_records=TAKEN_AT_ONCE,
                polling_interval=BLOCK_MS,
            ),
            parser=_as_it_came,
            decoder=_raw,
            title=f"{in_stream(institution)} as {self._service}",
        )

        async def came(raw: Any) -> None:
            entries, breath = [], Breath()
            for id_, fields in zip(raw["message_ids"], raw["data"], strict=True):
                entries.append(read_entry(id_, fields))
                await breath.take()
            await self._answer_all(institution, entries)

        subscriber(came)
        await subscriber.start()
        return subscriber

    async def _recover(self, institution: str, *, first: bool) -> None:
        """Take what is pending: at first of this consumer's last life, later whatever lies there for long."""
        stream = in_stream(institution)
        whose: dict[str, Any] = {"consumername": self._consumer} if first else {"idle": IDLE_MS}
        after = "-"
        while True:
            pending = await self._redis.xpending_range(stream, self._group, min=after, max="+", count=PAGE, **whose)
            if not pending:
                return
            rows = cast("list[Any]", pending)
            for row in rows:
                # One at a time: to claim is to count, and only what ends the process shall reach the limit.
                await self._claim(institution, row["message_id"], row["times_delivered"], 0 if first else IDLE_MS)
            after = "(" + rows[-1]["message_id"].decode()

    async def _claim(self, institution: str, id_: bytes, delivered: int, idle: int) -> None:
        stream = in_stream(institution)
        claimed: Any = await self._redis.xclaim(stream, self._group, self._consumer, idle, [id_])
        if not claimed and not await self._redis.xrange(stream, id_, id_):
            await self._redis.xack(stream, self._group, id_)
        for _, fields in claimed:
            left = read_entry(id_, fields)
            if delivered >= DELIVERIES:
                refusal = Refusal("gave_up", f"taken {delivered} times, and the process ended each time")
                await self._until_done(partial(self._give_up, institution, left, refusal))
            else:
                await self._answer_all(institution, [left])

    async def _answer_all(self, institution: str, entries: Sequence[Left]) -> None:
        """Answer entries; returns only when that is committed and they are gone from the stream."""
        ours = [left for left in entries if left.service == self._service]
        with in_lane(institution):
            # A stream is no way around the share that the same institution has over HTTP.
            if wait := self._shares.wait(institution, len(ours)):
                await asyncio.sleep(wait)
                self._shares.charge(institution, len(ours))
            left = list(ours)
            while left:
                async with self._works.rest.work():
                    left = left[await self._until_done(partial(self._answer, institution, left)) :]
        others = [left.id for left in entries if left.service != self._service]
        if others:
            # Each type has one service that answers and deletes it; all others only let it pass.
            await self._until_done(partial(self._redis.xack, in_stream(institution), self._group, *others))

    async def _until_done(self, do: Callable[[], Awaitable[Any]]) -> Any:
        """Try until it works; a group would never give the entries again before the process ends."""
        attempt = 0
        while True:
            try:
                async with _reaching_redis():
                    return await do()
            except Exception as error:
                if not is_transient(error):
                    raise
                attempt += 1
                log.warning("in_stream_waits", reason=str(error))
                await self._works.clock.sleep(0.05 + full_jitter(self._random, attempt, cap=5.0))

    async def _answer(self, institution: str, entries: Sequence[Left]) -> int:
        """Take and answer as many as fit into a transaction; give how many that were."""
        try:
            async with self._works() as work:
                answers = await self._taken(institution, entries, work)
        except Exception as error:
            if is_transient(error):
                raise
            if len(entries) > 1:
                for left in entries:
                    await self._answer(institution, [left])
                return len(entries)
            log.exception("in_stream_fault")
            refusal = Refusal("fault", f"a fault of the service: {type(error).__name__}: {words_of(error)}")
            await self._give_up(institution, entries[0], refusal)
            return 1
        await self._say(institution, entries[: len(answers)], answers)
        return len(answers)

    async def _taken(self, institution: str, entries: Sequence[Left], work: Work[Any]) -> list[Answer]:
        state = await work.connection.execute(sa.select(institutions.c.state).where(institutions.c.slug == institution))
        if state.scalar_one_or_none() == InstitutionState.ACTIVE.value:
            events = [left.event for left in entries]
            return await take(events, institution, self._service, self._takes, work)
        reason = f"'{institution}' is not active; only an active institution publishes"
        return [_refused(left, Refusal("not_active", reason)) for left in entries]

    async def _give_up(self, institution: str, left: Left, refusal: Refusal) -> None:
        """Park what cannot be taken, and say so."""
        entry = Entry(left.position, left.payload, b"")
        type_word = left.event.type if isinstance(left.event, Event) else None
        async with self._works() as work:
            await parking.park(
                work.connection, in_stream(institution), entry, key=str(left.position),
                type_word=type_word, refusal=refusal, now=work.now,
            )  # fmt: skip
        log.warning("message_parked", stream=in_stream(institution), position=str(left.position), code=refusal.code)
        await self._say(institution, [left], [_refused(left, refusal)])

    async def _say(self, institution: str, entries: Sequence[Left], answers: Sequence[Answer]) -> None:
        """Leave the answers and delete the entries; only after the commit, for until then nothing is safe."""
        stream = in_stream(institution)
        told = [{"entry": left.id, **_fields(answer)} for left, answer in zip(entries, answers, strict=True)]
        ids = [left.id for left in entries]
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for fields in told:
                    pipeline.xadd(f"{stream}:answers", fields, maxlen=ANSWERS, approximate=True)
                pipeline.xack(stream, self._group, *ids)
                pipeline.xdel(stream, *ids)
                await pipeline.execute()
        except OutOfMemoryError as error:
            # A full Redis takes no answer; it must still lose the entries, or it would stay full for ever. Whoever
            # has no answer sends again, and then hears `repeated`.
            await self._redis.xack(stream, self._group, *ids)
            await self._redis.xdel(stream, *ids)
            log.warning("in_stream_unanswered", institution=institution, entries=len(ids), reason=str(error))

    async def bound(self) -> None:
        """Refuse what is too much for a stream: Redis evicts nothing, and a full one stands still for everybody."""
        async with _reaching_redis():
            await self._bounds.look([in_stream(institution) for institution in self._known])

    async def _leave_again(self) -> None:
        """Put parked entries back that an operator wants tried again; one that comes twice is seen to be known."""
        asked = (parked.c.state == "retry") & parked.c.stream.startswith(PREFIX, autoescape=True)
        async with self._works.database.reading() as connection:
            rows = (await connection.execute(sa.select(parked).where(asked))).all()
        for row in rows:
            async with _reaching_redis():
                await self._redis.xadd(row.stream, {"p": row.payload})
            async with self._works() as work:
                await parking.change(work.connection, [row.id], state="used", ended_at=work.now)


def _fields(answer: Answer) -> dict[Any, Any]:
    return {name: value for name, value in answer.model_dump().items() if value is not None}


def _refused(left: Left, refusal: Refusal) -> Answer:
    event = left.event
    return Answer(id=event.id, source=event.source, status="refused", code=refusal.code, reason=refusal.reason)


@asynccontextmanager
async def _reaching_redis() -> AsyncIterator[None]:
    try:
        yield
    except ResponseError:
        raise
    except RedisError as error:
        raise Transient(f"Redis does not answer: {type(error).__name__}") from error


async def _as_it_came(raw: Any) -> RedisBatchStreamMessage:
    return RedisBatchStreamMessage(raw_message=raw, body=raw, consumer=FAKE_CONSUMER, group=None)


async def _raw(message: Any) -> Any:
    return message.raw_message
