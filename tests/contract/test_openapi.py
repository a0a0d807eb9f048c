"""The OpenAPI documents: committed, fresh, no promise broken, and true in what they say of each route."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.contract import openapi
from shared.kit import documents
from shared.kit.command import services

SERVICES = sorted(services())
EVERY = pytest.mark.parametrize("name", SERVICES)
Operation = dict[str, Any]


def committed(name: str) -> dict[str, Any]:
    """Give a document as it is committed."""
    found: dict[str, Any] = json.loads(documents.place(name).read_text("utf-8"))
    return found


def routes(name: str) -> Iterator[tuple[str, str, Operation]]:
    """Give every route that is not a probe of health."""
    for path, operations in committed(name)["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/health/"):
                yield method, path, operation


@EVERY
def test_the_document_is_the_one_that_is_committed(name: str) -> None:
    """`make contract` writes it; a forgotten one is seen here."""
    assert documents.place(name).read_text("utf-8") == documents.render(services()[name])


@EVERY
def test_nothing_that_was_released_is_broken(name: str) -> None:
    """Whoever was written for the last release works with this one."""
    released = json.loads(documents.place(name, released=True).read_text("utf-8"))
    assert openapi.breaks(released, committed(name)) == []


@EVERY
def test_every_route_has_a_name_of_its_own(name: str) -> None:
    """Generated clients name their functions by it."""
    names = [operation["operationId"] for _, _, operation in routes(name)]
    assert len(set(names)) == len(names)


@EVERY
def test_a_route_without_a_key_answers_nothing_about_keys(name: str) -> None:
    """401 and 403 are listed where a key is asked for, and there always."""
    for method, path, operation in routes(name):
        secured = bool(operation.get("security"))
        assert ({"401", "403"} <= operation["responses"].keys()) == secured, (method, path)
        assert bool({"401", "403"} & operation["responses"].keys()) == secured, (method, path)


@EVERY
def test_a_problem_is_documented_as_what_it_is(name: str) -> None:
    """Every answer from 400 on is problem+json, and names the headers that come with it."""
    document = committed(name)
    for method, path, operation in routes(name):
        for status, answer in operation["responses"].items():
            if status >= "400":
                problem = document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
                assert list(problem["content"]) == ["application/problem+json"], (method, path, status)
    answers = document["components"]["responses"]
    assert answers["TooMany"]["headers"]["Retry-After"]["required"]
    assert answers["Unauthorised"]["headers"]["WWW-Authenticate"]["required"]


@EVERY
def test_a_route_lists_only_what_it_can_answer(name: str) -> None:
    """Nothing conflicts with reading, nothing is too large without a body, nothing has changed without `If-Match`."""
    for method, path, operation in routes(name):
        named = {parameter["name"] for parameter in operation.get("parameters", ())}
        statuses = operation["responses"].keys()
        assert method != "get" or not {"409", "412", "413"} & statuses, (method, path)
        assert ("413" in statuses) == ("requestBody" in operation), (method, path)
        assert ("412" in statuses) == ("If-Match" in named), (method, path)
        assert ("Idempotency-Key" in named) == (method == "post"), (method, path)
        assert "{" in path or "404" not in statuses, (method, path)


@EVERY
def test_what_is_read_as_json_has_a_tag(name: str) -> None:
    """Whoever copies the state asks with the tag and gets 304."""
    for method, path, operation in routes(name):
        content = operation["responses"].get("200", {}).get("content", {})
        if method == "get" and list(content) == ["application/json"]:
            assert operation["responses"]["200"]["headers"]["ETag"]["required"], path
            assert operation["responses"]["304"]["headers"]["ETag"]["required"], path
            assert "If-None-Match" in {parameter["name"] for parameter in operation["parameters"]}, path


def test_what_comes_with_an_etag_is_changed_with_if_match() -> None:
    """The header is documented where the thing is shown, and what changes it takes it back."""
    paths = committed("courses")["paths"]
    run = paths["/institutions/{institution}/runs/{run_id}"]
    assert run["get"]["responses"]["200"]["headers"]["ETag"]["required"]
    assert "If-Match" in {parameter["name"] for parameter in run["patch"]["parameters"]}


def test_a_changed_document_is_released_under_a_higher_version_only() -> None:
    """What is added counts up; what is broken is not released at all; what is the same may be released again."""
    old = committed("members")
    more = {**old, "paths": {**old["paths"], "/more": old["paths"]["/projects"]}}
    higher = {**more, "info": {**old["info"], "version": "1.10.0"}}
    less = {**higher, "paths": {path: each for path, each in old["paths"].items() if path != "/projects"}}
    assert documents.refusals(old, old) == []
    assert documents.refusals(old, higher) == []
    assert documents.refusals(old, more) == [
        f"ALBuM members: it changed, and its version is still {old['info']['version']}"
    ]
    assert documents.refusals(old, less) == ["GET /projects: is gone"]
