"""People ask, wait, are offered seats, accept, decline, let offers pass and leave."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from services.courses import timers
from shared.contract.courses import EnrolmentChanged, RunAvailabilityChanged, RunConfirmed, RunMessage
from shared.contract.words import SeatCause
from tests.integration.courses.courses_house import House


async def _places(house: House, run_id: str) -> Counter[str]:
    page = await house.get(f"runs/{run_id}/enrolments")
    return Counter(each["state"] for each in page["items"])


def _causes(messages: list[Any]) -> list[SeatCause]:
    return [each.cause for each in messages if isinstance(each, EnrolmentChanged)]


async def test_a_run_fills_up_and_the_next_one_waits_with_a_place(house: House) -> None:
    """The last seat is given, whoever comes then is first in the queue, and the network reads what is free."""
    run_id = await house.run(capacity=2)
    first, second, third, fourth = [await house.ask(run_id) for _ in range(4)]
    assert [first["state"], second["state"]] == ["enrolled", "enrolled"]
    assert (third["state"], third["place_in_queue"]) == ("waiting", 1)
    assert (fourth["state"], fourth["place_in_queue"]) == ("waiting", 2)
    public = [each for each in await house.told() if isinstance(each, RunMessage)]
    assert [each.picture.availability.free for each in public] == [2, 1, 0, 0]
    assert [each.version for each in public] == [1, 2, 3, 4]
    assert isinstance(public[-1], RunAvailabilityChanged)


async def test_a_cancelled_seat_is_offered_and_accepted(house: House) -> None:
    """The next one gets an offer with a deadline of two days, and takes it."""
    run_id = await house.run(capacity=1)
    first, second = await house.ask(run_id), await house.ask(run_id)
    mark = await house.mark()
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
    offered = await house.enrolment(second["enrolment_id"])
    assert offered["state"] == "offered"
    assert datetime.fromisoformat(offered["offered_until"]) == house.clock.now() + timedelta(hours=48)
    assert _causes(await house.told_since(mark)) == [SeatCause.WITHDRAWN, SeatCause.OFFERED]
    taken = await house.post(f"enrolments/{second['enrolment_id']}/accept")
    assert taken["state"] == "enrolled"
    assert (await house.get(f"runs/{run_id}"))["held"] == 0


async def test_an_offer_ends_on_the_second_of_its_deadline_and_goes_to_the_next(house: House) -> None:
    """One second before, nothing happens; at the deadline the offer is over, also for whoever accepts."""
    run_id = await house.run(capacity=1)
    first, second, third = [await house.ask(run_id) for _ in range(3)]
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
    house.clock.turn(hours=47, minutes=59, seconds=59)
    await timers.expire_offers(house.node)
    assert (await house.enrolment(second["enrolment_id"]))["state"] == "offered"
    house.clock.turn(seconds=1)
    refused = await house.post(f"enrolments/{second['enrolment_id']}/accept", expect=409)
    assert refused["code"] == "too_late"
    await timers.expire_offers(house.node)
    assert (await house.enrolment(second["enrolment_id"]))["state"] == "expired"
    assert (await house.enrolment(third["enrolment_id"]))["state"] == "offered"


async def test_a_declined_offer_goes_to_the_next_and_keeps_other_queues(house: House) -> None:
    """Declining in one run leaves the person's turn in another."""
    one, other = await house.run(capacity=1), await house.run(capacity=1)
    first, person = await house.ask(one), await house.person()
    await house.ask(other)
    here, there = await house.ask(one, person), await house.ask(other, person)
    third = await house.ask(one)
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
    await house.post(f"enrolments/{here['enrolment_id']}/decline")
    assert (await house.enrolment(third["enrolment_id"]))["state"] == "offered"
    assert (await house.enrolment(there["enrolment_id"]))["place_in_queue"] == 1


async def test_the_queue_goes_by_obliged_entitled_others_then_time(house: House) -> None:
    """Whoever is obliged passes all who asked before; a used entitlement counts no more."""
    run_id = await house.run(capacity=1)
    first = await house.ask(run_id)
    other = await house.ask(run_id)
    entitled = await house.ask(run_id, await house.person(obliged=False))
    obliged = await house.ask(run_id, await house.person(obliged=True))
    places = [(await house.enrolment(each["enrolment_id"]))["place_in_queue"] for each in (obliged, entitled, other)]
    assert places == [1, 2, 3]
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
    await house.post(f"enrolments/{obliged['enrolment_id']}/accept")
    file = await house.get(f"participants/{obliged['participant_id']}")
    assert [each["state"] for each in file["entitlements"]] == ["used"]


async def test_asking_twice_gives_the_same_enrolment_and_tells_nothing(house: House) -> None:
    """The second ask of the same person changes nothing; after leaving it is a new turn of the same enrolment."""
    run_id, person = await house.run(), await house.person()
    first = await house.ask(run_id, person)
    mark = await house.mark()
    assert await house.ask(run_id, person, expect=200) == first
    assert await house.told_since(mark) == []
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
    again = await house.ask(run_id, person)
    assert (again["enrolment_id"], again["state"]) == (first["enrolment_id"], "enrolled")


async def test_reaching_the_minimum_confirms_the_run_at_once(house: House) -> None:
    """People registered elsewhere count; the network reads one message that says it all."""
    run_id = await house.run(minimum=15, registered_elsewhere=14)
    assert (await house.get(f"runs/{run_id}"))["state"] == "published"
    await house.ask(run_id)
    assert (await house.get(f"runs/{run_id}"))["state"] == "confirmed"
    last = [each for each in await house.told() if isinstance(each, RunMessage)][-1]
    assert isinstance(last, RunConfirmed)
    assert last.picture.availability.free == 18 - 14 - 1


async def test_a_cancelled_run_ends_everybody_with_the_reason(house: House) -> None:
    """Seated and waiting people are told why; an entitlement that was used counts again."""
    run_id = await house.run(capacity=1)
    obliged = await house.ask(run_id, await house.person(obliged=True))
    await house.ask(run_id)
    mark = await house.mark()
    await house.post(f"runs/{run_id}/cancel", {"reason": "Zu wenige Anmeldungen"})
    told = [each for each in await house.told_since(mark) if isinstance(each, EnrolmentChanged)]
    assert {(each.state.value, each.cause, each.reason) for each in told} == {
        ("withdrawn", SeatCause.OCCASION_CANCELLED, "Zu wenige Anmeldungen")
    }
    assert len(told) == 2
    assert all(each.run.state.value == "cancelled" for each in told)
    file = await house.get(f"participants/{obliged['participant_id']}")
    assert [each["state"] for each in file["entitlements"]] == ["valid"]
    refused = await house.post(f"runs/{run_id}/enrolments", {"participant_id": await house.person()}, 409)
    assert refused["code"] == "run_is_cancelled"


async def test_more_seats_are_offered_to_those_who_wait(house: House) -> None:
    """Raising the capacity by two offers two seats, in the order of the queue."""
    run_id = await house.run(capacity=1)
    asked = [await house.ask(run_id) for _ in range(4)]
    await house.patch(f"runs/{run_id}", {"capacity": 3})
    states = [(await house.enrolment(each["enrolment_id"]))["state"] for each in asked]
    assert states == ["enrolled", "offered", "offered", "waiting"]


async def test_other_times_are_told_to_everybody_in_the_run(house: House) -> None:
    """Enrolled and waiting people hear of a new session; a new description goes to the public alone."""
    run_id = await house.run(capacity=1)
    await house.ask(run_id)
    await house.ask(run_id)
    mark = await house.mark()
    await house.patch(f"runs/{run_id}", {"description": "Mit Vorbereitung"})
    assert _causes(await house.told_since(mark)) == []
    session = {"starts": "2027-03-02T08:00:00Z", "ends": "2027-03-02T11:45:00Z"}
    await house.patch(f"runs/{run_id}", {"sessions": [session]})
    assert _causes(await house.told_since(mark)) == [SeatCause.OCCASION_CHANGED] * 2


async def test_staff_takes_people_on_and_turns_them_down(house: House) -> None:
    """Attend and complete keep the seat, drop and reject give it or the turn back; nonsense is refused."""
    run_id = await house.run(capacity=1)
    first, second, third = [await house.ask(run_id) for _ in range(3)]
    assert (await house.post(f"enrolments/{second['enrolment_id']}/reject"))["state"] == "rejected"
    assert (await house.post(f"enrolments/{first['enrolment_id']}/attend"))["state"] == "attending"
    assert (await house.post(f"enrolments/{first['enrolment_id']}/drop"))["state"] == "dropped"
    assert (await house.post(f"enrolments/{third['enrolment_id']}/accept"))["state"] == "enrolled"
    assert (await house.post(f"enrolments/{third['enrolment_id']}/complete"))["state"] == "completed"
    refused = await house.post(f"enrolments/{third['enrolment_id']}/withdraw", expect=409)
    assert refused["code"] == "enrolment_is_completed"
    assert (await _places(house, run_id)) == {"dropped": 1, "rejected": 1, "completed": 1}
