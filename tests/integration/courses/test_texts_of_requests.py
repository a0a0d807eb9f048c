"""Texts that no database keeps are refused where they come in, in a body and in an address."""

import pytest

from tests.integration.courses.courses_house import OWNER, House

QUERIES = ("runs?number=%00", "runs?after=%00", "offers?after=%00", "participants?after=%00")


async def test_the_sign_nul_is_refused_in_a_body(house: House) -> None:
    """PostgreSQL cannot keep it; the sender is told so on every database."""
    body = {"title": "B2", "kind": "other", "description": "a\x00b"}
    refused = await house.api.post(f"/institutions/{OWNER}/offers", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("query", QUERIES)
async def test_the_sign_nul_is_refused_in_an_address(house: House, query: str) -> None:
    """It would be a fault of the service where PostgreSQL compares it."""
    refused = await house.api.get(f"/institutions/{OWNER}/{query}")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert (await house.api.get("/runs?after=%00.x")).status_code == 422


LESSON = {"starts": "2027-03-01T08:00:00Z", "ends": "2027-03-01T11:45:00Z"}
WRONG = [
    ("starts_on", 0),
    ("starts_on", "2027-01-01T00:00:00Z"),
    ("capacity", "5"),
    ("part_time", 1),
    ("sessions", [LESSON | {"starts": 1804000000}]),
    ("sessions", [LESSON | {"colour": "red"}]),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
async def test_another_kind_of_value_is_not_taken_for_the_right_one(house: House, name: str, value: object) -> None:
    """A number is no day, a text no number, and 1 is not true, whatever pydantic would make of it."""
    run = await house.run()
    refused = await house.api.patch(f"/institutions/{OWNER}/runs/{run}", json={name: value})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
