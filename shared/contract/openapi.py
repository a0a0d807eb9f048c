"""Compares an OpenAPI document with the released one: whoever was written for the old one must not notice the new one.

What callers send may only be asked for less strictly, what they get may only be promised more strictly.
"""

import re
from collections.abc import Iterator
from typing import Any

from shared.contract.compatible import Part, unread

Document = dict[str, Any]


def breaks(old: Document, new: Document) -> list[str]:
    """Name each place at which the new document breaks what the old one promises."""
    return list(_breaks(old, new))


def _breaks(old: Document, new: Document) -> Iterator[str]:
    routes = _routes(new)
    for key, (where, before) in _routes(old).items():
        if key not in routes:
            yield f"{where}: is gone"
            continue
        after = routes[key][1]
        yield from _parameters(where, Part(before, old), Part(after, new))
        yield from _body(where, Part(before, old), Part(after, new))
        yield from _answers(where, Part(before, old), Part(after, new))
        if after.get("security") and not before.get("security"):
            yield f"{where}: needs a key now"


def _routes(document: Document) -> dict[str, tuple[str, Document]]:
    """Give the operations; what a part of a path is called means nothing to whoever calls it."""
    return {
        f"{method} {re.sub('{[^}]*}', '{}', path)}": (f"{method.upper()} {path}", {**operation, "x-path": path})
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }


def _named(operation: Part) -> dict[tuple[str, str], Part]:
    """Give the parameters; those in the path by their place."""
    places = re.findall("{([^}]*)}", operation.schema["x-path"])
    found = {}
    for parameter in operation.schema.get("parameters", ()):
        part = operation.at(parameter).opened()
        place, name = part.schema["in"], part.schema["name"]
        word = str(places.index(name)) if place == "path" else name.lower() if place == "header" else name
        found[place, word] = part
    return found


def _parameters(where: str, old: Part, new: Part) -> Iterator[str]:
    before, after = _named(old), _named(new)
    for (place, name), parameter in before.items():
        if (place, name) not in after:
            yield f"{where}: the {place} parameter {name} is gone"
            continue
        now = after[place, name]
        asked = old.at(parameter.schema.get("schema", {})), new.at(now.schema.get("schema", {}))
        yield from unread(*asked, f"{where} ?{parameter.schema['name']}", "writer")
    for (place, name), parameter in after.items():
        needed = parameter.schema.get("required", False)
        was = before[place, name].schema.get("required", False) if (place, name) in before else False
        if needed and not was:
            yield f"{where}: the {place} parameter {name} is needed now"


def _body(where: str, old: Part, new: Part) -> Iterator[str]:
    before = old.at(old.schema.get("requestBody", {})).opened()
    after = new.at(new.schema.get("requestBody", {})).opened()
    if after.schema.get("required") and not before.schema.get("required"):
        yield f"{where}: a body is needed now"
    for kind, content in before.schema.get("content", {}).items():
        now = after.schema.get("content", {}).get(kind)
        if now is None:
            yield f"{where}: {kind} is not read any more"
            continue
        yield from unread(old.at(content.get("schema", {})), new.at(now.get("schema", {})), f"{where} body", "writer")


def _answers(where: str, old: Part, new: Part) -> Iterator[str]:
    for status, answer in old.schema["responses"].items():
        if status not in new.schema["responses"]:
            yield f"{where} {status}: is gone"
            continue
        before, after = old.at(answer).opened(), new.at(new.schema["responses"][status]).opened()
        yield from _headers(f"{where} {status}", before, after)
        for kind, content in before.schema.get("content", {}).items():
            now = after.schema.get("content", {}).get(kind)
            if now is None:
                yield f"{where} {status}: {kind} is not given any more"
                continue
            given = new.at(now.get("schema", {})), old.at(content.get("schema", {}))
            yield from unread(*given, f"{where} {status}", "reader")


def _headers(where: str, before: Part, after: Part) -> Iterator[str]:
    given = after.schema.get("headers", {})
    for name, header in before.schema.get("headers", {}).items():
        if name not in given:
            yield f"{where}: the header {name} is gone"
        elif header.get("required") and not given[name].get("required"):
            yield f"{where}: the header {name} may be missing now"
        else:
            schemas = after.at(given[name].get("schema", {})), before.at(header.get("schema", {}))
            yield from unread(*schemas, f"{where} {name}", "reader")
