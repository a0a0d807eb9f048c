"""HTTP as all services speak it: problem details, API keys, health, metrics, and the log for readers with a gap."""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contract.envelope import MessageRefused
from shared.contract.words import InstitutionState, Slug
from shared.kit import health, outbox, reading, receiving
from shared.kit.admission import Admission, Door
from shared.kit.applying import is_transient
from shared.kit.changes import public_types
from shared.kit.describing import VERSION, ProblemDetails, described
from shared.kit.errors import (
    TITLES,
    Invalid,
    NotFound,
    Problem,
    TooLarge,
    Transient,
    Unauthorised,
    Unavailable,
    Unsure,
    is_too_far,
    words_of,
)
from shared.kit.head_only import HeadOnly
from shared.kit.idempotency import Idempotent, Replayed
from shared.kit.keys import OfficeKey, ReadKey, WriteKey, caller, node_of
from shared.kit.limits import TooMany
from shared.kit.matching import Matching
from shared.kit.node import Node, node_key
from shared.kit.streams import Position
from shared.kit.tagging import Tagged
from shared.kit.unsure import CommandsWait

__all__ = ["OfficeKey", "ProblemDetails", "ReadKey", "WriteKey", "application", "caller", "node_of"]

log = structlog.get_logger()

_kit = APIRouter()
_NOT_PARSED = "There was an error parsing the body"
"""What FastAPI says of bytes that are no text."""


class KeyReport(BaseModel):
    """What an API key opens at this service."""

    key_id: str
    institution: str
    scopes: tuple[str, ...]
    state: InstitutionState | None
    may_write: bool


@_kit.get("/institutions/{institution}/key", tags=["key"])
async def show_key(institution: Annotated[Slug, Path()], key: ReadKey) -> KeyReport:
    """Tell what the caller's key opens, and whether this service knows the institution as active yet."""
    may_write = "write" in key.scopes and key.state is InstitutionState.ACTIVE
    return KeyReport(
        key_id=key.key_id, institution=key.institution, scopes=key.scopes, state=key.state, may_write=may_write
    )


@_kit.get("/health/live", tags=["health"])
async def live(response: Response) -> dict[str, str]:
    """Tell that the process answers."""
    response.headers["Cache-Control"] = "no-store"
    return {"status": "live"}


@_kit.get("/health/ready", tags=["health"], responses={503: {"model": health.Report}})
async def ready(request: Request) -> Response:
    """Tell whether the service reaches its database and Redis, and keeps up with its streams."""
    report = await health.report(node_of(request))
    return JSONResponse(report.model_dump(), 200 if report.ready else 503, {"Cache-Control": "no-store"})


@_kit.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Give the figures for Prometheus."""
    node = node_of(request)
    await health.measure(node)
    return Response(generate_latest(node.registry), media_type="text/plain; version=0.0.4")


async def only_the_node(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    """Own streams hold contacts: without the node's key nobody may know that the route exists."""
    wanted = f"Bearer {node_key(node_of(request).settings)}"
    if not hmac.compare_digest(authorization.encode(), wanted.encode()):
        raise NotFound("Not Found")


@_kit.get("/log", include_in_schema=False, dependencies=[Depends(only_the_node)])
async def log_behind(
    request: Request,
    response: Response,
    stream: str,
    after: Annotated[str, Query(pattern=r"^\d{1,9}-\d{1,18}$")],
    count: Annotated[int, Query(ge=1, le=500)] = 500,
) -> dict[str, Any]:
    """Give what a stream must hold behind a position, to the other services of the node."""
    response.headers["Cache-Control"] = "no-store"
    async with node_of(request).database.reading() as connection:
        page = await outbox.log_after(connection, stream, Position.parse(after), count)
    return {
        "entries": [{"id": str(e.position), "p": base64.b64encode(e.payload).decode(), "h": e.hash.hex()} for e in page]
    }


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
        except ClientDisconnect:
            return  # who hung up hears nothing, and it is nobody's fault
        except Exception as error:
            if scope["type"] != "http" or begun:
                raise
            await _on_fault(scope, error)(scope, receive, send)


def application(node: Node[Any], **options: Any) -> FastAPI:
    """Give the web application of a service around its own routes."""
    service = node.service
    title = f"ALBuM {service.name}"
    app = FastAPI(title=title, version=VERSION, generate_unique_id_function=lambda route: route.name, **options)
    app.state.node = node
    app.include_router(_kit)
    app.include_router(receiving.router)
    if public_types(service.name):
        app.include_router(reading.router)
    app.include_router(service.api)
    for router in (router for part in service.parts for router in part.routers):
        app.include_router(router)
    settings = node.settings
    door = Door(settings.rate, settings.burst, settings.byte_rate, settings.byte_burst)
    app.state.door = door
    app.add_middleware(Idempotent, works=node.works)
    app.add_middleware(Matching)
    app.add_middleware(Tagged)
    app.add_middleware(CommandsWait, works=node.works)
    app.add_middleware(Faults)
    app.add_middleware(HeadOnly)
    app.add_middleware(Admission, door=door, refuse=_refusal)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Replayed, _on_replayed)
    app.add_exception_handler(MessageRefused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    plain = app.openapi
    app.openapi = lambda: described(receiving.with_events(plain(), service.takes))  # type: ignore[method-assign] # FastAPI's own way to extend it
    return app


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = ProblemDetails(title=TITLES.get(status, "Problem"), status=status, code=code, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return _refusal(error)


def _refusal(error: Problem) -> Response:
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
    faults = error.errors()
    code = "too_far" if all(map(is_too_far, faults)) else "invalid"
    return _problem(422, code, "; ".join(map(_fault, faults[:5])))


def _fault(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"the body is no JSON at character {error['loc'][-1]}"
    return f"{'.'.join(str(part) for part in error['loc'][1:]) or error['loc'][0]}: {error['msg']}"


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    if error.status_code == 405:
        error.headers = {"Allow": ", ".join(_methods_at(request))}
    detail = "the body is no JSON in UTF-8" if error.detail == _NOT_PARSED else str(error.detail)
    codes = {404: "not_found", 405: "method_not_allowed", 413: TooLarge.code, 429: TooMany.code, 503: Unavailable.code}
    return _problem(error.status_code, codes.get(error.status_code, "bad_request"), detail, error.headers)


def _methods_at(request: Request) -> list[str]:
    """Give every method of a path: each route knows its own only, and the first one answers."""
    asked = {method: {**request.scope, "method": method} for method in ("DELETE", "GET", "PATCH", "POST", "PUT")}
    routes = request.app.router.routes
    return [method for method, scope in asked.items() if any(one.matches(scope)[0] is Match.FULL for one in routes)]


def _away(error: Exception) -> str:
    """Say what does not answer; errors of a driver are the database's."""
    if not isinstance(error, Transient):
        return "the database does not answer at the moment"
    if isinstance(error, Unsure):
        return str(error)
    said = re.match(r"[\w ]+ does not answer", str(error))
    return f"{said[0] if said else 'what this needs is not ready'} at the moment"


def _on_fault(scope: Scope, error: Exception) -> Response:
    path = getattr(scope.get("route"), "path", "?")
    if is_transient(error):
        log.warning("request_failed", path=path, reason=f"{type(error).__name__}: {words_of(error)}")
        return _problem(503, Unavailable.code, f"{_away(error)}; please try again", Unavailable.headers)
    log.error("request_fault", path=path, reason=type(error).__name__, exc_info=error)
    return _problem(500, "fault", "the service has a fault; the operator finds it in the log")
