"""The CloudEvents 1.0 envelope in which every message travels (https://github.com/cloudevents/spec, JSON format)."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import AwareDatetime, SerializeAsAny, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json

from shared.contract.words import Audience, Frozen, Slug, Version

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16


class MessageRefused(ValueError):  # noqa: N818 - a refusal with a reason, told to who can act
    """A message that cannot travel; `code` is stable, the text is for the person who can act."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


_getter = cache(attrgetter)


class Message(Frozen):
    """What one service tells others: who speaks, about what, in which version of that thing."""

    audience: ClassVar[Audience]
    key_field: ClassVar[str]
    blanks: ClassVar[bool] = False  # stands in the log where an earlier message of the same thing stood
    type: str
    institution: Slug
    version: Version

    @property
    def key(self) -> str:
        """Name the thing the message is about, within its stream; a dotted field leads into the state it carries."""
        return str(_getter(self.key_field)(self))


class SealedMessage(Message):
    """What one institution tells one other; between nodes the whole message is sealed for it."""

    audience: ClassVar[Audience] = Audience.SEALED
    to: Slug


M = TypeVar("M", bound=type[Message])


def type_of(message: type[Message]) -> str:
    """Give the `type` word of a message class, such as `courses.run.published.v1`."""
    return str(message.model_fields["type"].default)


def service_of(message: type[Message]) -> str:
    """Give the service that speaks a message class: the first word of its type."""
    return type_of(message).split(".", 1)[0]


class Envelope(Frozen):
    """The attributes of a CloudEvent around the data of a message."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: AwareDatetime
    data: dict[str, Any]


def source_of(institution: str, service: str) -> str:
    """Give the CloudEvents `source` of an institution's service."""
    return f"/{institution}/{service}"


def encode(message: Message, *, id: str, time: datetime) -> bytes:
    """Give the exact bytes of a message's CloudEvent; raises MessageRefused above 64 KiB or 16 levels."""
    kind = type(message)
    event = {
        "specversion": "1.0",
        "id": id,
        "source": source_of(message.institution, service_of(kind)),
        "type": message.type,
        "subject": message.key,
        "time": time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": message.model_dump(mode="json", exclude={"type"}),
    }
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    check_limits(payload, event)
    return payload


def check_limits(payload: bytes, parsed: object) -> None:
    """Refuse what is larger than 64 KiB or nested deeper than 16 levels."""
    if len(payload) > MAX_BYTES:
        raise MessageRefused("too_large", f"the message has {len(payload)} bytes; {MAX_BYTES} is the limit")
    if _deeper_than(parsed, MAX_DEPTH):
        raise MessageRefused("too_deep", f"the message is nested deeper than {MAX_DEPTH} levels")


def _deeper_than(value: object, limit: int) -> bool:
    """Go down level by level, all containers of a level at once: this runs for every message that is read."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            inner
            for one in level
            for inner in (one.values() if type(one) is dict else one)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


_ENVELOPE = TypeAdapter(Envelope)


def open_envelope(payload: bytes) -> Envelope:
    """Read the envelope; raises MessageRefused with `too_large`, `not_json`, `too_deep` or `not_cloudevent`."""
    if len(payload) > MAX_BYTES:
        raise MessageRefused("too_large", f"the message has {len(payload)} bytes; {MAX_BYTES} is the limit")
    try:
        parsed = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise MessageRefused("not_json", f"the message is not JSON: {error}") from error
    check_limits(payload, parsed)
    try:
        envelope = _ENVELOPE.validate_python(parsed)
    except ValidationError as error:
        raise MessageRefused("not_cloudevent", _first_line(error)) from error
    if envelope.specversion != "1.0":
        raise MessageRefused("not_cloudevent", f"specversion is '{envelope.specversion}', only 1.0 is spoken here")
    return envelope


def open_message(envelope: Envelope, find: Callable[[str], type[Message] | None]) -> Message:
    """Read the message in an envelope; raises MessageRefused with `unknown_type`, `invalid` or `wrong_key`."""
    kind = find(envelope.type)
    if kind is None:
        raise MessageRefused("unknown_type", f"no release of this service knows '{envelope.type}'")
    try:
        message = kind.model_validate(envelope.data)
    except ValidationError as error:
        raise MessageRefused("invalid", _first_line(error)) from error
    if envelope.source != source_of(message.institution, service_of(kind)):
        raise MessageRefused("wrong_institution", f"'{envelope.source}' speaks for '{message.institution}'")
    if message.key != envelope.subject:
        raise MessageRefused("wrong_key", f"subject '{envelope.subject}' does not name the data's '{message.key}'")
    return message


# The first attributes as `encode` writes them; a writer that orders them otherwise is read step by step.
_BEGIN = re.compile(rb'\{"specversion":"1\.0","id":"[^"\\]+","source":"[^"\\]+","type":"([a-z0-9_.]+)",')


class Event(Frozen):
    """A whole message in its envelope, as one reading of the bytes gives it; `data` is the message."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: AwareDatetime
    data: SerializeAsAny[Message]


@cache
def _event_of(kind: type[Message]) -> type[Event]:
    word: Any = Literal[type_of(kind)]
    return create_model(f"{kind.__name__}Event", __base__=Event, type=(word, ...), data=(kind, ...))


def open_at_once(payload: bytes, find: Callable[[str], type[Message] | None]) -> Event | None:
    """Read envelope and message together; None where step by step finds out what is wrong, or that nothing is."""
    begin = _BEGIN.match(payload)
    kind = None if begin is None else find(begin[1].decode())
    if kind is None or len(payload) > MAX_BYTES or _may_be_too_deep(payload):
        return None
    if _may_hold_no_number(payload):
        return None
    try:
        event = _event_of(kind).model_validate_json(payload)
    except ValidationError:
        return None
    return event if event.data.key == event.subject else None


def _may_hold_no_number(payload: bytes) -> bool:
    """Tell whether there may be a NaN or an Infinity: no JSON, but pydantic would pass over it in an unknown field."""
    # One sign is found many times faster than a word, and seldom there.
    return (b"N" in payload and b"NaN" in payload) or (b"I" in payload and b"Infinity" in payload)


def _may_be_too_deep(payload: bytes) -> bool:
    """Tell whether a payload may be nested too deep, by its brackets alone."""
    if payload.count(b"{") + payload.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in payload:
        return True
    # Every other part between quotes is outside of texts; each round takes the innermost level away.
    brackets = b"".join(payload.split(b'"')[::2]).translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return bool(brackets)


_NO_BRACKETS = bytes(sign for sign in range(256) if sign not in b"{}[]")


def _first_line(error: ValidationError) -> str:
    """Name the first field that is wrong, never its value: the value may be personal."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where or 'message'}: {first['msg']}"
