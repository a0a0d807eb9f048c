"""Ways that look alike and are not safe: each must be found wrong, or the silence about the others proves nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from shared.kit.numbering import number_waiting
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.work import Work, Works, joint


@asynccontextmanager
async def _told_early(self: Works[Any]) -> AsyncIterator[Work[Any]]:
    shared = joint.get()
    async with shared.part() if shared else self.database.transaction() as connection:
        work = Work(self._store(connection), connection, self.clock.now(), self.ids, self.settings)
        yield work
        if await work.keep_told():
            numbered, _ = await number_waiting(connection, lambda _: True)
            redis = connect(self.settings.redis)
            for stream, keyed in numbered.items():
                [head] = await RedisStreams(redis).heads([stream])
                await RedisStreams(redis).append(stream, head, [entry for _, entry in keyed], dict(keyed))
            await redis.aclose()


def told_before_the_commit() -> None:
    """Publish inside the transaction: whoever dies before its commit has told what is not so."""
    Works.__call__ = _told_early  # type: ignore[method-assign] # the control


@asynccontextmanager
async def _in_two_commits(self: Works[Any]) -> AsyncIterator[Work[Any]]:
    async with self.database.transaction() as connection:
        work = Work(self._store(connection), connection, self.clock.now(), self.ids, self.settings)
        yield work
    shared = joint.get()
    async with shared.part() if shared else self.database.transaction() as connection:
        work.connection = connection
        await work.keep_told()


def two_commits() -> None:
    """Keep what changed first, and after that what is told of it and what was answered."""
    Works.__call__ = _in_two_commits  # type: ignore[method-assign] # the control


CONTROLS: dict[str, Callable[[], None]] = {
    "told_before_the_commit": told_before_the_commit,
    "two_commits": two_commits,
}
