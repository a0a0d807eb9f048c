"""Made-up requests against every service, in one process and always the same; `make fuzz` runs ten times as many."""

from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.engine import try_out
from tests.fuzz.ground import prepare
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
