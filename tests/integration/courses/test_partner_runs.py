"""Runs that an institution manages in its own software are told on; those that are managed here are not touched."""

import json
from typing import Any

from services.courses.consume import runs
from shared.contract.courses import RunCancelled, RunPublished
from shared.contract.samples import sample
from tests.integration.courses.courses_house import OTHER, OWNER, House


def _event(
    run_id: str, version: int, state: str = "published", kind: Any = RunPublished, **data: Any
) -> dict[str, Any]:
    picture = {**sample(kind)["picture"], "run_id": run_id, "state": state}
    word = kind.model_fields["type"].default
    said = {"institution": OWNER, "version": version, "picture": picture, **data}
    return {
        "specversion": "1.0",
        "id": f"{run_id}-{version}",
        "source": "https://kufer.example",
        "type": word,
        "data": said,
    }


async def _send(house: House, *events: dict[str, Any], key: str = OWNER) -> list[str]:
    headers = {"Content-Type": "application/cloudevents-batch+json", "Authorization": f"Bearer {key}"}
    answer = await house.api.post("/messages", content=json.dumps(events), headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["code"] or one["status"] for one in answer.json()["answers"]]


async def test_a_run_that_is_managed_here_is_not_taken(house: House) -> None:
    """Its owner changes it by commands, and nobody else at all."""
    run_id = await house.run()
    mark = await house.mark()
    assert await _send(house, _event(run_id, 50)) == ["managed_here"]
    assert await _send(house, _event(run_id, 51, institution=OTHER), key=OTHER) == ["managed_here"]
    assert await house.told_since(mark) == []


async def test_the_run_of_another_institution_is_not_taken(house: House) -> None:
    """Once its owner was heard, nobody else speaks of it under the same id."""
    run_id = "run_elsewhere1"
    heard = RunPublished.model_validate(_event(run_id, 7)["data"])
    async with house.works() as work:
        await runs([heard], work)
    assert await _send(house, _event(run_id, 8, institution=OTHER), key=OTHER) == ["other_institution"]
    assert await _send(house, _event(run_id, 7), _event(run_id, 8)) == ["stale_version", "accepted"]


async def test_a_message_shows_a_state_that_its_type_can_have(house: House) -> None:
    """No draft is published, nothing cancelled is open, and the run goes from published to cancelled."""
    said = await _send(
        house,
        _event("run_partner1", 1, "draft"),
        _event("run_partner1", 1),
        _event("run_partner1", 2, "published", RunCancelled),
        _event("run_partner1", 2, "cancelled", RunCancelled),
    )
    assert said == ["wrong_state", "accepted", "wrong_state", "accepted"]
    assert [type(one) for one in await house.told()] == [RunPublished, RunCancelled]


async def test_erasing_drops_kept_answers_that_name_the_person(house: House) -> None:
    """A POST with a key leaves its answer for seven days, unless the person is erased."""
    headers = {"Idempotency-Key": "k"}
    body = {"language": "tr", "name": "Ada Beispiel"}
    url = f"/institutions/{OWNER}/participants"
    first = await house.api.post(url, json=body, headers=headers)
    again = await house.api.post(url, json=body, headers=headers)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    done = await house.api.delete(f"{url}/{first.json()['participant_id']}")
    assert done.status_code < 300, done.text
    gone = await house.api.post(url, json=body, headers=headers)
    assert (gone.status_code, gone.json()["code"]) == (409, "idempotency_answer_not_kept")
