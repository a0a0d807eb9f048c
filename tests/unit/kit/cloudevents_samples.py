"""Valid and invalid events, after the cases of the specification's conformance suite."""

import base64
from typing import Any

LEAST = {"specversion": "1.0", "id": "e-1", "type": "org.example.told", "source": "https://kufer.example"}

GOOD: dict[str, dict[str, Any]] = {
    "only what must be": {},
    "null for what may be": {"datacontenttype": None, "dataschema": None, "subject": None, "time": None},
    "all core attributes": {
        "datacontenttype": "text/plain",
        "dataschema": "https://example.org/schema",
        "subject": "runs",
        "time": "2027-02-15T08:30:00Z",
    },
    "time in UTC": {"time": "2027-02-15T08:30:00Z"},
    "time to the nanosecond": {"time": "2027-02-15T08:30:00.123456789Z"},
    "time east of Greenwich": {"time": "2027-02-15T09:30:00+01:00"},
    "time west of Greenwich": {"time": "2027-02-15T07:30:00-01:00"},
    "relative source": {"source": "#part"},
    "text as data": {"datacontenttype": "text/plain", "data": "some text"},
    "all kinds of extensions": {
        "aninteger": 10,
        "aboolean": True,
        "astring": "text",
        "auri": "https://example.org",
        "auriref": "//host/path",
        "atime": "2027-02-15T08:30:00Z",
        "abinary": "QUxCdU0=",
    },
    "bytes as data": {"datacontenttype": "image/png", "data_base64": base64.b64encode(b"\x89PNG").decode()},
    "JSON as bytes": {"data_base64": base64.b64encode(b'{"a": 1}').decode()},
    "a list as data": {"data": [1, 2]},
    "a whole number that is written as a fraction": {"myextension": 5.0},
}

WRONG: dict[str, dict[str, Any]] = {
    "no specversion": {"specversion": ...},
    "no id": {"id": ...},
    "no type": {"type": ...},
    "no source": {"source": ...},
    "id is null": {"id": None},
    "time is a word": {"time": "noon"},
    "time without seconds": {"time": "2027-02-15T08:30Z"},
    "offset is a letter": {"time": "2027-02-15T08:30:00X"},
    "offset beyond a day": {"time": "2027-02-15T08:30:00+25:00"},
    "offset of letters": {"time": "2027-02-15T08:30:00+xx:00"},
    "offset of hours only": {"time": "2027-02-15T08:30:00+05"},
    "no such day": {"time": "2027-02-30T08:30:00Z"},
    "empty id": {"id": ""},
    "empty type": {"type": ""},
    "empty source": {"source": ""},
    "empty specversion": {"specversion": ""},
    "unknown specversion": {"specversion": "0.9"},
    "datacontenttype is no media type": {"datacontenttype": "xyz"},
    "empty datacontenttype": {"datacontenttype": ""},
    "empty dataschema": {"dataschema": ""},
    "relative dataschema": {"dataschema": "schema.json"},
    "empty subject": {"subject": ""},
    "id is a number": {"id": 25},
    "id is an object": {"id": {"a": "b"}},
    "extension with a capital": {"MyExtension": "bad"},
    "extension with a dot": {"my.extension": "bad"},
    "extension is a fraction": {"myextension": 1.5},
    "extension is a list": {"myextension": ["bad"]},
    "extension beyond 32 bits": {"myextension": 2**31},
    "data and data_base64": {"data": "text", "data_base64": "e30="},
    "data_base64 is no Base64": {"data_base64": "%%%"},
    "data_base64 is a number": {"data_base64": 5},
    "source with a blank": {"source": "a b"},
    "control character": {"subject": "a\nb"},
}


def made(changes: dict[str, Any]) -> dict[str, Any]:
    """Give the least event with some changes; `...` takes an attribute away."""
    return {name: value for name, value in {**LEAST, **changes}.items() if value is not ...}
