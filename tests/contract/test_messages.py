"""What every message of the network keeps to."""

import copy
import inspect
import json
import re
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from operator import getitem
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ValidationError

from shared.contract import asyncapi, released
from shared.contract.catalogue import CATALOGUE, find
from shared.contract.envelope import (
    MAX_BYTES,
    Message,
    MessageRefused,
    encode,
    open_envelope,
    open_message,
    service_of,
    type_of,
)
from shared.contract.samples import sample
from shared.contract.streams import parse_stream, stream_for
from shared.contract.words import Audience, Line, Personal, PersonalMark, districts

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
EVERY = pytest.mark.parametrize("message", CATALOGUE.values(), ids=CATALOGUE)


def personal_fields(model: type[BaseModel]) -> Iterator[str]:
    """Walk all fields of a model, into nested models, and name those that hold personal data or anything at all."""
    for name, field in model.model_fields.items():
        if any(isinstance(mark, PersonalMark) for mark in field.metadata) or _may_hold_one(field.annotation):
            yield f"{model.__name__}.{name}"
        for inner in _models_in(field.annotation):
            yield from personal_fields(inner)


def _may_hold_one(annotation: Any) -> bool:
    if annotation in (Any, object, dict):
        return True
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict or any(isinstance(mark, PersonalMark) for mark in inner):
        return True
    return any(_may_hold_one(one) for one in inner if not isinstance(one, str))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


@pytest.mark.parametrize("message", [m for m in CATALOGUE.values() if m.audience is Audience.NETWORK])
def test_no_public_message_can_hold_personal_data(message: type[Message]) -> None:
    """No field of a message for the network is marked personal, at any depth, or may hold anything at all."""
    assert list(personal_fields(message)) == []


class _Inner(BaseModel):
    names: tuple[Personal[Line], ...] = ()


class _Leaky(Message):
    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "institution"
    type: Literal["courses.leak.made.v1"] = "courses.leak.made.v1"
    phone: Personal[Line] | None = None
    mail: Personal[Line]
    inner: tuple[_Inner, ...] = ()
    extra: dict[str, str]


def test_the_walk_finds_personal_data_wherever_it_hides() -> None:
    """The control: optional, nested and unbounded fields are all found."""
    found = set(personal_fields(_Leaky))
    assert found == {"_Leaky.phone", "_Leaky.mail", "_Inner.names", "_Leaky.extra"}


def test_contacts_are_marked_personal() -> None:
    """The marker is on the fields that it is meant for."""
    assert {word for word, message in CATALOGUE.items() if list(personal_fields(message))} == {
        "courses.participant.contact_recorded.v1",
        "courses.referral.sent.v1",
        "events.participant.contact_recorded.v1",
    }


@EVERY
def test_a_message_has_audience_key_version_and_says_what_it_means(message: type[Message]) -> None:
    """Each class names its audience and key, and its docstring is its documentation."""
    assert message.audience in Audience
    assert message.__doc__
    assert message.__doc__.endswith(".")
    assert type_of(message).split(".")[0] in {"members", "courses", "events"}
    assert type_of(message).endswith(".v1")


@EVERY
def test_a_message_travels_and_comes_back_the_same(message: type[Message]) -> None:
    """What is encoded is read back equal, and the stream is the speaker's."""
    told = message.model_validate(sample(message))
    payload = encode(told, id="msg_1", time=NOW)
    envelope = open_envelope(payload)
    assert open_message(envelope, find) == told
    stream = parse_stream(stream_for(told))
    assert (stream.speaker, stream.service) == (told.institution, service_of(message))
    assert envelope.subject == told.key


@EVERY
def test_every_released_sample_still_parses(message: type[Message]) -> None:
    """What was once released is understood for ever."""
    history = released.frozen()[type_of(message)]
    for body in history["samples"]:
        assert message.model_validate(body).key
    assert released.breaks(message, history["schema"]) == []


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*path, name), one
        yield from _places(one, (*path, name))


def _unheard(value: Any) -> list[Any]:
    if isinstance(value, int) and not isinstance(value, bool):
        return [2**63, 2**53]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return ["0001-01-01", "9999-12-31"]
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    return []


@EVERY
def test_no_field_takes_what_no_reader_could_hold(message: type[Message]) -> None:
    """Numbers beyond 64 bits stop a stream at every border; the calendar's last day is none in other zones."""
    whole = json.loads(json.dumps(sample(message), default=str))
    assert message.model_validate(whole)
    for path, value in _places(whole):
        for unheard in _unheard(value):
            changed = copy.deepcopy(whole)
            *before, last = path
            reduce(getitem, before, changed)[last] = unheard
            with pytest.raises(ValidationError):
                message.model_validate(changed)


def test_nothing_that_was_released_is_gone() -> None:
    """A type leaves the catalogue only when nobody can have it in a stream any more."""
    assert set(released.frozen()) == set(CATALOGUE)


class _Narrowed(Message):
    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "institution"
    type: Literal["x.y.z.v1"] = "x.y.z.v1"
    count: int
    word: Literal["a"]


class _Wide(Message):
    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "institution"
    type: Literal["x.y.z.v1"] = "x.y.z.v1"
    word: Literal["a", "b"]
    gone: str = ""


def test_a_breaking_change_is_named() -> None:
    """The control: a lost field, a new duty and a lost word are each found."""
    faults = released.breaks(_Narrowed, _Wide.model_json_schema())
    needed = "x.y.z.v1.count: is needed and may be missing"
    assert faults == [needed, "x.y.z.v1.gone: is gone", "x.y.z.v1.word: the word 'b'"]


def test_the_asyncapi_document_is_the_one_that_is_committed() -> None:
    """`python -m shared.contract.asyncapi` makes the document; a forgotten one is seen here."""
    assert asyncapi.PLACE.read_text("utf-8") == asyncapi.render()


def test_a_message_above_64_kib_is_refused_where_it_is_told() -> None:
    """The one who speaks gets the error, with the sizes."""
    message = CATALOGUE["courses.run.published.v1"].model_validate(sample(CATALOGUE["courses.run.published.v1"]))
    picture = message.model_dump()["picture"]
    many = [picture["sessions"][0]] * 1000
    big = type(message).model_validate({**message.model_dump(), "picture": {**picture, "sessions": many}})
    with pytest.raises(MessageRefused, match=str(MAX_BYTES)) as refused:
        encode(big, id="msg_1", time=NOW)
    assert refused.value.code == "too_large"


def test_a_refusal_never_repeats_the_value_that_was_wrong() -> None:
    """A value may be personal: the reason names the field and the rule alone."""
    kind = CATALOGUE["courses.participant.contact_recorded.v1"]
    body = {**sample(kind), "language": "Canary-Canary-Canary"}
    event = json.loads(encode(kind.model_validate(sample(kind)), id="m", time=NOW))
    with pytest.raises(MessageRefused) as refused:
        open_message(open_envelope(json.dumps({**event, "data": body}).encode()), find)
    assert "language" in str(refused.value)
    assert "Canary" not in str(refused.value)


def test_the_districts_are_the_real_ones() -> None:
    """Hannover has 13 Stadtbezirke and 51 Stadtteile."""
    assert (len(districts()), sum(len(quarters) for quarters in districts().values())) == (13, 51)
