"""Bounds for what partner systems leave in Redis: it evicts nothing, and a full one stands still for everybody."""

from collections.abc import Sequence
from typing import Any

import structlog
from redis.asyncio import Redis

log = structlog.get_logger()

ANSWERS = 10_000
MOST_ENTRIES = 10_000
MOST_BYTES = 16 * 1024 * 1024
LOOKED_AT = 100
EVERY = 0.25
"""Seconds between two looks: what comes in meanwhile is what Redis must have room for."""

# The newest go, so that the order of the others stays. Their ids alone leave Redis: they may be half a gigabyte.
_DROP_NEWEST = """
local rows = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])
local ids = {}
for i = 1, #rows do ids[i] = rows[i][1] end
if #ids > 0 then redis.call('XDEL', KEYS[1], unpack(ids)) end
return ids
"""


class Bounds:
    """Refuses what lies above the bounds of a stream, with the code `full`; the first hundred are never touched."""

    def __init__(self, redis: Redis, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self._redis = redis
        self._most_entries = most_entries
        self._most_bytes = most_bytes

    async def look(self, streams: Sequence[str]) -> None:
        """Look at streams, and cut those that hold too much."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for stream in streams:
                pipeline.xlen(stream)
            lengths = await pipeline.execute()
        for stream, length in zip(streams, lengths, strict=True):
            if length > LOOKED_AT:
                await self._cut(stream, length)

    async def _cut(self, stream: str, length: int) -> None:
        size = await self._redis.memory_usage(stream) or 0
        keep = max(LOOKED_AT, min(self._most_entries, length * self._most_bytes // max(size, 1)))
        while length > keep:
            count = min(length - keep, LOOKED_AT)
            ids: Any = await self._redis.eval(_DROP_NEWEST, 1, stream, str(count))
            if not ids:
                return
            log.warning("in_stream_full", stream=stream, refused=len(ids), bytes=size)
            await self._refuse(stream, ids)
            length -= len(ids)

    async def _refuse(self, stream: str, ids: list[bytes]) -> None:
        reason = "too much lies in the stream; wait for answers before you write more"
        async with self._redis.pipeline(transaction=False) as pipeline:
            for id_ in reversed(ids):
                fields: dict[Any, Any] = {"entry": id_, "status": "refused", "code": "full", "reason": reason}
                pipeline.xadd(f"{stream}:answers", fields, maxlen=ANSWERS, approximate=True)
            # A full Redis takes no answer; who has none sends again.
            await pipeline.execute(raise_on_error=False)
