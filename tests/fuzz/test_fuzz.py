"""Made-up requests against every service, in one process and always the same; `make fuzz` runs ten times as many."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fuzz.engine import try_out
from tests.fuzz.ground import KEY, OTHER_KEY, prepare
from tests.fuzz.seeds import SEEDS

CASES = 200


@pytest.mark.parametrize("name", SEEDS)
def test_a_service_keeps_to_its_document(name: str, redis_url: str, tmp_path: Path) -> None:
    """Whatever is asked, the answer is one that the document promises, and never a fault."""
    verdict = try_out(prepare(name, redis_url, tmp_path), CASES, thorough=False)
    assert verdict.faults == []
    assert verdict.total >= CASES
    assert verdict.cases.keys() >= {"fuzzing", "stateful"}


def test_a_document_that_lies_is_found_out(redis_url: str, tmp_path: Path) -> None:
    """The control: a status that is not named, and a field of another type."""
    ground = prepare("notifications", redis_url, tmp_path)
    told = ground.app.openapi()
    paths: dict[str, Any] = told["paths"]
    del paths["/institutions/{institution}/deliveries"]["get"]["responses"]["403"]
    told["components"]["schemas"]["KeyReport"]["properties"]["may_write"] = {"type": "string"}
    ground.app.openapi = lambda: told  # type: ignore[method-assign] # the document is what lies
    said = "\n".join(try_out(ground, CASES, thorough=False).faults)
    assert "Undocumented status code: Received: 403" in said
    assert 'Response violates schema: true is not of type "string"' in said


class Hole:
    """Lets another institution read a single thing by its id, as a route would that forgets whose thing it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with the owner's key where a thing is named."""
        if scope["type"] == "http" and scope["method"] == "GET" and re.search("/[a-z]+_[0-9a-z]{8,}$", scope["path"]):
            others, owners = (f"Bearer {key}".encode() for key in (OTHER_KEY, KEY))
            scope = {
                **scope,
                "headers": [(name, owners if value == others else value) for name, value in scope["headers"]],
            }
        await self._app(scope, receive, send)


def test_a_thing_that_another_institution_can_read_is_found_out(redis_url: str, tmp_path: Path) -> None:
    """The control: whoever is not its owner gets a thing by its id; lists and changes stay closed."""
    ground = prepare("courses", redis_url, tmp_path)
    ground.app.add_middleware(Hole)
    said = "\n".join(try_out(ground, CASES, thorough=False).faults)
    assert "`amfn` received the `" in said
