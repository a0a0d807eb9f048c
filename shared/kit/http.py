"""HTTP as all services speak it: problem details, API keys, health, metrics, and the log for readers with a gap."""

import base64
import hmac
from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contract.envelope import MessageRefused
from shared.contract.words import InstitutionState, Slug
from shared.kit import health, outbox, receiving
from shared.kit.applying import is_transient
from shared.kit.errors import Invalid, NotFound, Problem, TooLarge, Unauthorised, Unavailable
from shared.kit.idempotency import Idempotent, Replayed, documented
from shared.kit.keys import OfficeKey, ReadKey, WriteKey, caller, node_of
from shared.kit.limits import Limits
from shared.kit.matching import Matching
from shared.kit.node import Node, node_key
from shared.kit.streams import Position

__all__ = ["OfficeKey", "ProblemDetails", "ReadKey", "WriteKey", "application", "caller", "node_of"]

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
        412: "It has changed since the `ETag` that came as `If-Match`",
        413: "What was sent is too large",
        422: "What was sent does not fit",
        429: "The key asks for more than its share; `Retry-After` says when to come back",
    }.items()
}

_TITLES = {
    400: "Bad request",
    401: "Unauthorised",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    412: "Has changed",
    413: "Too large",
    415: "Of a kind that is not read",
    422: "Does not fit",
    429: "Too many",
    500: "Fault of the service",
    503: "Unavailable",
}


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


async def _only_the_node(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    """Own streams hold contacts: without the node's key nobody may know that the route exists."""
    wanted = f"Bearer {node_key(node_of(request).settings)}"
    if not hmac.compare_digest(authorization.encode(), wanted.encode()):
        raise NotFound("Not Found")


@_kit.get("/log", include_in_schema=False, dependencies=[Depends(_only_the_node)])
async def log_behind(
    request: Request,
    stream: str,
    after: Annotated[str, Query(pattern=r"^\d{1,9}-\d{1,18}$")],
    count: Annotated[int, Query(ge=1, le=500)] = 500,
) -> dict[str, Any]:
    """Give what a stream must hold behind a position, to the other services of the node."""
    async with node_of(request).database.reading() as connection:
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


class Faults:
    """Answers what nobody expected; a handler of `Exception` would have it logged again as a crash."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer 503 where asking again helps, else 500."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if scope["type"] != "http" or begun:
                raise
            await _on_fault(scope, error)(scope, receive, send)


def application(node: Node[Any], **options: Any) -> FastAPI:
    """Give the web application of a service around its own routes."""
    service = node.service
    app = FastAPI(title=f"ALBuM {service.name}", version="1", **options)
    app.state.node = node
    app.include_router(_kit)
    app.include_router(receiving.router, responses=ANSWERS)
    app.include_router(service.api, responses=ANSWERS)
    app.state.limits = Limits(node.settings.rate, node.settings.burst)
    app.add_middleware(Idempotent, works=node.works)
    app.add_middleware(Matching)
    app.add_middleware(Faults)
    app.add_middleware(BodyLimit)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Replayed, _on_replayed)
    app.add_exception_handler(MessageRefused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    plain = app.openapi
    app.openapi = lambda: documented(plain())  # type: ignore[method-assign] # FastAPI's own way to extend it
    return app


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = ProblemDetails(title=_TITLES.get(status, "Problem"), status=status, code=code, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    # RFC 9110 demands that a 401 says how to come in.
    headers = {"WWW-Authenticate": "Bearer"} if error.status == Unauthorised.status else error.headers
    return _problem(error.status, error.code, error.detail, headers)


async def _on_replayed(_: Request, error: Exception) -> Response:
    assert isinstance(error, Replayed)  # noqa: S101 - registered for this class only
    return error.response


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
    return _problem(error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail), error.headers)


def _on_fault(scope: Scope, error: Exception) -> Response:
    path = getattr(scope.get("route"), "path", "?")
    if is_transient(error):
        log.warning("request_failed", path=path, reason=type(error).__name__)
        return _problem(503, Unavailable.code, "the database does not answer at the moment; please try again")
    log.error("request_fault", path=path, reason=type(error).__name__, exc_info=error)
    return _problem(500, "fault", "the service has a fault; the operator finds it in the log")
