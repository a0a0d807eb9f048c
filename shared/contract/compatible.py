"""Compares two JSON Schemas: what may be written after the one and cannot be read after the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Schema = Mapping[str, Any]
Old = Literal["writer", "reader"]
"""Which of the two was released before: a field that it names may not be gone from the other."""

_SILENT = frozenset(
    {"title", "description", "default", "examples", "example", "deprecated", "discriminator", "$defs", "$schema"}
)
_HANDLED = frozenset({"type", "enum", "const", "anyOf", "oneOf", "required", "properties", "additionalProperties"}) | {
    "items",
    "allOf",
    "$ref",
}
_LEAST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_MOST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


@dataclass(frozen=True)
class Part:
    """A schema and the document in which its references point."""

    schema: Schema
    root: Schema

    def at(self, schema: Any) -> "Part":
        """Give a schema of the same document; `true` allows anything, `false` nothing."""
        return Part({} if schema is True else {"enum": []} if schema is False else schema, self.root)

    def opened(self) -> "Part":
        """Follow references, and join what must hold together."""
        schema: dict[str, Any] = dict(self.schema)
        while "$ref" in schema:
            schema = {**_pointed(self.root, schema.pop("$ref")), **schema}
        for part in schema.pop("allOf", ()):
            schema = _joined(schema, self.at(part).opened().schema)
        return Part(schema, self.root)

    def alternatives(self) -> list["Part"]:
        """Give every form that a value may have; one alone where there is no choice."""
        opened = self.opened()
        schema = opened.schema
        several = schema.get("anyOf") or schema.get("oneOf")
        rest = {word: value for word, value in schema.items() if word not in ("anyOf", "oneOf")}
        if several:
            joined = (self.at({"allOf": [one, rest]} if rest.keys() - _SILENT else one) for one in several)
            return [each for one in joined for each in one.alternatives()]
        if isinstance(schema.get("type"), list):
            return [self.at({**schema, "type": one}) for one in schema["type"]]
        return [opened]


def _pointed(root: Schema, reference: str) -> Schema:
    found: Any = root
    for word in reference.removeprefix("#/").split("/"):
        found = found[word.replace("~1", "/").replace("~0", "~")]
    schema: Schema = found
    return schema


def _joined(one: Schema, other: Schema) -> dict[str, Any]:
    joined = {**one, **other}
    if "required" in one and "required" in other:
        joined["required"] = [*one["required"], *other["required"]]
    if "properties" in one and "properties" in other:
        both = one["properties"].keys() & other["properties"]
        each = {name: {"allOf": [one["properties"][name], other["properties"][name]]} for name in both}
        joined["properties"] = {**one["properties"], **other["properties"], **each}
    return joined


def unread(writer: Part, reader: Part, where: str, old: Old) -> list[str]:
    """Say each place at which something may be written that is not read; in the order of the fields."""
    return list(_Comparison(old, set()).differences(writer, reader, where))


@dataclass(frozen=True)
class _Comparison:
    old: Old
    seen: set[tuple[str, str]]

    def differences(self, writer: Part, reader: Part, where: str) -> Iterator[str]:
        pair = (str(writer.schema.get("$ref")), str(reader.schema.get("$ref")))
        if "None" not in pair:
            if pair in self.seen:
                return  # a tree of the same kind: what is inside has been compared
            self.seen.add(pair)
        readable = reader.alternatives()
        for form in writer.alternatives():
            yield from self._least([list(self._of_one(form, each, where)) for each in _akin(form, readable)], where)

    def _least(self, tries: list[list[str]], where: str) -> list[str]:
        """A form is read where one alternative reads it; else say what is missing to the nearest one."""
        return min(tries, key=len) if tries else [f"{where}: a form that was not there"]

    def _of_one(self, writer: Part, reader: Part, where: str) -> Iterator[str]:
        one, other = writer.schema, reader.schema
        known = _values(other)
        if known is not None:
            said = _values(one)
            if said is None:
                yield f"{where}: was not bound to certain words"
                return
            yield from (f"{where}: the word {value!r}" for value in said if value not in known)
            return
        if not _kinds(one) <= _kinds(other):
            yield f"{where}: of type {_type(one)}, not {_type(other)}"
            return
        yield from _bounds(one, other, where)
        yield from self._fields(writer, reader, where)
        if "items" in other:
            yield from self.differences(writer.at(one.get("items", True)), reader.at(other["items"]), f"{where}[]")

    def _fields(self, writer: Part, reader: Part, where: str) -> Iterator[str]:
        written, read = writer.schema.get("properties", {}), reader.schema.get("properties", {})
        before, after = (written, read) if self.old == "writer" else (read, written)
        yield from (f"{where}.{name}: is gone" for name in before if name not in after)
        missing = set(reader.schema.get("required", ())) - set(writer.schema.get("required", ()))
        yield from (f"{where}.{name}: is needed and may be missing" for name in sorted(missing & {*written, *read}))
        rest = reader.schema.get("additionalProperties", True)
        for name, field in written.items():
            if name in read:
                yield from self.differences(writer.at(field), reader.at(read[name]), f"{where}.{name}")
            elif name not in before and rest is not True:
                yield from self.differences(writer.at(field), reader.at(rest), f"{where}.{name}")
        # What is not named is never written, unless a schema says how it looks.
        more = writer.schema.get("additionalProperties")
        if isinstance(more, dict) and rest is not True:
            yield from self.differences(writer.at(more), reader.at(rest), f"{where}.*")


def _akin(form: Part, readable: list[Part]) -> list[Part]:
    return [each for each in readable if _kinds(form.schema) & _kinds(each.schema)] or readable[:1]


_EVERY = frozenset({"string", "integer", "fraction", "boolean", "null", "object", "array"})


def _kinds(schema: Schema) -> frozenset[str]:
    if "type" in schema:
        return frozenset({"integer", "fraction"}) if schema["type"] == "number" else frozenset({schema["type"]})
    values = _values(schema)
    return _EVERY if values is None else frozenset(_kind_of(value) for value in values)


def _kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "fraction", str: "string", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _type(schema: Schema) -> str:
    return str(schema.get("type", "any"))


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if "enum" in schema else None


def _bounds(one: Schema, other: Schema, where: str) -> Iterator[str]:
    """Compare everything that a schema says of a single value; a word that nobody knows here must be the same."""
    if _values(one) is not None:
        return
    for word in sorted(other.keys() - _SILENT - _HANDLED):
        limit, held = other[word], one.get(word)
        if word.startswith("x-") or held == limit:
            continue
        if held is not None and ((word in _LEAST and held >= limit) or (word in _MOST and held <= limit)):
            continue
        if word in _LEAST and limit == 0 and word not in {"minimum", "exclusiveMinimum"}:
            continue
        yield f"{where}: {word} {limit!r}" + (f", was {held!r}" if held is not None else "")
