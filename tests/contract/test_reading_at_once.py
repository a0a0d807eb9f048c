"""Reading envelope and message in one step gives what step by step gives, and refuses nothing by itself."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contract.catalogue import CATALOGUE, find
from shared.contract.envelope import MAX_DEPTH, Message, encode, open_at_once, open_envelope, open_message
from shared.contract.samples import sample

NOW = datetime(2027, 1, 11, 8, 0, tzinfo=UTC)


def _payload(kind: type[Message]) -> bytes:
    return encode(kind.model_validate(sample(kind)), id="msg_01jd3kq8w0zzzz", time=NOW)


def _nested(levels: int, text: str = "") -> Any:
    value: Any = text
    for _ in range(levels):
        value = {text: value}
    return value


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_both_ways_give_the_same_message(kind: type[Message]) -> None:
    """Every message of the catalogue, with its source and its subject."""
    payload = _payload(kind)
    at_once, envelope = open_at_once(payload, find), open_envelope(payload)
    assert at_once is not None
    assert at_once.data == open_message(envelope, find)
    assert (at_once.source, at_once.subject, at_once.id) == (envelope.source, envelope.subject, envelope.id)


def _changed(**changes: Any) -> bytes:
    event = json.loads(_payload(CATALOGUE["courses.run.published.v1"]))
    return json.dumps(event | changes, ensure_ascii=False, separators=(",", ":")).encode()


WRONG = {
    "another key": lambda: _changed(subject="run_00000000"),
    "another version of the envelope": lambda: _changed(specversion="0.3"),
    "an unknown type": lambda: _changed(type="courses.run.flown.v1"),
    "a type that is said twice": lambda: _changed()[:-1] + b',"type":"courses.run.changed.v1"}',
    "data that does not fit": lambda: _changed(data={"institution": "vhs-hannover"}),
    "no number": lambda: _changed()[:-1] + b',"more":NaN}',
    "too deep": lambda: _changed(more=_nested(MAX_DEPTH)),
    "too deep, with brackets in texts that hide it": lambda: _changed(more=_nested(MAX_DEPTH, "}{")),
    "too deep, with quotes in texts that hide it": lambda: _changed(more=_nested(MAX_DEPTH, '"}{"')),
    "too large": lambda: _changed(more="x" * 65_536),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_left_to_reading_step_by_step(name: str) -> None:
    """Only there the reason is found; what stands in texts hides nothing."""
    assert open_at_once(WRONG[name](), find) is None


def test_many_brackets_and_signs_in_texts_are_no_depth() -> None:
    """A run with many dates, and a text full of brackets, are read at once."""
    dates = [{"starts": "2027-02-15T08:00:00Z", "ends": "2027-02-15T09:00:00Z"}] * 40
    event = json.loads(_changed())
    event["data"]["picture"] |= {"sessions": dates, "title": "}}[[ Deutsch {"}
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    assert open_at_once(payload, find) is not None
