"""Each kind of change that breaks a promise is found and named, and one that breaks none passes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from shared.contract import openapi
from shared.contract.compatible import Part, unread

Document = dict[str, Any]
Change = Callable[[Document], object]

THING: Document = {
    "type": "object",
    "required": ["id", "state"],
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": ["draft", "open"]},
        "note": {"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]},
        "inner": {"$ref": "#/components/schemas/Thing"},
    },
}
SENT: Document = {
    "type": "object",
    "required": ["title"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "kind": {"enum": ["a", "b"]},
        "seats": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^x"}, "maxItems": 3},
    },
}
PROBLEM = {"content": {"application/problem+json": {"schema": {"type": "object"}}}}


def released() -> Document:
    """Give a small document of a service."""
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 200}}
    answer = {
        "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
    }
    return copy.deepcopy(
        {
            "info": {"title": "things", "version": "1.0.0"},
            "paths": {
                "/things/{id}": {
                    "get": {
                        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                        "responses": {"200": answer, "404": {"$ref": "#/components/responses/NotFound"}},
                    },
                },
                "/things": {
                    "get": {"parameters": [limit], "responses": {"200": {"description": "all"}}},
                    "post": {
                        "requestBody": {"content": {"application/json": {"schema": SENT}}},
                        "responses": {"201": answer},
                    },
                },
            },
            "components": {"schemas": {"Thing": THING}, "responses": {"NotFound": PROBLEM}},
        }
    )


def show(document: Document) -> Document:
    """Give the route that shows a thing."""
    found: Document = document["paths"]["/things/{id}"]["get"]
    return found


def shown(document: Document) -> Document:
    """Give the schema of what is answered."""
    found: Document = document["components"]["schemas"]["Thing"]
    return found


def add(document: Document) -> Document:
    """Give the route that takes a thing."""
    found: Document = document["paths"]["/things"]["post"]
    return found


def sent(document: Document) -> Document:
    """Give the schema of what is sent."""
    found: Document = add(document)["requestBody"]["content"]["application/json"]["schema"]
    return found


def listing(document: Document) -> Document:
    """Give the route that lists."""
    found: Document = document["paths"]["/things"]["get"]
    return found


NEW = {"name": "since", "in": "query", "required": True, "schema": {"type": "string"}}
BREAKS: dict[str, tuple[Change, str]] = {
    "a path": (lambda d: d["paths"].pop("/things/{id}"), "GET /things/{id}: is gone"),
    "a method": (lambda d: d["paths"]["/things"].pop("post"), "POST /things: is gone"),
    "a parameter": (lambda d: listing(d).pop("parameters"), "GET /things: the query parameter limit is gone"),
    "a parameter's bound": (
        lambda d: listing(d)["parameters"][0]["schema"].update(maximum=100),
        "GET /things ?limit: maximum 100, was 200",
    ),
    "a needed parameter": (
        lambda d: listing(d)["parameters"].append(NEW),
        "GET /things: the query parameter since is needed now",
    ),
    "a parameter that becomes needed": (
        lambda d: listing(d)["parameters"][0].update(required=True),
        "GET /things: the query parameter limit is needed now",
    ),
    "a key": (lambda d: listing(d).update(security=[{"HTTPBearer": []}]), "GET /things: needs a key now"),
    "a needed body": (lambda d: add(d)["requestBody"].update(required=True), "POST /things: a body is needed now"),
    "a media type that is read": (
        lambda d: add(d)["requestBody"].update(content={"text/csv": {}}),
        "POST /things: application/json is not read any more",
    ),
    "a field that is read": (lambda d: sent(d)["properties"].pop("seats"), "POST /things body.seats: is gone"),
    "a needed field": (
        lambda d: sent(d)["required"].append("kind"),
        "POST /things body.kind: is needed and may be missing",
    ),
    "a new needed field": (
        lambda d: sent(d)["required"].append("more") or sent(d)["properties"].update(more={"type": "string"}),
        "POST /things body.more: is needed and may be missing",
    ),
    "a word that is read": (
        lambda d: sent(d)["properties"]["kind"]["enum"].remove("b"),
        "POST /things body.kind: the word 'b'",
    ),
    "a tighter length": (
        lambda d: sent(d)["properties"]["title"].update(maxLength=100),
        "POST /things body.title: maxLength 100, was 200",
    ),
    "a new bound": (
        lambda d: sent(d)["properties"]["seats"].update(maximum=50),
        "POST /things body.seats: maximum 50",
    ),
    "another pattern": (
        lambda d: sent(d)["properties"]["tags"]["items"].update(pattern="^y"),
        "POST /things body.tags[]: pattern '^y', was '^x'",
    ),
    "a tighter list": (
        lambda d: sent(d)["properties"]["tags"].update(maxItems=2),
        "POST /things body.tags: maxItems 2, was 3",
    ),
    "words instead of a text": (
        lambda d: sent(d)["properties"].update(title={"enum": ["x"]}),
        "POST /things body.title: was not bound to certain words",
    ),
    "another type that is read": (
        lambda d: sent(d)["properties"].update(seats={"type": "string"}),
        "POST /things body.seats: of type integer, not string",
    ),
    "a status": (lambda d: show(d)["responses"].pop("404"), "GET /things/{id} 404: is gone"),
    "a media type that is given": (
        lambda d: show(d)["responses"]["200"].update(content={"text/plain": {}}),
        "GET /things/{id} 200: application/json is not given any more",
    ),
    "a header": (
        lambda d: show(d)["responses"]["200"].pop("headers"),
        "GET /things/{id} 200: the header ETag is gone",
    ),
    "a header that was sure": (
        lambda d: show(d)["responses"]["200"]["headers"]["ETag"].update(required=False),
        "GET /things/{id} 200: the header ETag may be missing now",
    ),
    "an answered field": (lambda d: shown(d)["properties"].pop("note"), "GET /things/{id} 200.note: is gone"),
    "an answered field that was sure": (
        lambda d: shown(d)["required"].remove("id"),
        "GET /things/{id} 200.id: is needed and may be missing",
    ),
    "a word that nobody knows": (
        lambda d: shown(d)["properties"]["state"]["enum"].append("lost"),
        "GET /things/{id} 200.state: the word 'lost'",
    ),
    "another type that is given": (
        lambda d: shown(d)["properties"].update(id={"type": "integer"}),
        "GET /things/{id} 200.id: of type integer, not string",
    ),
    "null where none was": (
        lambda d: shown(d)["properties"].update(id={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "GET /things/{id} 200.id: of type null, not string",
    ),
    "a looser length": (
        lambda d: shown(d)["properties"]["note"]["anyOf"][0].update(maxLength=20),
        "GET /things/{id} 200.note: maxLength 10, was 20",
    ),
    "a type of problem": (
        lambda d: d["components"]["responses"]["NotFound"].update(content={"application/json": {}}),
        "GET /things/{id} 404: application/problem+json is not given any more",
    ),
}


@pytest.mark.parametrize(("change", "words"), BREAKS.values(), ids=BREAKS)
def test_a_change_that_breaks_is_found(change: Change, words: str) -> None:
    """Every kind of break is named with its place."""
    new = released()
    change(new)
    assert words in openapi.breaks(released(), new)


def test_what_is_only_added_breaks_nothing() -> None:
    """The control: new routes, optional parameters and fields, looser requests and surer answers all pass."""
    new = released()
    new["paths"]["/more"] = {"get": {"responses": {"200": {}}}}
    new["paths"]["/things/{thing_id}"] = new["paths"].pop("/things/{id}")
    show_it = new["paths"]["/things/{thing_id}"]["get"]
    show_it["parameters"][0]["name"] = "thing_id"
    show_it["responses"]["304"] = {}
    listing(new)["parameters"].append({**NEW, "required": False})
    listing(new)["parameters"][0]["schema"]["maximum"] = 500
    body = sent(new)
    body["properties"] |= {"more": {"type": "string"}, "title": {"type": ["string", "null"], "maxLength": 300}}
    body["properties"]["kind"]["enum"].append("c")
    body["required"] = []
    thing = shown(new)
    thing["properties"] |= {"more": {"type": "integer"}, "note": {"type": "string", "maxLength": 5}}
    thing["properties"]["state"]["enum"] = ["open"]
    thing["required"].append("note")
    assert openapi.breaks(released(), new) == []
    assert openapi.breaks(new, released()) != []


PERSON: Document = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
MESSAGES = {
    "an optional field": ({"age": {"type": "integer"}}, [], []),
    "a needed field": ({"age": {"type": "integer"}}, ["age"], ["m.age: is needed and may be missing"]),
    "a wider type": ({"name": {"type": ["string", "null"]}}, [], ["m.name: of type null, not string"]),
    "a narrower one": ({"name": {"enum": ["Ada"]}}, [], ["m.name: was not bound to certain words"]),
}


@pytest.mark.parametrize(("fields", "needed", "words"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_is_read_by_old_and_new(fields: Document, needed: list[str], words: list[str]) -> None:
    """Old readers read what is told now, and new ones what was told then."""
    new = {**PERSON, "properties": {**PERSON["properties"], **fields}, "required": ["name", *needed]}
    one, other = Part(PERSON, PERSON), Part(new, new)
    assert [*unread(other, one, "m", "reader"), *unread(one, other, "m", "writer")] == words


def test_a_tree_that_holds_itself_is_compared_once() -> None:
    """A schema that refers to itself ends, and a break inside it is found."""
    tree = {
        "$defs": {"Tree": {"type": "object", "properties": {"of": {"$ref": "#/$defs/Tree"}, "n": {"type": "null"}}}}
    }
    other = copy.deepcopy(tree)
    assert unread(Part({"$ref": "#/$defs/Tree"}, tree), Part({"$ref": "#/$defs/Tree"}, other), "t", "reader") == []
    other["$defs"]["Tree"]["properties"]["n"] = {"type": "string"}  # type: ignore[index] # any JSON
    found = unread(Part({"$ref": "#/$defs/Tree"}, tree), Part({"$ref": "#/$defs/Tree"}, other), "t", "reader")
    assert found == ["t.n: of type null, not string"]
