"""Runs through the service: published, confirmed, started, completed; and the copies of everybody's runs."""

import asyncio
from typing import Any

from services.courses import timers
from services.courses.consume import runs
from shared.contract.courses import RunMessage, RunPublished
from shared.contract.words import SeatCause
from tests.integration.courses.courses_house import OTHER, House


async def _hear(house: House, messages: list[Any]) -> None:
    async with house.works() as work:
        await runs([each for each in messages if isinstance(each, RunMessage)], work)


async def test_a_draft_tells_nothing(house: House) -> None:
    """Planning and changing a draft is nobody else's to know, and nobody can ask for a seat in it."""
    run_id = await house.run(publish=False)
    await house.patch(f"runs/{run_id}", {"title": "Noch geheim"})
    assert await house.told() == []
    refused = await house.post(f"runs/{run_id}/enrolments", {"participant_id": await house.person()}, 409)
    assert refused["code"] == "run_is_draft"


async def test_a_run_lives_by_commands_and_each_is_told(house: House) -> None:
    """Publish, confirm, start, complete: four messages with growing versions; a step backwards is refused."""
    run_id = await house.run()
    for step in ("confirm", "start", "complete"):
        await house.post(f"runs/{run_id}/{step}")
    told = [each for each in await house.told() if isinstance(each, RunMessage)]
    assert [each.picture.state.value for each in told] == ["published", "confirmed", "running", "completed"]
    assert [each.version for each in told] == [1, 2, 3, 4]
    assert (await house.post(f"runs/{run_id}/publish", expect=409))["code"] == "run_is_completed"


async def test_confirmed_runs_start_and_end_by_the_calendar_and_published_ones_do_not(house: House) -> None:
    """The first session starts one, the last session ends it; whoever waits then gets no seat any more."""
    confirmed, published = await house.run(capacity=1), await house.run()
    await house.post(f"runs/{confirmed}/confirm")
    await house.ask(confirmed)
    waiting = await house.ask(confirmed)
    house.clock.at = house.clock.at.replace(month=3, day=1, hour=8, minute=0, second=0, microsecond=0)
    await timers.start_runs(house.node)
    assert (await house.get(f"runs/{confirmed}"))["state"] == "running"
    house.clock.turn(hours=3, minutes=45)
    await timers.complete_runs(house.node)
    assert (await house.get(f"runs/{confirmed}"))["state"] == "completed"
    assert (await house.enrolment(waiting["enrolment_id"]))["state"] == "expired"
    assert (await house.get(f"runs/{published}"))["state"] == "published"


async def test_timers_of_two_copies_do_everything_once(house: House) -> None:
    """A second copy that sees the same offer due at the same moment finds it done and says nothing."""
    run_id = await house.run(capacity=1)
    asked = [await house.ask(run_id) for _ in range(3)]
    await house.post(f"enrolments/{asked[0]['enrolment_id']}/withdraw")
    house.clock.turn(hours=48)
    mark = await house.mark()
    await asyncio.gather(timers.expire_offers(house.node), timers.expire_offers(house.node))
    told = await house.told_since(mark)
    causes = [each.cause for each in told if hasattr(each, "cause")]
    assert causes == [SeatCause.OFFER_EXPIRED, SeatCause.OFFERED]


async def test_everybodys_runs_are_listed_filtered_and_paged(house: House) -> None:
    """What was told comes back as pictures; filters and pages cut it as asked, without a key."""
    await house.run(capacity=1, kind="other", to_level="B1")
    await house.run(capacity=0, to_level="B2", place={"quarter": "List"})
    await house.run(capacity=3, from_level="B2", to_level="C1")
    told = await house.told()
    await _hear(house, told)
    house.api.headers.pop("Authorization")

    async def numbers(query: str = "") -> list[str]:
        answer = (await house.api.get(f"/runs?{query}")).json()
        return [each["run"]["number"] for each in answer["items"]]

    assert await numbers() == ["27-0001", "27-0002", "27-0003"]
    assert await numbers("free=true") == ["27-0001", "27-0003"]
    assert await numbers("level=B2") == ["27-0002", "27-0003"]
    assert await numbers("kind=other&state=published") == ["27-0001"]
    assert await numbers("quarter=List") == ["27-0002"]
    assert await numbers(f"institution={OTHER}") == []
    first = (await house.api.get("/runs?limit=2")).json()
    rest = (await house.api.get("/runs", params={"limit": 2, "after": first["next"]})).json()
    assert [each["run"]["number"] for each in rest["items"]] == ["27-0003"]
    assert rest["next"] is None
    one = first["items"][0]
    shown = (await house.api.get(f"/runs/{one['run']['run_id']}")).json()
    assert shown == one
    assert (await house.api.get("/runs?limit=201")).status_code == 422


async def test_an_older_picture_never_replaces_a_newer_one(house: House) -> None:
    """Replayed and reordered messages move nothing back; another institution cannot overwrite a run."""
    run_id = await house.run(capacity=2)
    await house.ask(run_id)
    told = [each for each in await house.told() if isinstance(each, RunMessage)]
    await _hear(house, [told[-1]])
    await _hear(house, [told[0]])
    assert (await house.api.get(f"/runs/{run_id}")).json()["run"]["availability"]["free"] == 1
    stranger = RunPublished(institution="kargah", version=99, picture=told[0].picture)
    await _hear(house, [stranger])
    own = (await house.api.get("/runs?institution=vhs-nord")).json()["items"][0]
    assert own["run"]["availability"]["free"] == 1
