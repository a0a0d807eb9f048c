"""JSON that every reader reads in the same way; what two readers could understand differently is refused."""

import json
import re
from math import isfinite
from typing import Any, Never

from shared.network.refusal import Refused

MAX_DEPTH = 16
MAX_BYTES = 64 * 1024
_MAX_DIGITS = 20
_LIMIT = 2**63
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonRefused(Refused):
    """JSON that readers could understand differently, or none at all."""


def parse(payload: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON; raises JsonRefused for anything that readers could understand differently.

    Refused are: a name twice in one object at any depth, NaN and Infinity in any spelling, whole numbers beyond 64
    bits, lone surrogates, other bytes than UTF-8, a byte order mark, bytes behind the end, more depth or size than
    allowed. The sentences never quote the payload: it may be personal.
    """
    if len(payload) > max_bytes:
        raise JsonRefused("too_large", f"{len(payload)} bytes; {max_bytes} is the limit")
    try:
        parsed = _DECODER.decode(payload.decode())
    except UnicodeDecodeError as error:
        raise JsonRefused("not_utf8", f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise JsonRefused("not_json", f"no JSON at character {error.pos}") from None
    except RecursionError as error:
        raise JsonRefused("too_deep", f"nested deeper than {max_depth} levels") from error
    if _deeper_than(parsed, max_depth):
        raise JsonRefused("too_deep", f"nested deeper than {max_depth} levels")
    if _ESCAPED_SURROGATE.search(payload):
        _refuse_lone_surrogates(parsed)
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonRefused("name_twice", "an object has a name twice")
    return found


def _constant(_: str) -> Never:
    raise JsonRefused("not_finite", "NaN and Infinity are not JSON")


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS or not -_LIMIT <= (number := int(text)) < _LIMIT:
        raise JsonRefused("number_too_large", "a whole number has more than 64 bits")
    return number


def _broken(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise JsonRefused("not_finite", "a number is too large to be told from infinity")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_broken)


def _deeper_than(value: Any, limit: int) -> bool:
    """Go down level by level, all containers of a level at once: this runs for every foreign entry."""
    level = [value] if type(value) is dict or type(value) is list else []
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


def _refuse_lone_surrogates(parsed: Any) -> None:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonRefused("lone_surrogate", "a text holds half of a sign") from None
