"""Errors that a person can act on; expected ones carry a status and a stable code (RFC 9457)."""

import sqlite3
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from fastapi.exceptions import ValidationException
from pydantic import ValidationError

from shared.contract.words import LARGEST, MOST

TITLES = {
    400: "Bad request",
    401: "Unauthorised",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    412: "Has changed",
    413: "Too large",
    415: "Of a kind that is not read",
    422: "Does not fit",
    429: "Too many",
    500: "Fault of the service",
    503: "Unavailable",
}


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem, and so does everybody who reads one
    """Something that was asked cannot be done; `code` is stable, `detail` says what to do."""

    status = 400
    code = "bad_request"
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code


class NotFound(Problem):
    """There is no such thing, or it is not the caller's to see."""

    status = 404
    code = "not_found"


class Forbidden(Problem):
    """The caller is known, but this is not the caller's to do."""

    status = 403
    code = "forbidden"


class Unauthorised(Problem):
    """No valid key came with the request."""

    status = 401
    code = "key_missing_or_unknown"


class Conflict(Problem):
    """The thing is in a state in which this cannot be done."""

    status = 409
    code = "conflict"


class Invalid(Problem):
    """What was sent does not fit."""

    status = 422
    code = "invalid"


class TooLarge(Problem):
    """What was sent is larger than the limit."""

    status = 413
    code = "too_large"


class Unavailable(Problem):
    """Something the service needs does not answer at the moment; asking again helps."""

    status = 503
    code = "unavailable"
    headers = MappingProxyType({"Retry-After": "1"})


class Transient(Exception):  # noqa: N818 - named for what it is: it goes away
    """What failed may work in a moment: wait, then try the same again."""


class Unsure(Transient):
    """The service may know less than it once told: what it told now could be older than what others know."""

    def __init__(self) -> None:
        super().__init__("the service has just started and still compares what it knows with what it told")


def words_of(error: BaseException) -> str:
    """Give the words of an error without the values that failed: they may be personal.

    PostgreSQL quotes whole rows in its details, pydantic and FastAPI quote what was sent.
    """
    if isinstance(error, sa.exc.StatementError):
        return type(error.orig).__name__ if error.orig else "no cause"
    if isinstance(error, ValidationError | ValidationException):
        faults = error.errors()
        return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['type']}" for fault in faults[:5])
    if isinstance(error, sqlite3.Error) or getattr(error, "sqlstate", None) is not None:
        return str(getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or "no code")
    return str(error)


def is_too_far(fault: Mapping[str, Any]) -> bool:
    """Tell of one of pydantic's faults whether a day, a moment or a number lies beyond what is held here.

    No schema says so: JSON Schema cannot, of a text, and the released ones do not, of a number. Whoever keeps to the
    schema needs a code of its own.
    """
    limits = fault.get("ctx", {})
    return limits.get("le") in (LARGEST, MOST) or any(isinstance(limits.get(word), str | date) for word in ("ge", "lt"))
