"""HTTP as all services speak it: problem details, API keys, health, metrics, and the log for readers with a gap."""

import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contract.envelope import MessageRefused
from shared.contract.words import InstitutionState, Slug
from shared.kit import health, outbox
from shared.kit.applying import is_transient
from shared.kit.directory import Key, find_key
from shared.kit.errors import Forbidden, Invalid, NotFound, Problem, TooLarge, Unauthorised, Unavailable
from shared.kit.node import Node, node_key
from shared.kit.streams import Position

log = structlog.get_logger()

BODY_LIMIT = 1024 * 1024
UPLOAD_LIMIT = 32 * 1024 * 1024


class ProblemDetails(BaseModel):
    """What went wrong, for the person who can act (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": text}
    for status, text in {
        401: "No valid key came with the request",
        403: "This is not the key's to do",
        404: "There is no such thing",
        409: "The thing is in a state in which this cannot be done",
        413: "What was sent is too large",
        422: "What was sent does not fit",
    }.items()
}

_TITLES = {
    400: "Bad request",
    401: "Unauthorised",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    422: "Does not fit",
    429: "Too many",
    500: "Fault of the service",
    503: "Unavailable",
}


def node_of(request: Request) -> Node[Any]:
    """Give the running service behind a request."""
    node: Node[Any] = request.app.state.node
    return node


_bearer = HTTPBearer(auto_error=False, description="An API key from `album keys issue`")
_Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(scope: str) -> Callable[..., Awaitable[Key]]:
    """Demand a key with a scope; where the path names an institution, the key must be that institution's own."""

    async def check(request: Request, bearer: _Bearer) -> Key:
        if bearer is None:
            raise Unauthorised("send an API key: 'Authorization: Bearer album_…'")
        async with node_of(request).database.reading() as connection:
            key = await find_key(connection, bearer.credentials)
        if key is None:
            raise Unauthorised("this API key is unknown or revoked")
        _check_key(key, scope, request.path_params.get("institution"), node_of(request).settings.office)
        return key

    return check


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

_kit = APIRouter()


class KeyReport(BaseModel):
    """What an API key opens at this service."""

    key_id: str
    institution: str
    scopes: tuple[str, ...]
    state: InstitutionState | None
    may_write: bool


@_kit.get("/institutions/{institution}/key", tags=["key"], responses=ANSWERS)
async def show_key(institution: Annotated[Slug, Path()], key: ReadKey) -> KeyReport:
    """Tell what the caller's key opens, and whether this service knows the institution as active yet."""
    may_write = "write" in key.scopes and key.state is InstitutionState.ACTIVE
    return KeyReport(
        key_id=key.key_id, institution=key.institution, scopes=key.scopes, state=key.state, may_write=may_write
    )


@_kit.get("/health/live", tags=["health"])
async def live() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "live"}


@_kit.get("/health/ready", tags=["health"], responses={503: {"model": health.Report}})
async def ready(request: Request) -> Response:
    """Tell whether the service reaches its database and Redis, and keeps up with its streams."""
    report = await health.report(node_of(request))
    return JSONResponse(report.model_dump(), status_code=200 if report.ready else 503)


@_kit.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Give the figures for Prometheus."""
    node = node_of(request)
    await health.measure(node)
    return Response(generate_latest(node.registry), media_type="text/plain; version=0.0.4")


@_kit.get("/log", include_in_schema=False)
async def log_behind(
    request: Request,
    stream: str,
    after: Annotated[str, Query(pattern=r"^\d{1,9}-\d{1,18}$")],
    count: Annotated[int, Query(ge=1, le=500)] = 500,
    authorization: Annotated[str, Header()] = "",
) -> dict[str, Any]:
    """Give what a stream must hold behind a position, to the other services of the node."""
    node = node_of(request)
    # Own streams hold contacts: without the node's key nobody may know that the route exists.
    if not hmac.compare_digest(authorization.encode(), f"Bearer {node_key(node.settings)}".encode()):
        raise NotFound("there is nothing here")
    async with node.database.reading() as connection:
        page = await outbox.log_after(connection, stream, Position.parse(after), count)
    return {
        "entries": [{"id": str(e.position), "p": base64.b64encode(e.payload).decode(), "h": e.hash.hex()} for e in page]
    }


class BodyLimit:
    """Refuses bodies that are too large while they arrive, before they fill the memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting what it brings."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = UPLOAD_LIMIT if scope["path"].endswith("/imports") else BODY_LIMIT
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # FastAPI passes on this class alone while it reads a body; any other one would become a 400.
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            return message

        await self._app(scope, counted, send)


def application(node: Node[Any], **options: Any) -> FastAPI:
    """Give the web application of a service around its own routes."""
    service = node.service
    app = FastAPI(title=f"ALBuM {service.name}", version="1", **options)
    app.state.node = node
    app.include_router(_kit)
    app.include_router(service.api, responses=ANSWERS)
    app.add_middleware(BodyLimit)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(MessageRefused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_fault)
    return app


def _problem(status: int, code: str, detail: str) -> JSONResponse:
    body = ProblemDetails(title=_TITLES.get(status, "Problem"), status=status, code=code, detail=detail)
    return JSONResponse(body.model_dump(), status_code=status, media_type="application/problem+json")


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return _problem(error.status, error.code, error.detail)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, MessageRefused)  # noqa: S101 - registered for this class only
    problem = (TooLarge if error.code == "too_large" else Invalid)(str(error), code=error.code)
    return _problem(problem.status, problem.code, problem.detail)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    faults = [f"{'.'.join(str(p) for p in e['loc'][1:]) or e['loc'][0]}: {e['msg']}" for e in error.errors()]
    return _problem(422, "invalid", "; ".join(faults[:5]))


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    codes = {404: "not_found", 405: "method_not_allowed", 413: TooLarge.code}
    return _problem(error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail))


async def _on_fault(request: Request, error: Exception) -> Response:
    if is_transient(error):
        log.warning("request_failed", path=request.scope.get("route_path", "?"), reason=type(error).__name__)
        return _problem(503, Unavailable.code, "the database does not answer at the moment; please try again")
    log.error("request_fault", reason=type(error).__name__, exc_info=error)
    return _problem(500, "fault", "the service has a fault; the operator finds it in the log")
