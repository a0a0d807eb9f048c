"""Makes the OpenAPI document of a service true: what each route can answer follows from what the route is."""

from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from shared.kit.errors import TITLES
from shared.kit.idempotency import LONGEST

Document = dict[str, Any]
VERSION = "1.0.0"
"""The version of all the documents: within 1 nothing is taken away, and each release that adds something counts up."""


class ProblemDetails(BaseModel):
    """What went wrong, for the person who can act (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


_PROBLEMS = {
    400: "The body cannot be read at all",
    401: "No valid key came with the request",
    403: "This is not the key's to do",
    404: "There is no such thing",
    408: "The body came too slowly",
    409: "The thing is in a state in which this cannot be done",
    412: "It has changed since the `ETag` that came as `If-Match`",
    413: "What was sent is too large",
    415: "The body is of a kind that is not read here",
    422: "What was sent does not fit",
    429: "More is asked for than the sender's share",
    503: "Something the service needs does not answer at the moment; asking again helps",
}
_TEXT = {"type": "string"}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "In how many seconds to come back",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to come in", "required": True, "schema": _TEXT}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_REPLAYED = {"description": "`true` where this is the answer that was given before", "schema": _TEXT}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body give the same answer for seven days, and have their effect once",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
_ETAG = {"description": "Names this answer", "required": True, "schema": _TEXT}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the answer that the caller has; 304 where it would be the same",
    "schema": _TEXT,
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the state that the sender has seen; 412 where it is another one now",
    "schema": {"type": "string"},
}


def described(document: Document) -> Document:
    """Give the document that FastAPI makes with the problems and headers of each route.

    A route names a problem in its `responses` only where it does not follow from what the route is.
    """
    document = deepcopy(document)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    tagged = _tagged(document)
    used: set[int] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/health/"):
                used |= _describe(method, path, operation, tagged)
    document["components"]["responses"] = {_name(status): _problem(status) for status in sorted(used)}
    return document


def _tagged(document: Document) -> tuple[str, ...]:
    """Give the private paths whose things come with an ETag."""
    return tuple(
        path
        for path, operations in document["paths"].items()
        if "ETag" in operations.get("get", {}).get("responses", {}).get("200", {}).get("headers", {})
        and operations["get"].get("security")
    )


def _describe(method: str, path: str, operation: Document, tagged: tuple[str, ...]) -> set[int]:
    parameters = operation.setdefault("parameters", [])
    matched = method != "get" and any(f"{path}/".startswith(f"{one}/") for one in tagged)
    if matched:
        parameters.append(_IF_MATCH)
    if method == "post":
        parameters.append(_IDEMPOTENCY_KEY)
    if method == "get":
        _describe_tag(parameters, operation["responses"])
    if not parameters:
        del operation["parameters"]
    answers = operation["responses"]
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]
    own = {int(status) for status in answers if int(status) in _PROBLEMS}
    statuses = _statuses(method, path, operation, matched) | own
    if method == "post":
        for status in answers.keys() - {str(each) for each in own}:
            answers[status].setdefault("headers", {})["Idempotency-Replayed"] = _REPLAYED
    answers |= {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted(statuses)}
    return statuses


def _describe_tag(parameters: list[Document], answers: Document) -> None:
    """Say that what is read as JSON has a tag, and is not sent again to whoever has it."""
    if "304" not in answers and list(answers["200"].get("content", ())) != ["application/json"]:
        return
    answers.setdefault("304", {"description": "It is as it was at `If-None-Match`"})
    for status in ("200", "304"):
        answers[status].setdefault("headers", {}).setdefault("ETag", _ETAG)
    if not any(one["name"].lower() == "if-none-match" for one in parameters):
        parameters.append(_IF_NONE_MATCH)


def _statuses(method: str, path: str, operation: Document, matched: bool) -> set[int]:
    """Say which problems a route can give: by its key, its place, what is sent to it and what it does."""
    statuses = {503}
    if operation.get("security"):
        statuses |= {401, 403, 429} if method == "post" else {401, 403}
    if "{" in path:
        statuses.add(404)
    if operation.get("parameters") or "requestBody" in operation:
        statuses.add(422)
    if "requestBody" in operation:
        statuses |= {400, 408, 413, 429}
    if method in ("post", "put", "patch"):
        statuses.add(409)
    if matched:
        statuses.add(412)
    return statuses


def _name(status: int) -> str:
    return "".join(word.capitalize() for word in TITLES[status].split())


def _problem(status: int) -> Document:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {"description": _PROBLEMS[status], "content": content, **headers}
