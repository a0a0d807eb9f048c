"""`If-Match`: a change is made to the state that its sender has seen, or not at all."""

import re
from contextvars import ContextVar
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.contract.words import ID
from shared.kit.errors import Problem

T = TypeVar("T")
# Who comes and goes changes these, and what was told counts on: nobody has edited anything.
_COUNTED = {"taken", "held", "waiting", "counted_at", "version"}

TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {
                "description": "Names this state; it may come back as `If-Match` with a change",
                "required": True,
                "schema": {"type": "string"},
            }
        }
    }
}
"""The `responses` of a route that answers with an ETag; what changes things below its path then knows `If-Match`."""


class VersionMismatch(Problem):
    """The thing has changed since the caller saw it."""

    status = 412
    code = "version_mismatch"


_ID = re.compile(ID)
_STRONG = re.compile(r'(W/)?"([^"]*)"')


@dataclass
class _Wanted:
    thing: str
    states: frozenset[str]
    met: bool = False


_wanted: ContextVar[_Wanted | None] = ContextVar("wanted", default=None)


def tag_of(thing: Any) -> str:
    """Give the tag of a thing's state: a hash of all that it holds, without its counts.

    The hash of the whole answer comes behind it where it goes out (`shared/kit/tagging.py`).
    """
    held = [(each.name, getattr(thing, each.name)) for each in fields(thing) if each.name not in _COUNTED]
    return f'"{sha256(repr(held).encode()).hexdigest()[:32]}"'


def matched(thing: T) -> T:
    """Give a locked thing back; raises VersionMismatch where the request names it and has seen another state."""
    wanted = _wanted.get()
    # Once met it is met: what the request itself changes is locked again in the same transaction.
    if wanted is None or wanted.met or thing.id != wanted.thing:  # type: ignore[attr-defined] # every thing has an id
        return thing
    if "*" not in wanted.states and tag_of(thing).strip('"') not in wanted.states:
        raise VersionMismatch("it has changed since; look at it again and send the new ETag")
    wanted.met = True
    return thing


def is_wanted() -> bool:
    """Tell whether the request at hand came with `If-Match`."""
    return _wanted.get() is not None


def check_met() -> None:
    """Raise VersionMismatch where the request has seen a state that nothing it changes was compared with."""
    wanted = _wanted.get()
    if wanted is not None and not wanted.met:
        raise VersionMismatch("nothing that this request changes has such an ETag; send it without If-Match")


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
        token = _wanted.set(_Wanted(_named_in(scope["path"]), _states_in(seen)))
        try:
            await self._app(scope, receive, send)
        finally:
            _wanted.reset(token)


def _named_in(path: str) -> str:
    """Give the thing that a request is about: the last id in its path, else the institution."""
    parts = path.split("/")
    ids = [part for part in parts if _ID.match(part)]
    return ids[-1] if ids else parts[2] if len(parts) > 2 else ""


def _states_in(seen: str) -> frozenset[str]:
    """Give the tags of states in an `If-Match`; a weak ETag never matches (RFC 9110)."""
    if seen.strip() == "*":
        return frozenset("*")
    return frozenset(tag.split(".")[0] for weak, tag in _STRONG.findall(seen) if not weak)
