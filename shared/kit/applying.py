"""From entries to effects, inside one transaction: each message alone in a savepoint, or the newest of many at once."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog

from shared.contract.catalogue import find
from shared.contract.envelope import (
    Envelope,
    Event,
    Message,
    MessageRefused,
    SealedMessage,
    open_at_once,
    open_envelope,
    open_message,
    source_of,
)
from shared.contract.streams import parse_stream
from shared.kit import parking
from shared.kit.errors import Transient, words_of
from shared.kit.fairness import Breath
from shared.kit.hears import Heard, Hears, Route
from shared.kit.in_time import in_time
from shared.kit.parking import Refusal
from shared.kit.streams import Entry
from shared.kit.work import Work

log = structlog.get_logger()

PART = 250
LARGE = 8 * 1024

# Connection, rollback, resources, intervention, system (PostgreSQL, appendix A); lock not available, read-only.
_RETRY_CLASSES = {"08", "40", "53", "57", "58"}
_RETRY_STATES = {"55P03", "25006"}
_RETRY_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}


def is_transient(error: BaseException) -> bool:
    """Tell whether the same attempt may work in a moment: lost connections, locks, deadlocks, time-outs.

    A value that does not fit and a table that is missing fail for ever, whatever class the driver gives them.
    """
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated or _may_pass(error.orig)
    return isinstance(error, Transient | OSError | TimeoutError | sa.exc.TimeoutError)


def _may_pass(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _RETRY_SQLITE
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state[:2] in _RETRY_CLASSES or state in _RETRY_STATES
    # The driver itself failed: a value it cannot send stays one, a connection it lost does not.
    lasting = ValueError | TypeError | sqlite3.ProgrammingError
    return not (isinstance(error, lasting) or isinstance(getattr(error, "__cause__", None), lasting))


class Unguarded(Exception):  # noqa: N818 - no fault by itself: it asks for the careful way
    """A handler failed where nothing isolates it from the others."""


@dataclass(slots=True)
class Opened(Heard):
    """An entry whose message is for this service."""

    route: Route


@dataclass(frozen=True)
class Refused:
    """An entry whose message cannot be used, with the key it belongs to as far as that can be read."""

    entry: Entry
    key: str
    type_word: str | None
    refusal: Refusal


class Applier:
    """Applies entries of one stream with the handlers of one service."""

    def __init__(self, stream: str, hears: Hears) -> None:
        self._stream = stream
        self._name = parse_stream(stream)
        self._hears = hears
        self._owner = source_of(self._name.speaker, self._name.service)
        self._words = f"{self._name.service}."
        self._kinds: dict[str, type[Message] | None] = {}
        self._guarded = True

    def open(self, entry: Entry) -> Opened | Refused | None:
        """Read an entry; None where this service does not listen to such messages."""
        event = open_at_once(entry.payload, self._wanted)
        if event is None or not self._is_of_the_owner(event):
            return self._open_step_by_step(entry)
        return Opened(self._stream, entry, event.data, self._hears.routes[event.type])

    def _wanted(self, type_word: str) -> type[Message] | None:
        if type_word not in self._hears.routes:
            return None
        if type_word not in self._kinds:
            self._kinds[type_word] = self._kind_of(type_word)
        return self._kinds[type_word]

    def _kind_of(self, type_word: str) -> type[Message] | None:
        """Give the class of a type that may come on this stream and is listened to."""
        kind = find(type_word) if type_word.startswith(self._words) else None
        return kind if kind is not None and kind.audience is self._name.audience else None

    def _is_of_the_owner(self, event: Event) -> bool:
        if event.source != self._owner or event.data.institution != self._name.speaker:
            return False
        return self._name.sender is None or self._misplaced(event.data) is None

    def _open_step_by_step(self, entry: Entry) -> Opened | Refused | None:
        envelope: Envelope | None = None
        try:
            envelope = open_envelope(entry.payload)
            self._check_speaker(envelope)
            route = self._hears.routes.get(envelope.type)
            if route is None and find(envelope.type) is not None:
                return None
            message = open_message(envelope, find)
        except MessageRefused as error:
            # Whoever speaks for another must not hold up that one's things either.
            own = envelope is not None and error.code != "wrong_institution"
            key = envelope.subject if envelope and own else f"?{entry.position}"
            return Refused(entry, key, envelope.type if envelope else None, Refusal(error.code, str(error)))
        refusal = self._misplaced(message)
        if refusal is not None:
            return Refused(entry, message.key, message.type, refusal)
        return None if route is None else Opened(self._stream, entry, message, route)

    def _misplaced(self, message: Message) -> Refusal | None:
        if message.audience is not self._name.audience:
            return Refusal("wrong_audience", f"'{message.type}' is not for this stream")
        # A box is named by its addressee: what was written to one must not be read by another.
        if isinstance(message, SealedMessage) and message.to != self._name.institution:
            return Refusal("wrong_addressee", f"a message to '{message.to}' in the box of '{self._name.institution}'")
        return None

    def _check_speaker(self, envelope: Envelope) -> None:
        """Refuse what does not come from whom the stream belongs to: nobody speaks for another."""
        if envelope.source != self._owner:
            raise MessageRefused("wrong_institution", f"'{envelope.source}' on the stream of '{self._owner}'")

    def key_of(self, entry: Entry) -> str:
        """Give the key of an entry, or a word that stands for its position where the key cannot be read."""
        found = self.open(entry)
        if isinstance(found, Opened):
            return found.message.key
        return found.key if found else f"?{entry.position}"

    async def apply(self, entries: list[Entry], work: Work[Any], *, parked: bool = True, guarded: bool = True) -> None:
        """Do what the entries ask; what cannot be done is parked, and what belongs behind a parked one queues there.

        `parked` tells whether anything of the stream may be. Without a guard around each part, which costs as much as
        a small part itself, a failure raises Unguarded: the whole is to be rolled back and done again with guards.
        """
        self._guarded = guarded
        closed = await parking.open_keys(work.connection, self._stream) if parked else set()
        doing: asyncio.Task[None] | None = None
        breath = Breath()
        try:
            for start in range(0, len(entries), PART):
                # The next part is read while the database works on the one before.
                found = []
                for entry in entries[start : start + PART]:
                    found.append(self.open(entry))
                    if len(entry.payload) > LARGE:
                        await breath.take()
                if doing is not None:
                    await doing
                if start + PART >= len(entries):
                    await self._do_part(found, work, closed)
                    return
                doing = asyncio.create_task(self._do_part(found, work, closed))
                await asyncio.sleep(0)
        finally:
            if doing is not None and not doing.done():
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)

    async def _do_part(self, found: list[Opened | Refused | None], work: Work[Any], closed: set[str]) -> None:
        opened: list[Opened] = []
        for one in found:
            if isinstance(one, Refused):
                await self._do(opened, work, closed)
                opened = []
                await self._park(one.entry, one.key, one.type_word, one.refusal, work, closed)
            elif one is not None:
                opened.append(one)
        await self._do(opened, work, closed)

    async def apply_one(self, entry: Entry, work: Work[Any]) -> Refusal | None:
        """Do what one entry asks; give the reason where it cannot be done."""
        self._guarded = True
        found = self.open(entry)
        if isinstance(found, Refused):
            return found.refusal
        return None if found is None else await self._try([found], found.route, work)

    async def _do(self, opened: list[Opened], work: Work[Any], closed: set[str]) -> None:
        for route, group in _groups(opened):
            free = [one for one in group if one.message.key not in closed] if closed else group
            if route.whole and (not free or await self._try(free, route, work) is None):
                rest = [one for one in group if one.message.key in closed] if closed else []
            else:
                rest = group
            for one in rest:
                await self._do_one(one, work, closed)

    async def _do_one(self, one: Opened, work: Work[Any], closed: set[str]) -> None:
        key = one.message.key
        if key in closed:
            refusal = Refusal("behind_parked", "an earlier message of the same thing is parked")
            await parking.park(
                work.connection, self._stream, one.entry, key=key, type_word=one.message.type,
                refusal=refusal, now=work.now, state="behind",
            )  # fmt: skip
            return
        refused = await self._try([one], one.route, work)
        if refused is not None:
            await self._park(one.entry, key, one.message.type, refused, work, closed)

    async def _try(self, group: list[Opened], route: Route, work: Work[Any]) -> Refusal | None:
        """Call the handler in a savepoint; give the reason if it fails for good, raise if it may work in a moment."""
        mark = work.mark()
        try:
            async with work.connection.begin_nested() if self._guarded else nullcontext(), in_time(work.connection):
                await route.give(group, work)
        except Exception as error:
            work.take_back(mark)
            if is_transient(error):
                raise
            if not self._guarded:
                raise Unguarded from error
            return Refusal(type(error).__name__, f"{type(error).__name__}: {words_of(error)}")
        return None

    async def _park(
        self, entry: Entry, key: str, type_word: str | None, refusal: Refusal, work: Work[Any], closed: set[str]
    ) -> None:
        closed.add(key)
        await parking.park(
            work.connection, self._stream, entry, key=key, type_word=type_word, refusal=refusal, now=work.now
        )
        log.warning("message_parked", stream=self._stream, position=str(entry.position), code=refusal.code)


def _groups(opened: list[Opened]) -> Iterator[tuple[Route, list[Opened]]]:
    """Cut into stretches that one call may take: neighbours of one route for whole states, or single messages."""
    group: list[Opened] = []
    for one in opened:
        if group and not (one.route is group[0].route and one.route.whole):
            yield group[0].route, group
            group = []
        group.append(one)
    if group:
        yield group[0].route, group
