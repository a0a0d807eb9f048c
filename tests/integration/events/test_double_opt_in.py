"""Somebody asks, whoever reads the mail confirms; nobody can find out who attends or fill a mailbox."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.events import timers
from services.events.domain import meeting as meeting_rules
from services.events.handlers import asking
from shared.contract.envelope import Message
from shared.contract.events import MeetingMessage, RegistrantContactRecorded, RegistrantErased, RegistrationChanged
from tests.integration.events.events_house import House


def _only(messages: list[Message], kind: type[Message]) -> list[Any]:
    return [each for each in messages if isinstance(each, kind)]


async def test_asking_tells_the_contact_once_and_asks_to_confirm(house: House) -> None:
    """The contact comes before the request to confirm; the seats are as before, and the network hears nothing."""
    meeting_id = await house.meeting()
    mark = await house.mark()
    answer = await house.ask(meeting_id, "ada@example.org")
    contact, asked = await house.told(mark)
    assert isinstance(contact, RegistrantContactRecorded)
    assert isinstance(asked, RegistrationChanged)
    assert (contact.mail, contact.language, contact.version) == ("ada@example.org", "tr", 1)
    assert (asked.state, asked.cause, asked.participant_id) == ("unconfirmed", "asked", contact.participant_id)
    assert asked.confirm_until == house.clock.now() + timedelta(days=7)
    assert "ada" not in answer.text
    assert (await house.get(f"meetings/{meeting_id}"))["taken"] == 0


async def test_a_confirmed_person_is_registered_and_the_network_sees_one_seat_less(house: House) -> None:
    """The link gives the seat; a second press says that it is done already."""
    meeting_id = await house.meeting(capacity=2)
    id_ = await house.unconfirmed(meeting_id)
    mark = await house.mark()
    assert (await house.press("confirm", id_)).status_code == 200
    public, place = await house.told(mark)
    assert isinstance(public, MeetingMessage)
    assert public.picture.availability.free == 1
    assert isinstance(place, RegistrationChanged)
    assert (place.state, place.cause, place.meeting_version) == ("registered", "given", public.version)
    assert (await house.press("confirm", id_)).status_code == 200
    assert await house.mark() == mark + 2


async def test_the_answer_is_the_same_whether_or_not_an_address_is_known(house: House) -> None:
    """New, unconfirmed, registered and cancelled people read the very same bytes."""
    meeting_id = await house.meeting()
    answers = [await house.ask(meeting_id, "ada@example.org"), await house.ask(meeting_id, "ada@example.org")]
    id_ = (await house.newest()).id
    await house.press("confirm", id_)
    answers.append(await house.ask(meeting_id, "Ada@Example.org"))
    await house.press("cancel", id_)
    answers.append(await house.ask(meeting_id, "ada@example.org"))
    assert len({(each.status_code, each.content) for each in answers}) == 1


async def test_the_mail_to_confirm_is_asked_for_three_times_and_not_within_ten_minutes(house: House) -> None:
    """The same address makes no second registration, and nobody's mailbox is filled by others."""
    meeting_id = await house.meeting()
    await house.ask(meeting_id, "ada@example.org")
    await house.ask(meeting_id, "ada@example.org")
    assert await house.causes() == ["asked"]
    for expected in (2, 3, 3, 3):
        house.clock.turn(minutes=10)
        await house.ask(meeting_id, "ada@example.org")
        assert await house.causes() == ["asked"] * expected
    changed = _only(await house.told(), RegistrationChanged)
    assert [each.version for each in changed] == [1, 2, 3]
    assert len({each.registration_id for each in changed}) == 1
    assert len(_only(await house.told(), RegistrantContactRecorded)) == 1


async def test_one_address_is_unconfirmed_at_five_meetings_at_most(house: House) -> None:
    """Asking for somebody else at every meeting there is sends five mails, and answers as always."""
    for _ in range(7):
        await house.ask(await house.meeting(), "ada@example.org")
    assert await house.causes() == ["asked"] * 5


async def test_whoever_asked_last_is_the_contact_until_somebody_confirmed(house: House) -> None:
    """A wrong name given by somebody else does not stay; a confirmed person's name cannot be changed by others."""
    first, second, third = [await house.meeting() for _ in range(3)]
    await house.ask(first, "ada@example.org", name="Spott")
    await house.ask(second, "ada@example.org", name="Ada Beispiel")
    await house.press("confirm", (await house.newest()).id)
    await house.ask(third, "ada@example.org", name="Spott")
    contacts = _only(await house.told(), RegistrantContactRecorded)
    assert [(each.name, each.version) for each in contacts] == [("Spott", 1), ("Ada Beispiel", 2)]


async def test_nobody_confirms_for_seven_days_and_everything_is_forgotten(house: House) -> None:
    """The clock deletes registration and person, tells it once, and two copies of it do nothing more."""
    meeting_id = await house.meeting()
    id_ = await house.unconfirmed(meeting_id)
    house.clock.turn(days=7, milliseconds=-1)
    await timers.forget_unconfirmed(house.node)
    assert _only(await house.told(), RegistrantErased) == []
    house.clock.turn(milliseconds=1)
    assert (await house.press("confirm", id_)).status_code == 410
    await asyncio.gather(timers.forget_unconfirmed(house.node), timers.forget_unconfirmed(house.node))
    [erased] = _only(await house.told(), RegistrantErased)
    assert erased.version == 2
    assert await house.states(meeting_id) == {}
    assert (await house.press("confirm", id_)).status_code == 404


async def test_forgetting_one_request_keeps_a_person_who_attends_elsewhere(house: House) -> None:
    """Only the unconfirmed registration goes; the contact is still needed."""
    first, second = await house.meeting(), await house.meeting()
    await house.come(first, "ada@example.org")
    await house.ask(second, "ada@example.org")
    house.clock.turn(days=7)
    await timers.forget_unconfirmed(house.node)
    assert _only(await house.told(), RegistrantErased) == []
    assert await house.states(first) == {"registered": 1}
    assert await house.states(second) == {}


async def test_a_flood_of_addresses_is_stopped_for_everybody_alike(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound a known and an unknown address read the same refusal, and nothing more is kept."""
    monkeypatch.setattr(asking, "most_unconfirmed", lambda _: 2)
    meeting_id = await house.meeting()
    await house.ask(meeting_id, "a@example.org")
    await house.ask(meeting_id, "b@example.org")
    refused = [await house.ask(meeting_id, f"{name}@example.org", expect=429) for name in "ac"]
    assert {each.json()["code"] for each in refused} == {"too_many_unconfirmed"}
    assert refused[0].content == refused[1].content
    assert await house.states(meeting_id) == {"unconfirmed": 2}


async def test_without_the_bound_a_flood_is_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the bound: with it out of reach every address makes a row."""
    monkeypatch.setattr(asking, "most_unconfirmed", lambda meeting: meeting_rules.most_unconfirmed(meeting) * 10)
    meeting_id = await house.meeting(capacity=1)
    for number in range(225):
        await house.ask(meeting_id, f"flood{number}@example.org")
    assert (await house.states(meeting_id))["unconfirmed"] == 200  # a page; more than 220 is the bound


async def test_the_real_bound_of_one_seat_is_two_hundred_and_twenty(house: House) -> None:
    """Twenty for each seat and two hundred for everybody."""
    meeting_id = await house.meeting(capacity=1)
    for number in range(220):
        await house.ask(meeting_id, f"flood{number}@example.org")
    refused = await house.ask(meeting_id, "one-more@example.org", expect=429)
    assert refused.json()["code"] == "too_many_unconfirmed"


async def test_only_diversity_meetings_ask_for_a_company(house: House) -> None:
    """The company is kept for staff and leaves by no message; elsewhere it is not taken."""
    diversity, other = await house.meeting(kind="diversity"), await house.meeting()
    await house.ask(diversity, company="Beispiel GmbH")
    await house.ask(other, company="Beispiel GmbH", expect=422)
    page = await house.get(f"meetings/{diversity}/registrations")
    assert page["items"][0]["company"] == "Beispiel GmbH"
    assert all("Beispiel GmbH" not in each.model_dump_json() for each in await house.told())


@pytest.mark.parametrize(
    "values",
    [
        {"mail": "no-address"},
        {"name": "A\r\nBcc: b@example.org"},
        {"language": "klingon!"},
        {"role": "x"},
        {"name": ""},
    ],
)
async def test_what_cannot_be_a_person_is_refused(house: House, values: dict[str, str]) -> None:
    """An address that is none, a name with a line break, unknown fields: 422, and nothing is told."""
    meeting_id = await house.meeting()
    mark = await house.mark()
    await house.ask(meeting_id, expect=422, **values)
    assert await house.mark() == mark


async def test_two_requests_of_one_address_at_once_make_one_registration(house: House) -> None:
    """The double click of an impatient person."""
    meeting_id, other = await house.meeting(), await house.meeting()
    ways = [meeting_id] * 4 + [other] * 4
    await asyncio.gather(*(house.ask(way, "ada@example.org") for way in ways))
    assert await house.causes() == ["asked", "asked"]
    assert await house.states(meeting_id) == {"unconfirmed": 1}
    assert len({each.participant_id for each in _only(await house.told(), RegistrationChanged)}) == 1
