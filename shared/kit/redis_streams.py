"""Streams on Redis (7.0 and later) or Valkey."""

import json
from collections.abc import Awaitable, Iterable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from shared.kit.errors import Transient
from shared.kit.streams import START, Entry, Heartbeat, Position

# One call checks the end of the stream and appends: between two calls a wiped Redis could take entry 101 first,
# and would then refuse 1 to 100 for ever.
_APPEND = """
local head = '0-0'
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then head = info[i + 1] end
  end
end
if head ~= ARGV[1] then return false end
local entries = tonumber(ARGV[2])
for i = 0, entries - 1 do
  local at = 3 + 3 * i
  head = redis.call('XADD', KEYS[1], ARGV[at], 'p', ARGV[at + 1], 'h', ARGV[at + 2])
end
for i = 3 + 3 * entries, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
return head
"""

# A request that was given up may still arrive, and late: it must not put an older entry back.
_KEEP = """
local function place(value)
  local epoch, seq = string.match(value, '^(%d+)-(%d+) ')
  return tonumber(epoch), tonumber(seq)
end
for i = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local keep = not known
  if known then
    local known_epoch, known_seq = place(known)
    local epoch, seq = place(ARGV[i + 1])
    keep = epoch > known_epoch or (epoch == known_epoch and seq >= known_seq)
  end
  if keep then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
"""

# HSCAN gives values, too, and a state of 100,000 runs is 200 MB: only what stands before the payload goes out.
_INDEX = """
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
local part = found[2]
for i = 2, #part, 2 do
  part[i] = string.sub(part[i], 1, string.find(part[i], ' ', 1, true) + 32)
end
return {found[1], part}
"""


def connect(url: str) -> Redis:
    """Open a client that never repeats a write by itself; redis-py would, and a lost reply made two entries."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=5, socket_timeout=30)


class RedisStreams:
    """Streams, their states and heartbeats on one Redis."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._append = client.register_script(_APPEND)
        self._keep = client.register_script(_KEEP)
        self._index = client.register_script(_INDEX)

    async def append(
        self, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
    ) -> Position | None:
        """Append the entries and keep the newest of each key; None, and nothing done, if the stream ends elsewhere."""
        arguments: list[Any] = [str(after), len(entries)]
        for entry in entries:
            arguments += [str(entry.position), entry.payload, entry.hash]
        for key, entry in state.items():
            arguments += [key, _pack(entry)]
        head = await _asked(self._append(keys=[stream, f"{stream}:state"], args=arguments))
        return None if head is None else Position.parse(head)

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream; START where there is nothing."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for stream in streams:
                pipeline.xinfo_stream(stream)
            answers = await _asked(pipeline.execute(raise_on_error=False))
        return [_head(answer) for answer in answers]

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position."""
        found = await _asked(self._redis.xrange(stream, min=f"({after}", max="+", count=count))
        return entries_from(found)

    async def state(self, stream: str) -> dict[str, Entry]:
        """Give the newest entry of every key."""
        found: dict[str, Entry] = {}
        place = 0
        while True:
            place, part = await _asked(self._redis.hscan(f"{stream}:state", place, count=1000))
            found.update((key.decode(), _unpack(value)) for key, value in part.items())
            if not place:
                return found

    async def state_index(self, stream: str) -> dict[str, Entry]:
        """Give the newest entry of every key without its payload."""
        found: dict[str, Entry] = {}
        place = b"0"
        while True:
            place, part = await _asked(self._index(keys=[f"{stream}:state"], args=[place]))
            found.update((key.decode(), _unpack(value)) for key, value in zip(part[::2], part[1::2], strict=True))
            if int(place) == 0:
                return found

    async def state_of(self, stream: str, keys: list[str]) -> dict[str, Entry]:
        """Give the newest entry of some keys."""
        if not keys:
            return {}
        values = await _asked(self._redis.hmget(f"{stream}:state", keys))
        return {key: _unpack(value) for key, value in zip(keys, values, strict=True) if value is not None}

    async def state_size(self, stream: str) -> int:
        """Give the number of keys in the state."""
        return int(await _asked(self._redis.hlen(f"{stream}:state")))

    async def keep_state(self, stream: str, state: dict[str, Entry]) -> None:
        """Set the newest entries of some keys; an older one than is there is left out."""
        if not state:
            return
        packed = [part for key, entry in state.items() for part in (key, _pack(entry))]
        await _asked(self._keep(keys=[f"{stream}:state"], args=packed))

    async def beat(self, stream: str, heartbeat: Heartbeat) -> None:
        """Leave the writer's heartbeat."""
        body = {"head": str(heartbeat.head), "keys": heartbeat.keys, "digest": heartbeat.digest, "at": heartbeat.at}
        await _asked(self._redis.set(f"{stream}:heartbeat", json.dumps(body)))

    async def heartbeat(self, stream: str) -> Heartbeat | None:
        """Give the writer's last heartbeat."""
        found = await _asked(self._redis.get(f"{stream}:heartbeat"))
        if found is None:
            return None
        body = json.loads(found)
        return Heartbeat(Position.parse(body["head"]), body["keys"], body["digest"], body["at"])

    async def trim(self, stream: str, below: Position) -> None:
        """Drop the entries before a position, never by count: a reader that is behind must see that it is."""
        await _asked(self._redis.xtrim(stream, minid=str(below), approximate=False))

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Take single entries out of a stream; its last id stays."""
        await _asked(self._redis.xdel(stream, *map(str, positions)))

    async def forget(self, stream: str) -> None:
        """Drop a stream with its state and heartbeat, so that its writer fills it anew."""
        await _asked(self._redis.delete(stream, f"{stream}:state", f"{stream}:heartbeat"))


def entries_from(found: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[Entry]:
    """Read entries as Redis gives them; one without our fields has an empty payload and is parked by its reader."""
    return [Entry(Position.parse(id_), fields.get(b"p", b""), fields.get(b"h", b"")) for id_, fields in found]


async def _asked(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except ResponseError:
        raise
    except (RedisError, OSError, TimeoutError) as error:
        raise Transient(f"Redis does not answer: {type(error).__name__}") from error


def _head(answer: Any) -> Position:
    if isinstance(answer, ResponseError):
        if "no such key" in str(answer):
            return START
        raise answer
    if isinstance(answer, Exception):
        raise Transient(f"Redis does not answer: {type(answer).__name__}") from answer
    return Position.parse(answer["last-generated-id"])


def _pack(entry: Entry) -> bytes:
    return str(entry.position).encode() + b" " + entry.hash + entry.payload


def _unpack(value: bytes) -> Entry:
    position, rest = value.split(b" ", 1)
    return Entry(Position.parse(position), rest[32:], rest[:32])
