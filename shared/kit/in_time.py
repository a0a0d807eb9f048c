"""Handlers in their time: one that waits for anything but its database never ends, one that waits for it may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.errors import Transient

LONGEST = 30.0
"""Seconds that a handler may take: a database that stands still for a while is no fault of a message."""
LOOK = 0.02
LOOKS = 10
_ASKED, _ANSWERED = "album_asked", "album_answered"


class HandlerHangs(Transient):
    """A handler did not come to an end in time; that has used up an attempt."""


def count_statements(engine: sa.Engine) -> None:
    """Have an engine note at each connection how many statements it was asked and has answered."""

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _asked(connection: sa.Connection, *_: Any) -> None:
        connection.info[_ASKED] = connection.info.get(_ASKED, 0) + 1

    @sa.event.listens_for(engine, "after_cursor_execute")
    def _answered(connection: sa.Connection, *_: Any) -> None:
        connection.info[_ANSWERED] = connection.info[_ASKED]


@asynccontextmanager
async def in_time(connection: AsyncConnection) -> AsyncIterator[None]:
    """Bound what a handler may take; raises HandlerHangs.

    Handlers wait for their database and for nothing else. Where ten looks in a row, 20 ms of this loop apart, find a
    handler waiting while no statement is under way, nothing will ever wake it: it is given up then, and not after the
    time that a database may need. A process that gets no time looks as seldom as its handler runs.
    """
    deadline = asyncio.timeout(LONGEST)
    try:
        async with deadline:
            watch = _Watch(deadline, connection.info)
            try:
                yield
            finally:
                watch.end()
    except TimeoutError as error:
        if deadline.expired():
            raise HandlerHangs("a handler waits for nothing, or took longer than its database may need") from error
        raise


class _Watch:
    """Looks again and again whether a handler waits for its database."""

    def __init__(self, deadline: asyncio.Timeout, told: dict[Any, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._told = told
        self._asked = -1
        self._idle = 0
        self._next = self._loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        asked = self._told.get(_ASKED, 0)
        waits_for_database = asked != self._told.get(_ANSWERED, 0)
        self._idle = 0 if waits_for_database or asked != self._asked else self._idle + 1
        self._asked = asked
        if self._idle >= LOOKS:
            self._deadline.reschedule(self._loop.time())
        else:
            self._next = self._loop.call_later(LOOK, self._look)

    def end(self) -> None:
        """Look no more."""
        self._next.cancel()
