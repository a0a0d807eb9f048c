"""`Idempotency-Key`: a POST that is sent again is answered again, and has its effect once.

The answer is kept in the transaction of the effect. All units of work that a request opens join one transaction, which
is committed when the answer is known, and before it is sent; there is no moment at which one of both is kept alone.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kit.database import upsert
from shared.kit.errors import Invalid, Problem
from shared.kit.tables import answered
from shared.kit.work import Works, joint

KEPT = timedelta(days=7)
LONGEST = 200
_NOT_AGAIN = {"content-length", "date"}


class KeyInUse(Problem):
    """The same request is being worked on at this moment, or was, and its answer is not kept."""

    status = 409
    code = "idempotency_key_in_use"


class Replayed(Exception):  # noqa: N818 - no error: it carries the answer that was given before
    """The request was answered before; `response` is that answer."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


class _Undone(Exception):  # noqa: N818 - rolls back what a refused request began
    """What was refused has no effect."""


class Once:
    """The one transaction of a request with a key; `caller` is set by whoever checks the API key."""

    def __init__(self, works: Works[Any], running: set[str], route: str, key: str, body: "_Body") -> None:
        self.caller = ""
        self.stack = AsyncExitStack()
        self._works = works
        self._running = running
        self._route = route
        self._key = key
        self._body = body
        self._body_sha256 = ""
        self._connection: AsyncConnection | None = None
        self._id = ""
        self._told = False

    @asynccontextmanager
    async def part(self) -> AsyncIterator[AsyncConnection]:
        """Open a part of the transaction; raises Replayed where the request was answered before."""
        connection = self._connection or await self._begin()
        async with connection.begin_nested():
            yield connection

    @asynccontextmanager
    async def look(self) -> AsyncIterator[AsyncConnection]:
        """Open what reads."""
        if self._connection is not None:
            yield self._connection
            return
        async with self._works.database.reading() as connection:
            yield connection

    def tell(self) -> None:
        """Note that something was told."""
        self._told = True

    async def keep(self, answer: "_Held") -> None:
        """Keep the answer in the transaction; one that must not be stored is only remembered as given."""
        if self._connection is None:
            return
        if answer.status >= 400:
            raise _Undone
        row = {
            "id": self._id,
            "body_sha256": self._body_sha256,
            "status": answer.status,
            "headers": [[name, value] for name, value in answer.headers.items() if name not in _NOT_AGAIN],
            "answer": answer.text(),
            "at": self._works.clock.now(),
        }
        await upsert(self._connection, answered, [row], newer=None)

    def wake(self) -> None:
        """Wake the relay, once everything is committed."""
        if self._told:
            self._works.told.set()

    async def _begin(self) -> AsyncConnection:
        if not (0 < len(self._key) <= LONGEST and self._key.isascii() and self._key.isprintable()):
            raise Invalid(f"Idempotency-Key: 1 to {LONGEST} printable ASCII characters", code="idempotency_key_invalid")
        self._body_sha256 = await self._body.fingerprint()
        self._id = sha256("\n".join((self.caller, self._route, self._key)).encode()).hexdigest()
        if self._id in self._running:
            raise KeyInUse("the same request is being worked on; please wait and ask again")
        self._running.add(self._id)
        self.stack.callback(self._running.discard, self._id)
        connection = await self.stack.enter_async_context(self._works.database.transaction())
        await self._look_back(connection)
        self._connection = connection
        return connection

    async def _look_back(self, connection: AsyncConnection) -> None:
        """Raise what was answered before; nobody else can answer until this transaction ends."""
        # On SQLite another process has waited until here for the one writer, and now finds the answer.
        if connection.dialect.name == "postgresql":
            number = int.from_bytes(bytes.fromhex(self._id[:16]), "big", signed=True)
            locked = await connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(number)))
            if not locked.scalar_one():
                raise KeyInUse("the same request is being worked on; please wait and ask again")
        row = (await connection.execute(sa.select(answered).where(answered.c.id == self._id))).first()
        if row is None or row.at < self._works.clock.now() - KEPT:
            return
        if row.body_sha256 != self._body_sha256:
            raise Invalid("this Idempotency-Key came with another body before", code="idempotency_key_reused")
        if row.answer is None:
            raise KeyInUse("this was done before, and its answer is not kept", code="idempotency_answer_not_kept")
        raise Replayed(_again(row))


def _again(row: sa.Row[Any]) -> Response:
    response = Response(row.answer.encode(), row.status)
    for name, value in row.headers:
        response.headers[name] = value
    response.headers["Idempotency-Replayed"] = "true"
    return response


class _Held:
    """An answer that is held back until its effect is committed."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self.status = 500
        self.headers = Headers()

    async def take(self, message: Message) -> None:
        """Hold a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = Headers(raw=list(message.get("headers", ())))
        self._messages.append(message)

    def text(self) -> str | None:
        """Give the body; None where it says that it must not be stored."""
        if "no-store" in self.headers.get("cache-control", ""):
            return None
        return b"".join(message.get("body", b"") for message in self._messages).decode()

    async def give(self, send: Send) -> None:
        """Send the answer."""
        for message in self._messages:
            await send(message)


class Idempotent:
    """Gives every POST with an `Idempotency-Key` its one transaction."""

    def __init__(self, app: ASGIApp, works: Works[Any]) -> None:
        self._app = app
        self._works = works
        self._running: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; with a key, hold its answer until it is committed with the effect."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        key = headers.get("idempotency-key")
        if key is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, headers)
        query = scope.get("query_string", b"").decode("latin-1")
        once = Once(self._works, self._running, f"{scope['path']}?{query}", key, body)
        held = _Held()
        token = joint.set(once)
        try:
            with suppress(_Undone):
                async with once.stack:
                    await self._app(scope, body.receive, held.take)
                    await once.keep(held)
                once.wake()
        finally:
            joint.reset(token)
        await held.give(send)


class _Body:
    """The body of a request as it is read: whoever is refused before has sent it for nothing, and nobody held it."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        kind, found, boundary = headers.get("content-type", "").partition("boundary=")
        self._kind = kind.strip(" ;").lower().encode("latin-1")
        self._boundary = boundary.split(";")[0].strip(' "').encode("latin-1") if found else b""
        self._parts: list[bytes] = []
        self._hash = sha256(self._kind + b"\n")
        self._complete = False

    async def receive(self) -> Message:
        """Give the next part to who reads it, and note it."""
        message = await self._receive()
        if message["type"] == "http.request" and not self._complete:
            part = message.get("body", b"")
            if self._boundary:
                self._parts.append(part)
            else:
                self._hash.update(part)
            self._complete = not message.get("more_body", False)
        return message

    async def fingerprint(self) -> str:
        """Give the SHA-256 of the body and its media type: the same bytes may be an event, or a batch that is refused.

        The boundary of an upload is made anew for each attempt and does not count.
        """
        while not self._complete:
            if (await self.receive())["type"] == "http.disconnect":
                raise ClientDisconnect
        if self._boundary:
            self._hash.update(b"".join(self._parts).replace(self._boundary, b""))
            self._boundary, self._parts = b"", []
        return self._hash.hexdigest()


async def forget(connection: AsyncConnection, word: str) -> None:
    """Drop kept answers that name something, because it is erased; that they were given stays known."""
    named = answered.c.answer.contains(word, autoescape=True)
    await connection.execute(sa.update(answered).where(named).values(answer=None))


async def forget_old(connection: AsyncConnection, now: datetime) -> None:
    """Drop what was answered more than seven days ago."""
    await connection.execute(sa.delete(answered).where(answered.c.at < now - KEPT))
