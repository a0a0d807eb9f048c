"""Meetings are planned, published, changed, postponed, held and cancelled, and the network hears of it."""

from typing import Any

import pytest

from services.events import timers
from shared.contract import events as told
from shared.contract.events import MeetingMessage, RegistrationChanged
from tests.integration.events.events_house import OWNER, House


async def _public(house: House, since: int = 0) -> list[MeetingMessage]:
    return [each for each in await house.told(since) if isinstance(each, MeetingMessage)]


async def test_a_draft_is_nobody_elses_to_see(house: House) -> None:
    """A draft can be changed and tells nothing; nobody can ask to attend it."""
    meeting_id = await house.meeting(publish=False)
    await house.patch(f"meetings/{meeting_id}", {"title": "Anders"})
    await house.ask(meeting_id, expect=404)
    assert await house.told() == []
    assert (await house.get("meetings"))["items"][0]["title"] == "Anders"


async def test_a_meeting_of_a_series_takes_its_kind_and_title(house: House) -> None:
    """What is published names the series."""
    series = await house.post("series", {"title": "Diversity-Netzwerk", "kind": "diversity"}, 201)
    await house.meeting(series_id=series["series_id"])
    [message] = await _public(house)
    assert (message.picture.kind, message.picture.series_title) == ("diversity", "Diversity-Netzwerk")
    assert (await house.get("series"))["items"] == [series]


async def test_versions_grow_with_each_public_change_and_the_state_is_whole(house: House) -> None:
    """Publishing, changing and cancelling are told with growing versions; what changes nothing is not told."""
    meeting_id = await house.meeting(interests=["Garten"], place={"name": "Garten", "quarter": "Linden-Nord"})
    await house.patch(f"meetings/{meeting_id}", {"description": "Mit Kaffee"})
    await house.patch(f"meetings/{meeting_id}", {"description": "Mit Kaffee"})
    await house.post(f"meetings/{meeting_id}/cancel", {"reason": "Regen"})
    messages = await _public(house)
    assert [type(each) for each in messages] == [told.MeetingPublished, told.MeetingChanged, told.MeetingCancelled]
    assert [each.version for each in messages] == [1, 2, 3]
    assert all(each.picture.interests == ("Garten",) for each in messages)
    assert messages[-1].picture.reason == "Regen"
    assert messages[-1].picture.availability.free == 0


async def test_a_cancelled_meeting_tells_everybody_who_had_a_place(house: House) -> None:
    """Seated and waiting people are told once; who never confirmed counts for nothing and is not told."""
    meeting_id = await house.meeting(capacity=1)
    await house.come(meeting_id)
    await house.come(meeting_id)
    await house.unconfirmed(meeting_id)
    mark = await house.mark()
    await house.post(f"meetings/{meeting_id}/cancel", {"reason": "Regen"})
    assert await house.causes(mark) == ["occasion_cancelled", "occasion_cancelled"]
    assert await house.states(meeting_id) == {"cancelled": 2, "unconfirmed": 1}


async def test_people_hear_of_another_time_and_not_of_another_description(house: House) -> None:
    """A mail is for what stands in somebody's calendar."""
    meeting_id = await house.meeting()
    await house.come(meeting_id)
    mark = await house.mark()
    await house.patch(f"meetings/{meeting_id}", {"description": "Mit Kaffee"})
    assert await house.causes(mark) == []
    await house.patch(f"meetings/{meeting_id}", {"starts": "2027-03-02T17:00:00Z"})
    assert await house.causes(mark) == ["occasion_changed"]


async def test_a_postponed_meeting_waits_and_goes_on_at_its_new_time(house: House) -> None:
    """Without a time it is postponed and nobody can ask; with one it is published again and keeps its people."""
    meeting_id = await house.meeting(ends="2027-03-01T19:00:00Z")
    await house.come(meeting_id)
    mark = await house.mark()
    postponed = await house.post(f"meetings/{meeting_id}/postpone", {"reason": "Umbau"})
    assert postponed["state"] == "postponed"
    await house.ask(meeting_id, expect=409)
    again = await house.post(f"meetings/{meeting_id}/postpone", {"starts": "2027-04-01T17:00:00Z"})
    assert (again["state"], again["ends"], again["taken"]) == ("published", "2027-04-01T19:00:00Z", 1)
    assert [type(each) for each in await _public(house, mark)] == [told.MeetingPostponed, told.MeetingChanged]
    assert await house.causes(mark) == ["occasion_changed", "occasion_changed"]


async def test_postponing_to_a_known_time_tells_both_and_people_once(house: House) -> None:
    """The network hears that it was postponed and then the new time; people read one thing only."""
    meeting_id = await house.meeting()
    await house.come(meeting_id)
    mark = await house.mark()
    await house.post(f"meetings/{meeting_id}/postpone", {"starts": "2027-04-01T17:00:00Z", "reason": "Umbau"})
    messages = await _public(house, mark)
    assert [(type(each), each.picture.state) for each in messages] == [
        (told.MeetingPostponed, "postponed"),
        (told.MeetingChanged, "published"),
    ]
    assert messages[1].version == messages[0].version + 1
    assert await house.causes(mark) == ["occasion_changed"]


async def test_more_seats_are_offered_at_once_to_those_who_wait(house: House) -> None:
    """No seat stays idle while somebody waits."""
    meeting_id = await house.meeting(capacity=1)
    for _ in range(3):
        await house.come(meeting_id)
    await house.patch(f"meetings/{meeting_id}", {"capacity": 2})
    assert await house.states(meeting_id) == {"registered": 1, "offered": 1, "waiting": 1}
    refused = await house.patch(f"meetings/{meeting_id}", {"capacity": 1}, expect=409)
    assert refused["code"] == "seats_are_taken"


async def test_the_limit_keeps_seats_back(house: House) -> None:
    """Of 18 seats one is given here; the limit can go, and the next is offered a seat."""
    meeting_id = await house.meeting(limit=1)
    await house.come(meeting_id)
    await house.come(meeting_id)
    assert await house.states(meeting_id) == {"registered": 1, "waiting": 1}
    await house.patch(f"meetings/{meeting_id}", {"limit": None})
    assert await house.states(meeting_id) == {"registered": 1, "offered": 1}


async def test_meetings_are_held_after_their_end_once_even_by_two_copies(house: House) -> None:
    """The clock holds a meeting; whoever still waits is told that it is over, and a second turn does nothing."""
    meeting_id = await house.meeting(capacity=1)
    seated = await house.come(meeting_id)
    await house.come(meeting_id)
    house.clock.turn(days=49, hours=10)
    await timers.hold_meetings(house.node)
    assert (await house.get(f"meetings/{meeting_id}"))["state"] == "published"
    house.clock.turn(hours=3)
    mark = await house.mark()
    await timers.hold_meetings(house.node)
    await timers.hold_meetings(house.node)
    assert [type(each) for each in await _public(house, mark)] == [told.MeetingHeld]
    assert await house.causes(mark) == ["progressed"]
    assert (await house.post(f"registrations/{seated}/attended"))["state"] == "attended"
    assert (await house.post(f"registrations/{seated}/no_show"))["state"] == "no_show"


async def test_nobody_can_have_come_before_the_meeting(house: House) -> None:
    """Attendance is noted from the start on."""
    seated = await house.come(await house.meeting())
    assert (await house.post(f"registrations/{seated}/attended", expect=409))["code"] == "meeting_is_ahead"


@pytest.mark.parametrize(
    "plan",
    [
        {"capacity": 0},
        {"capacity": 2, "limit": 3},
        {"ends": "2027-03-01T16:00:00Z"},
        {"starts": "2027-03-01T17:00:00"},
        {"place": {"quarter": "Atlantis"}},
        {"title": " "},
        {"unknown": 1},
        {"kind": None},
    ],
)
async def test_a_plan_that_cannot_be_is_refused(house: House, plan: dict[str, Any]) -> None:
    """What does not fit gets 422 and leaves nothing behind."""
    body = {"title": "Gartentreff", "starts": "2027-03-01T17:00:00Z", "capacity": 18, **plan}
    answer = await house.api.post(f"/institutions/{OWNER}/meetings", json=body)
    assert answer.status_code == 422, answer.text
    assert (await house.get("meetings"))["items"] == []


async def test_a_meeting_in_the_past_cannot_be_published(house: House) -> None:
    """Nobody could come any more."""
    meeting_id = await house.meeting(publish=False, starts="2026-03-01T17:00:00Z")
    assert (await house.post(f"meetings/{meeting_id}/publish", expect=409))["code"] == "meeting_is_in_the_past"


async def test_everybody_finds_the_meetings_of_the_network(house: House) -> None:
    """Copies are listed by start with filters and pages; they come from what was told."""
    await house.meeting(title="B", starts="2027-03-02T17:00:00Z", kind="micro_project", place={"quarter": "Zoo"})
    await house.meeting(title="A", starts="2027-03-01T17:00:00.5Z")
    full = await house.meeting(title="C", starts="2027-03-03T17:00:00Z", capacity=1)
    await house.come(full)
    await house.hear()

    async def titles(query: str) -> list[str]:
        answer = await house.everybody.get(f"/meetings?{query}")
        assert answer.status_code == 200, answer.text
        return [each["meeting"]["title"] for each in answer.json()["items"]]

    assert await titles("") == ["A", "B", "C"]
    assert await titles("kind=micro_project") == ["B"]
    assert await titles("quarter=Zoo") == ["B"]
    assert await titles("free=true") == ["A", "B"]
    assert await titles("from=2027-03-02T00:00:00Z") == ["B", "C"]
    assert await titles("institution=nobody") == []
    first = (await house.everybody.get("/meetings?limit=2")).json()
    assert await titles(f"limit=2&after={first['next']}") == ["C"]
    assert (await house.everybody.get("/meetings?after=nonsense")).status_code == 422
    one = await house.everybody.get(f"/meetings/{full}")
    assert one.json()["meeting"]["availability"]["free"] == 0


async def test_an_older_picture_never_replaces_a_newer_one(house: House) -> None:
    """Messages that come again or late move no copy back."""
    meeting_id = await house.meeting()
    await house.patch(f"meetings/{meeting_id}", {"title": "Neu"})
    await house.hear()
    await house.hear()
    seen = await house.everybody.get(f"/meetings/{meeting_id}")
    assert (seen.json()["meeting"]["title"], seen.json()["version"]) == ("Neu", 2)


async def test_no_public_message_names_a_person(house: House) -> None:
    """A name and an address travel in the one contact message, inside the institution."""
    meeting_id = await house.meeting(kind="diversity", capacity=1)
    await house.ask(meeting_id, "ada@example.org", name="Ada Beispiel", company="Beispiel GmbH")
    await house.press("confirm", (await house.newest()).id)
    for message in await house.told():
        text = message.model_dump_json()
        assert "Beispiel GmbH" not in text
        if not isinstance(message, told.RegistrantContactRecorded):
            assert "ada@example.org" not in text
            assert "Ada" not in text
    assert any(isinstance(each, RegistrationChanged) for each in await house.told())
