"""Hands a service what its restored backup has lost of its own messages, so that its tables follow its log."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.catalogue import find
from shared.contract.envelope import Message, MessageRefused, open_envelope, open_message
from shared.contract.streams import parse_stream, public_beside
from shared.kit import inbox, outbox
from shared.kit.applying import is_transient
from shared.kit.inbox import Takes
from shared.kit.streams import Entry
from shared.kit.work import Work, Works

log = structlog.get_logger()
Recover = Callable[[AsyncConnection, list[Entry]], Awaitable[None]]
Finish = Callable[[AsyncConnection, str], Awaitable[None]]
Retell = Callable[[str, Mapping[str, int], Work[Any]], Awaitable[None]]
"""Is given an institution and the highest version of each of its things that everybody was told of."""


async def recover_nothing(connection: AsyncConnection, entries: list[Entry]) -> None:
    """Stand for a service that keeps nothing of its own beside what it told."""


async def finish_nothing(connection: AsyncConnection, stream: str) -> None:
    """Stand for a service that tells people nothing of things."""


def recovery(
    works: Works[Any], do: Callable[[Sequence[Any], Work[Any]], Awaitable[None]] | None, takes: Takes | None
) -> Recover:
    """Give what hands a service its own lost messages, the newest of each thing, in the transaction that keeps them.

    One that the service has no use for is left out and logged as `not_taken_back`: a node must start all the same, and
    its log has the message.
    """

    async def all_of(messages: list[Message], connection: AsyncConnection) -> None:
        assert do is not None  # noqa: S101 - asked below
        async with connection.begin_nested(), works.within(connection) as work:
            await do(await inbox.take_back(messages, takes, work), work)

    async def recover(connection: AsyncConnection, entries: list[Entry]) -> None:
        messages = _newest(entries)
        if do is None or not messages:
            return
        if await _went_well(all_of(messages, connection)) is None:
            return
        for one in messages:
            if fault := await _went_well(all_of([one], connection)):
                log.error("not_taken_back", key=one.key, type=one.type, reason=type(fault).__name__)

    return recover


def retelling(works: Works[Any], tell: Retell | None) -> Finish:
    """Give what has a service tell again what it keeps in a newer version than everybody was told of.

    People are told of things: where Redis lost the things' last words and kept these, they bring a state back that
    nobody else hears of. It is looked for once all of an own stream is back, in the transaction of its last page.
    """

    async def again(connection: AsyncConnection, institution: str, public: str) -> None:
        assert tell is not None  # noqa: S101 - asked below
        async with connection.begin_nested(), works.within(connection) as work:
            await tell(institution, await outbox.versions_told(connection, public), work)

    async def finish(connection: AsyncConnection, stream: str) -> None:
        public = public_beside(stream)
        if tell is None or public is None:
            return
        if fault := await _went_well(again(connection, parse_stream(stream).institution, public)):
            log.error("not_told_again", stream=stream, reason=type(fault).__name__)

    return finish


async def _went_well(doing: Awaitable[None]) -> Exception | None:
    """Give what was wrong, if anything was; raises what may pass."""
    try:
        await doing
    except Exception as error:
        if is_transient(error):
            raise
        return error
    return None


def _newest(entries: list[Entry]) -> list[Message]:
    """Give the newest message of each thing, in the order of these: whoever asked later waits behind."""
    newest: dict[str, Message] = {}
    for message in filter(None, map(_opened, entries)):
        newest.pop(message.key, None)
        newest[message.key] = message
    return list(newest.values())


def _opened(entry: Entry) -> Message | None:
    try:
        return open_message(open_envelope(entry.payload), find)
    except MessageRefused as error:
        log.warning("lost_message_not_read", position=str(entry.position), code=error.code)
        return None
