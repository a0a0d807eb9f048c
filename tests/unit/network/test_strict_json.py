"""Strict JSON: what two readers could understand differently is refused; Python's own reader is the control."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.network.strict import JsonRefused, parse

ACCEPTED_BY_PYTHON = [
    (b'{"a": 1, "a": 2}', "name_twice"),
    (b'{"a": 1, "\\u0061": 2}', "name_twice"),
    (b'[{"a": [{"b": {"c": 1, "d": 2, "c": 3}}]}]', "name_twice"),
    (b'{"": 1, "": 2}', "name_twice"),
    (b"NaN", "not_finite"),
    (b'{"a": [Infinity]}', "not_finite"),
    (b"-Infinity", "not_finite"),
    (b"1e999", "not_finite"),
    (b"-1e999", "not_finite"),
    (b'"\\ud800"', "lone_surrogate"),
    (b'{"\\uDFFF": 1}', "lone_surrogate"),
    (b'["\\ude00\\ud83d"]', "lone_surrogate"),
    (b"9223372036854775808", "number_too_large"),
    (b"-9223372036854775809", "number_too_large"),
    (b"1" * 4000, "number_too_large"),
    (b"[" * 17 + b"]" * 17, "too_deep"),
    (b'{"a":' * 17 + b"1" + b"}" * 17, "too_deep"),
    (b" " * 65_537 + b"1", "too_large"),
]
REFUSED_BY_BOTH = [
    (b"\xef\xbb\xbf{}", "not_json"),
    (b"{}{}", "not_json"),
    (b"{} x", "not_json"),
    (b"{}\x00", "not_json"),
    (b"", "not_json"),
    (b"nan", "not_json"),
    (b"{'a': 1}", "not_json"),
    (b'{"a": 1,}', "not_json"),
    (b"[1,]", "not_json"),
    (b"01", "not_json"),
    (b"+1", "not_json"),
    (b".5", "not_json"),
    (b'"\n"', "not_json"),
    (b"/* x */ 1", "not_json"),
    (b'"\xff"', "not_utf8"),
    (b'"\xed\xa0\x80"', "not_utf8"),
    (b'"\xc0\x80"', "not_utf8"),
    ("{}".encode("utf-16-le"), "not_json"),
    (b"[" * 60_000, "too_deep"),
]


@pytest.mark.parametrize(("payload", "code"), ACCEPTED_BY_PYTHON, ids=range(len(ACCEPTED_BY_PYTHON)))
def test_what_pythons_reader_accepts_is_refused_here(payload: bytes, code: str) -> None:
    """Each of these has one meaning here and another one elsewhere."""
    json.loads(payload)
    with pytest.raises(JsonRefused) as refused:
        parse(payload)
    assert refused.value.code == code


@pytest.mark.parametrize(("payload", "code"), REFUSED_BY_BOTH, ids=range(len(REFUSED_BY_BOTH)))
def test_what_is_no_json_is_refused_with_a_stable_code(payload: bytes, code: str) -> None:
    """Nothing but JsonRefused is raised, whatever comes."""
    with pytest.raises(JsonRefused) as refused:
        parse(payload)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 16 + b"]" * 16,
        b'{"a":' * 16 + b"1" + b"}" * 16,
        b"9223372036854775807",
        b"-9223372036854775808",
        b'"\\ud83d\\ude00"',
        '"\U0001f600 \ufeff ä"'.encode(),
        b" \t\r\n{ } \n",
        b"-0.5e-3",
        b'[{"a": 1}, {"a": 1}]',
        b" " * 65_535 + b"1",
    ],
)
def test_what_has_one_meaning_is_read(payload: bytes) -> None:
    """The limits themselves are allowed."""
    assert parse(payload) == json.loads(payload)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_everything_that_json_can_say_is_read_as_it_was_written(value: Any) -> None:
    """Texts of all languages, numbers and nesting come back as they were."""
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


def _read(reader: Callable[[bytes], Any], payload: bytes) -> str:
    """Give what a reader makes of bytes, in a form in which equal values are equal; '' where it refuses them."""
    try:
        return repr(reader(payload))
    except (JsonRefused, json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return ""


_HARMED = st.tuples(_JSON, st.integers(0, 10**6), st.binary(max_size=3)).map(
    lambda one: (text := json.dumps(one[0]).encode())[: one[1] % (len(text) + 1)] + one[2] + text[one[1] % len(text) :]
)


@given(st.binary(max_size=200) | _HARMED)
@example(b'{"a": 1}')
@example(b'{"a": 1, "a": 2}')
@example(b"\xff")
def test_whatever_the_bytes_are_they_are_refused_or_read_as_everybody_reads_them(payload: bytes) -> None:
    """A reader meets JsonRefused and no other error, or the very value that Python's own reader finds."""
    found = _read(parse, payload)
    assert found in ("", _read(json.loads, payload))


def test_what_is_read_and_what_is_refused_among_the_examples() -> None:
    """Control: the comparison above sees both."""
    assert [_read(parse, one) for one in (b'{"a": 1}', b'{"a": 1, "a": 2}', b"\xff")] == ["{'a': 1}", "", ""]


def test_the_sentence_never_quotes_the_message() -> None:
    """What is refused may be personal, and reasons are kept and shown."""
    with pytest.raises(JsonRefused) as refused:
        parse(b'{"name": "Amina Test", "name": "Amina')
    assert "Amina" not in str(refused.value)
