"""CloudEvents 1.0 as the specification's conformance cases see them, and the modes of the HTTP binding."""

import json
from typing import Any

import pytest

from shared.contract.envelope import MessageRefused
from shared.kit.cloudevents import Event, Unreadable, attributes_of, batch, binary, structured
from tests.unit.kit.cloudevents_samples import GOOD, LEAST, WRONG, made


@pytest.mark.parametrize("case", GOOD)
def test_a_valid_event_is_read(case: str) -> None:
    """Single and in a batch alike."""
    document = made(GOOD[case])
    event = structured(json.dumps(document).encode())
    assert isinstance(event, Event), event
    assert (event.id, event.source, event.type) == (document["id"], document["source"], document["type"])
    assert batch(json.dumps([document]).encode()) == [event]


@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_event_is_refused(case: str) -> None:
    """With the same code each, alone and in a batch, where its good neighbour is read."""
    document = made(WRONG[case])
    refused = structured(json.dumps(document).encode())
    assert isinstance(refused, Unreadable)
    assert (refused.code, bool(refused.reason)) == ("not_cloudevent", True)
    first, second = batch(json.dumps([document, LEAST]).encode())
    assert (first, type(second)) == (refused, Event)


def test_a_batch_may_be_empty_but_must_be_a_list() -> None:
    """An empty list is a batch; an object, a word and broken JSON are none."""
    assert batch(b"[]") == []
    for payload, code in ((b"{}", "not_cloudevent"), (b'"word"', "not_cloudevent"), (b"[{", "not_json")):
        with pytest.raises(MessageRefused) as refusal:
            batch(payload)
        assert refusal.value.code == code


def test_what_is_no_object_in_a_batch_is_refused_alone() -> None:
    """A word and a list between events are each answered for themselves."""
    kinds = [type(one) for one in batch(json.dumps(["word", LEAST, [LEAST]]).encode())]
    assert kinds == [Unreadable, Event, Unreadable]


def test_binary_mode_says_the_same_as_structured_mode() -> None:
    """Attributes in headers and the data in the body make the event that structured mode makes."""
    headers = {f"CE-{name}".encode(): value.encode() for name, value in LEAST.items()}
    one = binary(attributes_of(headers), "application/json; charset=utf-8", b'{"a": "\xc3\xbc"}')
    other = structured(json.dumps({**LEAST, "data": {"a": "ü"}}).encode())
    assert isinstance(one, Event)
    assert isinstance(other, Event)
    assert (one, one.sha256) == (other, other.sha256)


def test_headers_are_decoded_from_percent_signs_and_quotes() -> None:
    """As the HTTP binding says; other bytes must be UTF-8."""
    found = attributes_of({b"ce-subject": b"Gr%C3%BC%C3%9Fe", b"ce-note": b'"say \\"hi\\""', b"accept": b"*/*"})
    assert found == {"subject": "Grüße", "note": 'say "hi"'}
    for bad in (b"\xff", b"%FF"):
        with pytest.raises(MessageRefused):
            attributes_of({b"ce-subject": bad})


def test_data_that_is_no_json_is_refused_only_where_it_claims_to_be() -> None:
    """Bytes of another kind stay bytes."""
    assert isinstance(binary(LEAST, "application/json", b"{"), Unreadable)
    text = binary(LEAST, "text/plain", b"{")
    assert isinstance(text, Event)
    assert text.data == b"{"


@pytest.mark.parametrize("payload", [b"{", b"", b"\xff", b"[" * 100_000, b'{"a":NaN}'])
def test_what_is_no_json_is_no_event(payload: bytes) -> None:
    """Broken, empty, not UTF-8, nested without end, not a number."""
    refused = structured(payload)
    assert isinstance(refused, Unreadable)
    assert refused.code in ("not_json", "too_large")


def test_events_above_the_limits_are_refused() -> None:
    """More than 64 KiB, or deeper than 16 levels."""
    large = structured(json.dumps({**LEAST, "data": "x" * 70_000}).encode())
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    nested = structured(json.dumps({**LEAST, "data": deep}).encode())
    assert isinstance(large, Unreadable)
    assert isinstance(nested, Unreadable)
    assert (large.code, nested.code) == ("too_large", "too_deep")
