"""Seats, queue and timed offers at meetings, and the small pages that move them."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import pytest

from services.events import timers
from services.events.domain.meeting import Meeting
from services.events.store import Store
from shared.contract.events import RegistrantErased, RegistrationChanged
from tests.integration.events.events_house import OTHER, House, open_house


async def _three_at_one_seat(house: House) -> tuple[str, list[str]]:
    meeting_id = await house.meeting(capacity=1)
    return meeting_id, [await house.come(meeting_id) for _ in range(3)]


async def test_who_confirms_first_is_first_in_the_queue(house: House) -> None:
    """The queue counts from the confirmation: an unconfirmed person passes nobody."""
    meeting_id = await house.meeting(capacity=1)
    early = await house.unconfirmed(meeting_id)
    await house.come(meeting_id)
    second = await house.come(meeting_id)
    house.clock.turn(seconds=1)
    assert (await house.press("confirm", early)).status_code == 200
    page = await house.get(f"meetings/{meeting_id}/registrations")
    places = {each["registration_id"]: each["place_in_queue"] for each in page["items"]}
    assert (places[second], places[early]) == (1, 2)


async def test_a_cancelled_seat_is_offered_to_the_next_and_accepted(house: House) -> None:
    """Cancel by link, offer with a deadline of two days, accept by link."""
    _, (first, second, third) = await _three_at_one_seat(house)
    mark = await house.mark()
    assert (await house.press("cancel", first)).status_code == 200
    offered = await house.registration(second)
    assert (offered.state, offered.offered_until) == ("offered", house.clock.now() + timedelta(hours=48))
    assert await house.causes(mark) == ["withdrawn", "offered"]
    assert (await house.press("accept", second)).status_code == 200
    assert (await house.registration(second)).state == "registered"
    assert (await house.registration(third)).state == "waiting"


async def test_a_declined_offer_goes_to_the_next(house: House) -> None:
    """Declining is final for this offer and free of harm."""
    _, (first, second, third) = await _three_at_one_seat(house)
    await house.press("cancel", first)
    await house.press("decline", second)
    assert (await house.registration(second)).state == "cancelled"
    assert (await house.registration(third)).state == "offered"
    assert (await house.press("decline", second)).status_code == 200
    assert (await house.press("accept", second)).status_code == 410


async def test_an_expired_offer_goes_to_the_next_once_and_the_person_may_come_back(house: House) -> None:
    """Two copies of the timer at once end the offer once; asking again puts the person behind those who wait."""
    _, (first, second, third) = await _three_at_one_seat(house)
    await house.press("cancel", first)
    house.clock.turn(hours=48)
    mark = await house.mark()
    await asyncio.gather(timers.expire_offers(house.node), timers.expire_offers(house.node))
    assert await house.causes(mark) == ["offer_expired", "offered"]
    assert (await house.press("accept", second)).status_code == 410
    assert (await house.press("again", second)).status_code == 200
    assert (await house.registration(second)).state == "waiting"
    assert (await house.registration(third)).state == "offered"


async def test_no_offer_lasts_beyond_the_start_and_none_is_made_after_it(house: House) -> None:
    """An offer a day before the meeting ends with its start; a seat freed by staff afterwards stays empty."""
    meeting_id, (first, second, _) = await _three_at_one_seat(house)
    house.clock.turn(days=49, hours=-15)
    await house.press("cancel", first)
    offered = await house.registration(second)
    assert offered.offered_until is not None
    assert offered.offered_until.isoformat() == "2027-03-01T17:00:00+00:00"
    await house.press("accept", second)
    house.clock.turn(days=2)
    mark = await house.mark()
    await house.post(f"registrations/{second}/withdraw")
    assert await house.causes(mark) == ["withdrawn"]
    assert (await house.get(f"meetings/{meeting_id}"))["held"] == 0


async def test_whoever_asked_twice_has_one_place(house: House) -> None:
    """An expired person who registers anew and then follows the old link does not get a second place."""
    meeting_id = await house.meeting(capacity=1)
    first = await house.come(meeting_id, "a@example.org")
    second = await house.come(meeting_id, "b@example.org")
    await house.press("cancel", first)
    house.clock.turn(hours=48)
    await timers.expire_offers(house.node)
    anew = await house.come(meeting_id, "b@example.org")
    assert anew != second
    assert (await house.registration(anew)).state == "registered"
    assert "schon auf der Warteliste" in (await house.press("again", second)).text
    assert await house.states(meeting_id) == {"cancelled": 1, "expired": 1, "registered": 1}


async def test_an_old_link_takes_the_place_of_an_unconfirmed_request(house: House) -> None:
    """Who comes back by link needs no second confirmation: the open request is forgotten."""
    meeting_id = await house.meeting()
    first = await house.come(meeting_id, "a@example.org")
    await house.press("cancel", first)
    await house.unconfirmed(meeting_id, "a@example.org")
    assert (await house.press("again", first)).status_code == 200
    assert await house.states(meeting_id) == {"registered": 1}


@pytest.mark.parametrize("purpose", ["confirm", "accept", "decline", "cancel", "again"])
async def test_looking_at_a_link_changes_nothing(house: House, purpose: str) -> None:
    """Mail programs open links by themselves: GET shows a page with a button and does nothing."""
    meeting_id, (first, second, _) = await _three_at_one_seat(house)
    subjects = {"confirm": await house.unconfirmed(meeting_id), "cancel": first, "again": first}
    if purpose in ("accept", "decline", "again"):
        await house.press("cancel", first)
    mark, before = await house.mark(), await house.states(meeting_id)
    page = await house.everybody.get(house.link(purpose, subjects.get(purpose, second)))  # type: ignore[arg-type]  # pytest gives it as a word
    assert page.status_code == 200
    assert '<form method="post">' in page.text
    assert "Gartentreff" in page.text
    assert "Ada" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await house.mark(), await house.states(meeting_id)) == (mark, before)


async def test_links_that_are_not_ours_or_too_old_say_so_in_the_readers_language(house: House) -> None:
    """A broken token, a subject that is gone and an old link each have their page; Arabic runs right to left."""
    seated = await house.come(await house.meeting())
    old = house.link("cancel", seated, "ar", seconds=1)
    assert (await house.everybody.get("/l/nonsense")).status_code == 404
    assert (await house.everybody.post(house.link("cancel", "registration_00000000"))).status_code == 404
    assert 'dir="rtl"' in (await house.everybody.get(house.link("cancel", seated, "ar"))).text
    house.clock.turn(seconds=2)
    page = await house.everybody.post(old)
    assert page.status_code == 410
    assert 'dir="rtl"' in page.text
    assert (await house.registration(seated)).state == "registered"


async def test_the_page_after_the_meeting_says_that_it_is_too_late(house: House) -> None:
    """Nobody cancels a meeting that lies behind."""
    seated = await house.come(await house.meeting())
    house.clock.turn(days=60)
    for method in ("GET", "POST"):
        assert (await house.everybody.request(method, house.link("cancel", seated))).status_code == 410


async def test_staff_give_back_a_place_and_the_next_is_offered_it(house: House) -> None:
    """Twice is a conflict with a code."""
    _, (first, second, _) = await _three_at_one_seat(house)
    assert (await house.post(f"registrations/{first}/withdraw"))["state"] == "cancelled"
    assert (await house.registration(second)).state == "offered"
    assert (await house.post(f"registrations/{first}/withdraw", expect=409))["code"] == "registration_is_cancelled"


async def test_staff_answer_an_offer_for_somebody_who_calls(house: House) -> None:
    """Accepting and declining by phone is the same as by link; one look shows person and place in the queue."""
    _, (first, second, third) = await _three_at_one_seat(house)
    await house.press("cancel", first)
    assert (await house.post(f"registrations/{second}/decline"))["state"] == "cancelled"
    assert (await house.post(f"registrations/{third}/accept"))["state"] == "registered"
    assert (await house.post(f"registrations/{third}/accept", expect=409))["code"] == "already_done"
    shown = await house.get(f"registrations/{third}")
    assert (shown["state"], shown["name"], shown["place_in_queue"]) == ("registered", "Ada Beispiel", None)


async def test_an_erased_person_is_gone_and_the_counts_stay(house: House) -> None:
    """The seat goes to the next, no name or address remains, the old links are dead, what counted still counts."""
    meeting_id = await house.meeting(capacity=1, kind="diversity")
    await house.ask(meeting_id, "a@example.org", company="Beispiel GmbH")
    first = (await house.newest()).id
    await house.press("confirm", first)
    second = await house.come(meeting_id, "b@example.org")
    participant_id = (await house.registration(first)).participant_id
    erasing = f"/institutions/kargah/participants/{participant_id}"
    assert (await house.api.delete(erasing.replace("kargah", OTHER))).status_code == 403
    assert (await house.api.delete(erasing)).status_code == 204
    assert (await house.api.delete(erasing)).status_code == 404
    assert (await house.registration(second)).state == "offered"
    page = await house.get(f"meetings/{meeting_id}/registrations")
    erased = next(each for each in page["items"] if each["registration_id"] == first)
    assert [erased[name] for name in ("name", "mail", "company", "state")] == [None, None, None, "cancelled"]
    assert isinstance((await house.told())[-1], RegistrantErased)
    assert (await house.press("again", first)).status_code == 404
    await house.ask(meeting_id, "a@example.org")
    assert (await house.newest()).participant_id != participant_id


async def _raced(houses: Iterable[House], people: list[str]) -> None:
    async def press(house: House, subject: str) -> None:
        assert (await house.press("confirm", subject)).status_code == 200

    ways = list(houses)
    await asyncio.gather(*(press(ways[at % len(ways)], subject) for at, subject in enumerate(people)))


async def test_the_last_seats_raced_by_many_are_given_once(house: House) -> None:
    """Thirty people confirm at once for five seats: five sit, the others wait, each with a place of their own."""
    meeting_id = await house.meeting(capacity=5)
    people = [await house.unconfirmed(meeting_id) for _ in range(30)]
    await _raced([house], people)
    assert await house.states(meeting_id) == {"registered": 5, "waiting": 25}
    meeting = await house.get(f"meetings/{meeting_id}")
    assert (meeting["taken"], meeting["waiting"], meeting["availability"]["free"]) == (5, 25, 0)
    told = [each for each in await house.told() if isinstance(each, RegistrationChanged)]
    assert sorted(each.place_in_queue for each in told if each.place_in_queue) == list(range(1, 26))


class _NoLock(Store):
    async def locked_meeting(self, meeting_id: str, institution: str | None = None) -> Meeting:
        """Give the meeting and let others decide at the same time."""
        await asyncio.sleep(0.01)
        return await self.meeting(meeting_id, institution)


async def test_without_the_lock_the_last_seats_are_given_more_than_once(postgres_url: str) -> None:
    """The control of the lock: where nothing is locked, the same race gives too many seats."""
    async with open_house(postgres_url, _NoLock) as house:
        meeting_id = await house.meeting(capacity=5)
        people = [await house.unconfirmed(meeting_id) for _ in range(30)]
        await _raced([house], people)
        assert (await house.states(meeting_id))["registered"] > 5
