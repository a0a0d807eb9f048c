"""Hands a service what its restored backup has lost of its own messages, so that its tables follow its log."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.catalogue import find
from shared.contract.envelope import Message, MessageRefused, open_envelope, open_message
from shared.contract.streams import parse_stream, public_beside
from shared.contract.words import Audience
from shared.kit import inbox, outbox
from shared.kit.applying import is_transient
from shared.kit.inbox import Takes
from shared.kit.streams import Entry
from shared.kit.work import Work, Works

log = structlog.get_logger()
Recover = Callable[[AsyncConnection, list[Entry]], Awaitable[None]]
Finish = Callable[[AsyncConnection, str], Awaitable[None]]


@dataclass(frozen=True)
class Told:
    """What was told last of each of an institution's things, to everybody and to people; None until that is back."""

    institution: str
    everybody: Mapping[str, Message]
    people: Mapping[str, Message] | None

    def is_behind(self, key: str, version: int) -> bool:
        """Tell whether everybody was told of an older version of a thing, as far as that can be said yet."""
        last = self.everybody.get(key)
        return self.people is not None and (last is None or last.version < version)


Agree = Callable[[Told, Work[Any]], Awaitable[None]]


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


def agreement(works: Works[Any], agree: Agree | None) -> Finish:
    """Give what has a service agree, once all of a stream is back, with what everybody was told of its things.

    People are told of things: where Redis lost the things' last words and kept these, they bring a state back that
    nobody else hears of. And what was never told, such as seats given elsewhere, is as old as the backup. It happens
    in the transaction of the stream's last page.
    """

    async def last(connection: AsyncConnection, stream: str) -> dict[str, Message]:
        return {one.key: one for one in filter(None, map(_opened, await outbox.last_told(connection, stream)))}

    async def agreed(connection: AsyncConnection, stream: str, public: str | None) -> None:
        assert agree is not None  # noqa: S101 - asked below
        people = None if public is None else await last(connection, stream)
        told = Told(parse_stream(stream).institution, await last(connection, public or stream), people)
        async with connection.begin_nested(), works.within(connection) as work:
            await agree(told, work)

    async def finish(connection: AsyncConnection, stream: str) -> None:
        if agree is None or parse_stream(stream).audience is Audience.SEALED:
            return
        if fault := await _went_well(agreed(connection, stream, public_beside(stream))):
            log.error("not_agreed_with_told", stream=stream, reason=type(fault).__name__)

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
    for message in filter(None, map(_opened, (entry.payload for entry in entries))):
        newest.pop(message.key, None)
        newest[message.key] = message
    return list(newest.values())


def _opened(payload: bytes) -> Message | None:
    try:
        return open_message(open_envelope(payload), find)
    except MessageRefused as error:
        log.warning("lost_message_not_read", code=error.code)
        return None
