"""API keys over HTTP: who calls, what the key opens, and no more of it at once than its share."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from shared.contract.words import InstitutionState
from shared.kit.admission import COUNTED, Door
from shared.kit.directory import Key, find_key
from shared.kit.errors import Forbidden, Unauthorised
from shared.kit.fairness import lane
from shared.kit.node import Node
from shared.kit.work import joint


def node_of(request: Request) -> Node[Any]:
    """Give the running service behind a request."""
    node: Node[Any] = request.app.state.node
    return node


def door_of(request: Request) -> Door:
    """Give what keeps each institution to its share in this process."""
    door: Door = request.app.state.door
    return door


_bearer = HTTPBearer(auto_error=False, description="An API key from `album keys issue`")
_Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(scope: str) -> Callable[..., Awaitable[Key]]:
    """Demand a key with a scope; where the path names an institution, the key must be that institution's own."""

    async def check(request: Request, bearer: _Bearer) -> Key:
        if bearer is None:
            raise Unauthorised("send an API key: 'Authorization: Bearer album_…'")
        key = await _known(request, bearer.credentials)
        if key is None:
            raise Unauthorised("this API key is unknown or revoked")
        shared = joint.get()
        if shared is not None:
            shared.caller = key.key_id
        if request.method == "POST" and COUNTED not in request.scope:
            door_of(request).requests.take(key.institution)
        _check_key(key, scope, request.path_params.get("institution"), node_of(request).settings.office)
        return key

    return check


async def _known(request: Request, secret: str) -> Key | None:
    """Look a key up; who tries unknown ones waits for others who do, and for nobody else."""
    door, authorization = door_of(request), request.headers["authorization"]
    known = door.senders.of(request.scope).known
    async with nullcontext() if known else door.unknown_keys.turn(), node_of(request).database.reading() as connection:
        key = await find_key(connection, secret)
    door.senders.learn(authorization, key.institution if key else None)
    if key is not None:
        lane.set(key.institution)
    return key


def _check_key(key: Key, scope: str, institution: str | None, office: str) -> None:
    if scope == "office" and key.institution != office:
        raise Forbidden(f"only the coordination office may do this, the key is '{key.institution}'s")
    if scope not in key.scopes:
        raise Forbidden(f"the key lacks the scope '{scope}'", code="scope_missing")
    if institution is not None and institution != key.institution:
        raise Forbidden(f"the key is '{key.institution}'s, not '{institution}'s", code="other_institution")
    if scope == "write" and key.state is not InstitutionState.ACTIVE:
        state = key.state.value if key.state else "not known yet"
        raise Forbidden(f"'{key.institution}' is {state}; only an active institution publishes", code="not_active")


ReadKey = Annotated[Key, Depends(caller("read"))]
WriteKey = Annotated[Key, Depends(caller("write"))]
OfficeKey = Annotated[Key, Depends(caller("office"))]
