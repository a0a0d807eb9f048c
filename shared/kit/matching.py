"""`ETag` and `If-Match`: a change is made to the state that its sender has seen, or not at all."""

from contextvars import ContextVar
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.kit.errors import Problem

T = TypeVar("T")
# Who comes and goes changes these, and what was told counts on: nobody has edited anything.
_COUNTED = {"taken", "held", "waiting", "counted_at", "version"}


class VersionMismatch(Problem):
    """The thing has changed since the caller saw it."""

    status = 412
    code = "version_mismatch"


@dataclass
class _Wanted:
    path: frozenset[str]
    tags: frozenset[str]
    met: bool = False


_wanted: ContextVar[_Wanted | None] = ContextVar("wanted", default=None)


def tag_of(thing: Any) -> str:
    """Give the ETag of a thing: a hash of all that it holds, without its counts."""
    held = [(each.name, getattr(thing, each.name)) for each in fields(thing) if each.name not in _COUNTED]
    return f'"{sha256(repr(held).encode()).hexdigest()[:32]}"'


def matched(thing: T) -> T:
    """Give a locked thing back; raises VersionMismatch where the request names it and has seen another state."""
    wanted = _wanted.get()
    # Once met it is met: what the request itself changes is locked again in the same transaction.
    if wanted is None or wanted.met or thing.id not in wanted.path:  # type: ignore[attr-defined] # every thing has an id
        return thing
    if "*" not in wanted.tags and tag_of(thing) not in wanted.tags:
        raise VersionMismatch("it has changed since; look at it again and send the new ETag")
    wanted.met = True
    return thing


class Matching:
    """Holds what a request with `If-Match` has seen, for whoever locks the thing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        seen = Headers(scope=scope).get("if-match") if scope["type"] == "http" else None
        if seen is None or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        tags = frozenset(tag.strip() for tag in seen.split(","))
        token = _wanted.set(_Wanted(frozenset(scope["path"].split("/")), tags))
        try:
            await self._app(scope, receive, send)
        finally:
            _wanted.reset(token)
