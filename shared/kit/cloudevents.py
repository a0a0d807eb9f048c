"""CloudEvents 1.0 as others send them: structured, binary and batch mode over HTTP, and entries of a Redis stream.

Sources: the CloudEvents specification 1.0.2 with its JSON format and HTTP protocol binding.
"""

import base64
import json
import re
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic_core import from_json

from shared.contract.envelope import MAX_BYTES, MessageRefused, check_limits

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MOST_IN_BATCH = 1000
_REQUIRED = ("specversion", "id", "source", "type")
_OPTIONAL = ("datacontenttype", "dataschema", "subject", "time")
_NAME = re.compile(r"^[a-z0-9]+$")
_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$")
_MEDIA_TYPE = re.compile(r"^[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;.*)?$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Event:
    """A CloudEvent that keeps to the specification; `data` is what its JSON holds, or bytes of another kind."""

    id: str
    source: str
    type: str
    subject: str | None
    data: Any

    @property
    def sha256(self) -> str:
        """Give a hash of what the event says, whatever way it came."""
        data = base64.b64encode(self.data).decode() if isinstance(self.data, bytes) else self.data
        said = json.dumps([self.type, self.subject, data], sort_keys=True, separators=(",", ":"))
        return sha256(said.encode()).hexdigest()


@dataclass(frozen=True)
class Unreadable:
    """What was sent as an event and is none; the attributes are there as far as they can be read."""

    id: str | None
    source: str | None
    code: str
    reason: str


def read_json(payload: bytes) -> Any:
    """Read JSON; raises MessageRefused with `not_json`."""
    try:
        return from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise MessageRefused("not_json", f"this is not JSON: {error}") from error


def structured(payload: bytes) -> Event | Unreadable:
    """Read one event in structured mode."""
    if len(payload) > MAX_BYTES:
        return Unreadable(None, None, "too_large", f"{len(payload)} bytes; {MAX_BYTES} is the limit")
    try:
        document = read_json(payload)
    except MessageRefused as error:
        return Unreadable(None, None, error.code, str(error))
    return _read(document, payload)


def documents(payload: bytes) -> list[Any]:
    """Read a batch as far as what stands in it, each to be read by `part`; raises MessageRefused.

    A list of the smallest things has hundreds of thousands of them in a body, and each would get an answer.
    """
    document = read_json(payload)
    if not isinstance(document, list):
        raise MessageRefused("not_cloudevent", "a batch is a JSON array of events")
    if len(document) > MOST_IN_BATCH:
        raise MessageRefused("too_large", f"{len(document)} messages; {MOST_IN_BATCH} is the limit of a batch")
    return document


def part(document: Any) -> Event | Unreadable:
    """Read one event of a batch; it is good or bad for itself."""
    return _read(document, json.dumps(document, ensure_ascii=False).encode())


def batch(payload: bytes) -> list[Event | Unreadable]:
    """Read a whole batch at once."""
    return [part(one) for one in documents(payload)]


def binary(attributes: Mapping[str, str], content_type: str | None, body: bytes) -> Event | Unreadable:
    """Read an event in binary mode: its attributes by name, and the bytes of its data."""
    document: dict[str, Any] = {**attributes}
    if content_type:
        document["datacontenttype"] = content_type
    if body:
        document["data_base64"] = base64.b64encode(body).decode()
    if len(body) > MAX_BYTES:
        return _unreadable(document, "too_large", f"{len(body)} bytes; {MAX_BYTES} is the limit")
    return _read(document, body)


def attributes_of(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Give the attributes among header or entry fields named `ce-…`; raises MessageRefused where one is no text."""
    found: dict[str, str] = {}
    for name, value in fields.items():
        if name.lower().startswith(b"ce-"):
            try:
                found[name[3:].decode()] = _header_value(value.decode())
            except UnicodeDecodeError as error:
                raise MessageRefused("not_cloudevent", "an attribute is not UTF-8; write other signs as %XX") from error
    return found


def _header_value(text: str) -> str:
    """Take the quotes and the percent signs of a header away (HTTP protocol binding, 3.1.3.2)."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return unquote(text, errors="strict")


def _read(document: Any, payload: bytes) -> Event | Unreadable:
    try:
        check_limits(payload, document)
        return _event(document)
    except MessageRefused as error:
        return _unreadable(document, error.code, str(error))


def _unreadable(document: Any, code: str, reason: str) -> Unreadable:
    known = document if isinstance(document, dict) else {}
    id_, source = ((one if isinstance(one, str) else None) for one in (known.get("id"), known.get("source")))
    return Unreadable(id_, source, code, reason)


def _event(document: Any) -> Event:
    if not isinstance(document, dict):
        raise MessageRefused("not_cloudevent", "an event is a JSON object")
    for name in _REQUIRED:
        if document.get(name) is None:
            raise MessageRefused("not_cloudevent", f"{name}: is missing")
    if document["specversion"] != "1.0":
        raise MessageRefused("not_cloudevent", "specversion: only 1.0 is spoken here")
    for name, value in document.items():
        if name not in ("data", "data_base64") and value is not None:
            _check_attribute(name, value)
    return Event(document["id"], document["source"], document["type"], document.get("subject"), _data(document))


def _check_attribute(name: str, value: Any) -> None:
    if not _NAME.match(name):
        raise MessageRefused("not_cloudevent", f"'{name[:40]}': a name has only small letters and digits")
    core = name in _REQUIRED or name in _OPTIONAL
    if core and not (isinstance(value, str) and value):
        raise MessageRefused("not_cloudevent", f"{name}: is a text and not empty")
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # JSON: 5.0 is as whole as 5
    if whole and -(2**31) <= value < 2**31:
        return
    if not isinstance(value, str):
        raise MessageRefused("not_cloudevent", f"{name}: an attribute is a text, a whole number, true or false")
    if _CONTROL.search(value):
        raise MessageRefused("not_cloudevent", f"{name}: holds control characters")
    if name in _FORMS and not _FORMS[name](value):
        raise MessageRefused("not_cloudevent", f"{name}: is not of the form that the specification gives it")


def _is_time(text: str) -> bool:
    if not _TIME.match(text):
        return False
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", text.upper()))
    except ValueError:
        return False
    return True


def _is_reference(text: str) -> bool:
    if re.search(r'[\s<>"{}|\\^`]', text):
        return False
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


_FORMS: dict[str, Callable[[str], bool]] = {
    "time": _is_time,
    "datacontenttype": lambda text: _MEDIA_TYPE.match(text) is not None,
    "source": _is_reference,
    "dataschema": lambda text: _is_reference(text) and bool(urlsplit(text).scheme),
}


def _data(document: dict[str, Any]) -> Any:
    raw = document.get("data_base64")
    if raw is None:
        return document.get("data")
    if document.get("data") is not None:
        raise MessageRefused("not_cloudevent", "data and data_base64 exclude each other")
    if not isinstance(raw, str):
        raise MessageRefused("not_cloudevent", "data_base64: is a text")
    try:
        body = base64.b64decode(raw, validate=True)
    except (Base64Error, ValueError) as error:
        raise MessageRefused("not_cloudevent", "data_base64: is not Base64") from error
    media_type = (document.get("datacontenttype") or "application/json").split(";")[0].strip().lower()
    if not re.search(r"[/+]json$", media_type):
        return body
    data = read_json(body)
    check_limits(body, data)
    return data
