"""The door of a service: who sends, whether it is that sender's turn, and how many bytes of bodies are held at once.

All of it is decided before a body is read, a key is looked up or a database is asked: a refusal costs next to nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kit.clock import monotonic
from shared.kit.errors import Problem, Unavailable
from shared.kit.fairness import Gate, lane
from shared.kit.limits import Limits

BODY_LIMIT = 1024 * 1024
UPLOAD_LIMIT = 32 * 1024 * 1024
BODY_SECONDS = 30.0
MOST_KNOWN = 10_000
MIB = 1024 * 1024
COUNTED = "album.counted"


@dataclass(frozen=True)
class Sender:
    """Who sends: the institution whose key came before and was good, else an address."""

    name: str
    known: bool


class Senders:
    """Keys that were good when they came last, by their SHA-256; what a key opens is still asked of the database."""

    def __init__(self) -> None:
        self._institutions: dict[str, str] = {}

    def of(self, scope: Scope) -> Sender:
        """Tell who sends a request."""
        institution = self._institutions.get(_fingerprint(Headers(scope=scope).get("authorization", "")))
        if institution is not None:
            return Sender(institution, known=True)
        client = scope.get("client")
        return Sender(f"address {client[0] if client else 'unknown'}", known=False)

    def learn(self, authorization: str, institution: str | None) -> None:
        """Remember whose key this is, or that it opens nothing any more."""
        self._institutions.pop(_fingerprint(authorization), None)
        if institution is not None:
            if len(self._institutions) >= MOST_KNOWN:
                self._institutions.clear()
            self._institutions[_fingerprint(authorization)] = institution


def _fingerprint(authorization: str) -> str:
    return sha256(authorization.encode()).hexdigest()


class Bodies:
    """How many bytes of bodies a process holds at once: of all, of one sender, and of all strangers together."""

    def __init__(self, total: int, share: int, strangers: int) -> None:
        self._total = total
        self._share = share
        self._strangers = strangers
        self._held: Counter[str] = Counter()
        self._of_strangers = 0

    def hold(self, sender: Sender, count: int) -> None:
        """Hold bytes that have arrived; raises HTTPException 429 above the sender's share, 503 where all is full."""
        # FastAPI passes on this class alone while it reads a body; any other one would become a 400.
        if self._held[sender.name] + count > self._share:
            raise HTTPException(429, "too much is on its way to us already; one after the other", {"Retry-After": "1"})
        full = sum(self._held.values()) + count > self._total
        if full or (not sender.known and self._of_strangers + count > self._strangers):
            raise HTTPException(503, "too much is on its way to us at the moment", dict(Unavailable.headers))
        self._held[sender.name] += count
        self._of_strangers += 0 if sender.known else count

    def release(self, sender: Sender, count: int) -> None:
        """Let bytes go."""
        self._held[sender.name] -= count
        self._of_strangers -= 0 if sender.known else count
        if not self._held[sender.name]:
            del self._held[sender.name]


class Door:
    """What a process knows of its senders: their keys, their shares of requests and bytes, and who waits."""

    def __init__(self, rate: float, burst: int, byte_rate: float, byte_burst: int) -> None:
        self.senders = Senders()
        self.requests = Limits(rate, burst)
        self.bytes = Limits(byte_rate, byte_burst, "bytes")
        self.bodies = Bodies(total=48 * MIB, share=6 * MIB, strangers=12 * MIB)
        self.uploads = Bodies(total=128 * MIB, share=UPLOAD_LIMIT, strangers=UPLOAD_LIMIT)
        self.unknown_keys = Gate(places=2, share=2)
        self.takers = Gate(places=4, share=1)

    def check(self, scope: Scope, sender: Sender) -> None:
        """Count a request of somebody known; raises TooMany."""
        if scope["method"] == "POST" and sender.known:
            self.bytes.take(sender.name, 0)
            self.requests.take(sender.name)
            scope[COUNTED] = True


class Admission:
    """Refuses what is too much, and bodies that are too large, while they arrive and before they fill the memory."""

    def __init__(self, app: ASGIApp, door: Door, refuse: Callable[[Problem], Response]) -> None:
        self._app = app
        self._door = door
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting what it brings."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sender = self._door.senders.of(scope)
        lane.set(sender.name)
        try:
            self._door.check(scope, sender)
        except Problem as problem:
            await self._refuse(problem)(scope, receive, send)
            return
        is_upload = scope["path"].endswith("/imports")
        bodies = self._door.uploads if is_upload else self._door.bodies
        body = _Body(receive, sender, bodies, UPLOAD_LIMIT if is_upload else BODY_LIMIT)
        try:
            await self._app(scope, body.receive, send)
        finally:
            bodies.release(sender, body.held)
            if sender.known:
                self._door.bytes.charge(sender.name, body.held)


class _Body:
    """The body of one request while it arrives."""

    def __init__(self, receive: Receive, sender: Sender, bodies: Bodies, limit: int) -> None:
        self._receive = receive
        self._sender = sender
        self._bodies = bodies
        self._limit = limit
        self._until = monotonic() + BODY_SECONDS
        self._complete = False
        self.held = 0

    async def receive(self) -> Message:
        """Give the next part; raises HTTPException where it is too much, or comes too slowly."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._until - monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:g} seconds") from None
        count = len(message.get("body", b""))
        if self.held + count > self._limit:
            raise HTTPException(413, f"the body is larger than {self._limit} bytes")
        if count:
            self._bodies.hold(self._sender, count)
            self.held += count
        self._complete = not message.get("more_body", False)
        return message
