"""The hub's streams on Redis (7.0 and later) or Valkey, with what the ACL allows: no scripts, no groups."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError, WatchError

from shared.kit.streams import START, Position
from shared.network.entries import (
    SignedBeat,
    SignedEntry,
    beat_fields,
    beat_of,
    entry_fields,
    entry_of,
    state_value,
)
from shared.network.hub.streams import HubAway, HubRefuses, entry_in_state, is_newer
from shared.network.names import ROSTER, join_hash
from shared.network.taken import taken_hash

ANSWER_SECONDS = 10.0
SCAN = 200
ROSTERS = 50
STATE_TRIES = 5


def connect_hub(url: str, user: str, password: str, ca: Path | str | None = None) -> Redis:
    """Open a client of the hub for one user; `ca` is a file, or the PEM itself, of who signed the hub's certificate.

    A write is never repeated by the library: a lost reply would make two entries.
    """
    options: dict[str, Any] = {}
    if url.startswith("rediss://"):
        options["ssl_check_hostname"] = True
        if ca:
            options["ssl_ca_data" if "BEGIN CERTIFICATE" in str(ca) else "ssl_ca_certs"] = str(ca)
    return Redis.from_url(
        url,
        username=user,
        password=password,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=5,
        socket_timeout=ANSWER_SECONDS,
        driver_info=None,  # the ACL knows no CLIENT SETINFO: it keeps a Redis 7.0 from starting
        **options,
    )


class RedisHub:
    """The hub as one user sees it."""

    def __init__(self, client: Redis) -> None:
        self._redis = client

    async def append(
        self, stream: str, after: Position, entries: list[SignedEntry], state: dict[str, SignedEntry]
    ) -> Position | None:
        """Append the entries and keep the newest of each key; None, and nothing done, if the stream ends elsewhere."""
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                # Whatever happens to the stream between the look and EXEC - a wipe, another writer - EXEC does nothing.
                await from_hub(pipeline.watch(stream))
                if await self._head(pipeline.xinfo_stream(stream)) != after:
                    return None
                pipeline.multi()  # type: ignore[no-untyped-call] # redis-py has no types for it
                for entry in entries:
                    fields: dict[Any, Any] = dict(entry_fields(entry))
                    pipeline.xadd(stream, fields, id=str(entry.position))
                if state:
                    packed: dict[Any, Any] = {key: state_value(entry) for key, entry in state.items()}
                    pipeline.hset(f"{stream}:state", mapping=packed)
                await from_hub(pipeline.execute())
        except WatchError:
            return None
        return entries[-1].position

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream; START where there is nothing."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for stream in streams:
                pipeline.xinfo_stream(stream)
            answers = await from_hub(pipeline.execute(raise_on_error=False))
        return [_head(answer) for answer in answers]

    async def read(self, stream: str, after: Position, count: int) -> list[SignedEntry]:
        """Give up to `count` entries behind a position."""
        found = await from_hub(self._redis.xrange(stream, min=f"({after}", max="+", count=count))
        return [entry_of(Position.parse(id_), fields) for id_, fields in found]

    async def read_many(self, after: dict[str, Position], count: int, block_ms: int) -> dict[str, list[SignedEntry]]:
        """Give up to `count` entries of each stream behind its position; wait up to `block_ms` until there is one."""
        places: dict[Any, Any] = {stream: str(position) for stream, position in after.items()}
        found = await from_hub(self._redis.xread(places, count=count, block=block_ms or None))
        streams = found.items() if isinstance(found, Mapping) else found or ()
        return {name.decode(): [entry_of(Position.parse(i), f) for i, f in _flat(page)] for name, page in streams}

    async def state(self, stream: str) -> dict[str, SignedEntry]:
        """Give the newest entry of every key; one that cannot be read stands at START and is refused at the border."""
        found: dict[str, SignedEntry] = {}
        async for page in self.state_pages(stream):
            found.update(page)
        return found

    async def state_pages(self, stream: str) -> AsyncIterator[dict[str, SignedEntry]]:
        """Give the state page by page, so that a large one needs no large memory; a key may come twice."""
        place = 0
        while True:
            place, part = await from_hub(self._redis.hscan(f"{stream}:state", place, count=SCAN))
            if part:
                yield {key.decode("utf-8", "replace"): entry_in_state(value) for key, value in part.items()}
            if not place:
                return

    async def state_size(self, stream: str) -> int:
        """Give the number of keys in the state."""
        return int(await from_hub(self._redis.hlen(f"{stream}:state")))

    async def keep_state(self, stream: str, state: dict[str, SignedEntry]) -> None:
        """Set the newest entries of some keys; an older one than is there is left out, though it comes late."""
        for _ in range(STATE_TRIES):
            if not state or await self._kept_state(f"{stream}:state", state):
                return
        raise HubAway(f"the state of {stream} changes all the time: does another link write it?")

    async def _kept_state(self, name: str, state: dict[str, SignedEntry]) -> bool:
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                # A copy of the link that was cut off may come late: between this look and EXEC nobody else has set any.
                await from_hub(pipeline.watch(name))
                there = await self._state_of(name, list(state))
                newer = {key: state_value(one) for key, one in state.items() if is_newer(one, there[key])}
                if newer:
                    pipeline.multi()  # type: ignore[no-untyped-call] # redis-py has no types for it
                    packed: dict[Any, Any] = dict(newer)
                    pipeline.hset(name, mapping=packed)
                    await from_hub(pipeline.execute())
        except WatchError:
            return False
        return True

    async def _state_of(self, name: str, keys: list[str]) -> dict[str, bytes | None]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hget(name, key)
            return dict(zip(keys, await from_hub(pipeline.execute()), strict=True))

    async def beat(self, stream: str, beat: SignedBeat) -> None:
        """Leave the writer's heartbeat."""
        fields: dict[Any, Any] = dict(beat_fields(beat))
        await from_hub(self._redis.hset(f"{stream}:heartbeat", mapping=fields))

    async def heartbeat(self, stream: str) -> SignedBeat | None:
        """Give the writer's last heartbeat."""
        _, fields = await from_hub(self._redis.hscan(f"{stream}:heartbeat", 0))
        return beat_of(fields)

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position, never by count: a reader that is behind must see that it is."""
        await from_hub(self._redis.xtrim(stream, minid=str(below), approximate=False))

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Drop single entries of an own box: what it held of a person is erased."""
        if positions:
            await from_hub(self._redis.xdel(stream, *map(str, positions)))

    async def note_taken(self, slug: str, notes: dict[str, bytes]) -> None:
        """Leave notes for senders, by their names, of how far the boxes to an institution are taken."""
        fields: dict[Any, Any] = dict(notes)
        await from_hub(self._redis.hset(taken_hash(slug), mapping=fields))

    async def taken(self, slug: str, sender: str) -> bytes | None:
        """Give the note that an institution left for a sender."""
        found: bytes | None = await from_hub(self._redis.hget(taken_hash(slug), sender))
        return found

    async def ask(self, slug: str, field: str, document: bytes) -> None:
        """Leave something for the office to decide, as an institution."""
        await from_hub(self._redis.hset(join_hash(slug), field, document))

    async def rosters(self, after_version: int) -> list[tuple[bytes, bytes]]:
        """Give document and signatures of every roster behind a version, in order."""
        found = await from_hub(self._redis.xrange(ROSTER, min=f"(1-{after_version}", max="+", count=ROSTERS))
        return [(fields.get(b"p", b""), fields.get(b"s", b"")) for _, fields in found]

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _head(self, answer: Awaitable[Any]) -> Position:
        try:
            return _head(await answer)
        except ResponseError as error:
            return _head(error)
        except (RedisError, OSError, TimeoutError) as error:
            raise _away(error) from error


async def from_hub(answer: Awaitable[Any]) -> Any:
    """Give what the hub answers; raises HubAway, HubRefuses, or WatchError where somebody else was quicker."""
    try:
        return await answer
    except WatchError:
        raise
    except (RedisError, OSError, TimeoutError) as error:
        raise _away(error) from error


def _away(error: BaseException) -> HubAway:
    if isinstance(error, NoPermissionError | AuthenticationError):
        return HubRefuses(f"the hub refuses: {type(error).__name__}")
    return HubAway(f"the hub does not answer: {type(error).__name__}")


def _head(answer: Any) -> Position:
    if isinstance(answer, ResponseError) and "no such key" in str(answer):
        return START
    if isinstance(answer, Exception):
        raise _away(answer) from answer
    return Position.parse(answer["last-generated-id"])


def _flat(page: Any) -> Any:
    """Redis's third protocol wraps the entries of a stream once more than its second does."""
    return page[0] if len(page) == 1 and page[0] and isinstance(page[0][0], list | tuple) else page
