"""Errors that a person can act on; expected ones carry a status and a stable code (RFC 9457)."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem, and so does everybody who reads one
    """Something that was asked cannot be done; `code` is stable, `detail` says what to do."""

    status = 400
    code = "bad_request"

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


class Transient(Exception):  # noqa: N818 - named for what it is: it goes away
    """What failed may work in a moment: wait, then try the same again."""
