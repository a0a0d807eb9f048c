"""A restored backup of courses: people and their places are again what the institution was told of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.courses import timers
from services.courses.app import service
from services.courses.store import metadata
from shared.contract.courses import RunMessage, RunPublished
from shared.kit import tables
from tests.integration.backup import Backup
from tests.integration.courses.courses_house import OWNER, House
from tests.integration.courses.referral_network import RECEIVER, SENDER, Network, open_network

PUB, OWN = (f"album:1:{audience}:{{{OWNER}}}:courses" for audience in ("pub", "own"))
PLACE = ("state", "place_in_queue", "participant_id")


async def _backup(house: House) -> Backup:
    return await Backup.made(service, house.works)


async def _places(house: House, *enrolments: str) -> list[tuple[Any, ...]]:
    found = [await house.enrolment(each) for each in enrolments]
    return [tuple(each[name] for name in PLACE) for each in found]


async def _free(house: House, run_id: str) -> int:
    return int((await house.get(f"runs/{run_id}"))["availability"]["free"])


async def test_a_seat_given_back_behind_the_backup_stays_free(house: House) -> None:
    """The place is again what its person was told, the seat is counted once, and the next word has a new version."""
    run_id = await house.run(capacity=1)
    enrolment = await house.ask(run_id)
    backup = await _backup(house)
    await house.post(f"enrolments/{enrolment['enrolment_id']}/withdraw")
    version = (await house.told())[-1].version
    lost = await backup.put_back()
    assert await _free(house, run_id) == 0, "the control: nothing was taken back yet"
    await backup.take_back(OWN, lost[OWN])
    assert (await house.enrolment(enrolment["enrolment_id"]))["state"] == "withdrawn"
    assert await _free(house, run_id) == 1
    mark = await house.mark()
    await house.ask(run_id, enrolment["participant_id"])
    told = [each.version for each in await house.told_since(mark) if each.key == enrolment["enrolment_id"]]
    assert told == [version + 1]


@pytest.mark.parametrize("page", [1, 1000])
async def test_what_the_backup_does_not_know_comes_back(house: House, page: int) -> None:
    """Page by page: runs, files with their names, places, and who was erased stays so."""
    backup = await _backup(house)
    run_id = await house.run(capacity=2)
    nameless = (await house.post("participants", {"language": "tr"}, 201))["participant_id"]
    again = await house.ask(run_id, nameless)
    await house.post(f"enrolments/{again['enrolment_id']}/withdraw")
    await house.ask(run_id, nameless)
    erased, waits = await house.ask(run_id), await house.ask(run_id)
    await house.api.delete(f"/institutions/{OWNER}/participants/{erased['participant_id']}")
    cancelled = await house.run()
    await house.ask(cancelled)
    await house.post(f"runs/{cancelled}/cancel", {"reason": "zu wenige"})
    before = await _image(house)
    lost = await backup.put_back()
    assert await _image(house) == [[], [], []]
    for stream in (PUB, OWN):
        await backup.take_back(stream, lost[stream], page)
    assert await _image(house) == before
    assert (await house.get(f"participants/{waits['participant_id']}"))["name"] == "Ada Beispiel"


@pytest.mark.parametrize("page", [1, 1000])
@pytest.mark.parametrize("published", [0, 1])
async def test_what_only_people_were_told_of_a_run_is_told_again(house: House, published: int, page: int) -> None:
    """Redis lost the run's last words and kept its people's: once all is back the network hears the last state."""
    backup = await _backup(house)
    run_id = await house.run(capacity=2)
    await house.ask(run_id)
    await house.ask(run_id)
    await house.post(f"runs/{run_id}/cancel", {"reason": "zu wenige"})
    newest = max(each.version for each in await house.told() if each.key == run_id)
    lost = await backup.put_back()
    await backup.take_back(PUB, lost[PUB][:published])
    await backup.take_back(OWN, lost[OWN], page)
    [told] = [each for each in await house.told() if isinstance(each, RunMessage)][published:]
    assert (told.picture.state, told.version) == ("cancelled", newest + 1)
    assert (await _image(house))[0] == [(run_id, "cancelled", 0, 0, 0, told.version)]


@pytest.mark.parametrize("page", [1, 1000])
async def test_what_the_network_was_told_is_not_told_again(house: House, page: int) -> None:
    """Control: where the run's own stream is whole, people's word of it brings nothing new."""
    backup = await _backup(house)
    run_id = await house.run()
    await house.ask(run_id)
    told = [each for each in await house.told() if isinstance(each, RunMessage)]
    lost = await backup.put_back()
    await backup.take_back(PUB, lost[PUB], page)
    await backup.take_back(OWN, lost[OWN], page)
    assert [each for each in await house.told() if isinstance(each, RunMessage)] == told


async def _image(house: House) -> list[list[tuple[Any, ...]]]:
    names = {"run": ("id", "state", "taken", "held", "waiting", "version"), "enrolment": ("id", "state", "version")}
    names["participant"] = ("id", "name", "mail")
    found = []
    async with house.works.database.reading() as connection:
        for table, columns in names.items():
            t = metadata.tables[table]
            rows = await connection.execute(sa.select(*(t.c[name] for name in columns)).order_by(t.c.id))
            found.append([tuple(row) for row in rows])
    return found


async def test_whom_the_backup_brings_back_is_erased_again(house: House) -> None:
    """Neither the file nor the log holds the contact: an erased person stays erased (GDPR, article 17)."""
    person = await house.person(name="Noor Canary")
    backup = await _backup(house)
    await house.api.delete(f"/institutions/{OWNER}/participants/{person}")
    lost = await backup.put_back()
    assert "Canary" in await backup.text(), "the control: the backup brings the contact back"
    await backup.take_back(OWN, lost[OWN])
    assert "Canary" not in await backup.text()
    assert (await house.get(f"participants/{person}"))["state"] == "erased"


async def test_a_contact_that_was_taken_back_with_its_consent_is_gone(house: House) -> None:
    """The mail goes, and the phone with it (DeuFöV § 6)."""
    person = await house.person(contact_consent=True, mail="noor@example.org", phone="0511 1")
    backup = await _backup(house)
    await house.patch(f"participants/{person}", {"contact_consent": False})
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    file = await house.get(f"participants/{person}")
    assert (file["contact_consent"], file["mail"], file["phone"]) == (False, None, None)


async def test_who_asked_again_behind_the_backup_waits_behind_the_others(house: House) -> None:
    """A turn in the queue is as old as the last time that its person asked."""
    run_id = await house.run(capacity=1)
    seated, leaves, stays = [(await house.ask(run_id)) for _ in range(3)]
    await house.post(f"enrolments/{leaves['enrolment_id']}/withdraw")
    backup = await _backup(house)
    house.clock.turn(hours=1)
    await house.ask(run_id, leaves["participant_id"])
    queue = (stays["enrolment_id"], leaves["enrolment_id"])
    before = await _places(house, *queue)
    assert [place for _, place, _ in before] == [1, 2]
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    assert await _places(house, *queue) == before
    assert await _free(house, run_id) == 0, seated


async def test_a_queue_that_moved_keeps_its_order(house: House) -> None:
    """The places that were told are old: whoever asked first is first."""
    backup = await _backup(house)
    run_id = await house.run(capacity=1)
    _, *waiting = [(await house.ask(run_id))["enrolment_id"] for _ in range(5)]
    for one in waiting[:3]:
        await house.post(f"enrolments/{one}/withdraw")
    queue = (waiting[3], (await house.ask(run_id))["enrolment_id"])
    before = await _places(house, *queue)
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    assert await _places(house, *queue) == before


@pytest.mark.parametrize("seated", [True, False])
async def test_an_entitlement_is_used_up_by_the_seat_that_comes_back(house: House, seated: bool) -> None:
    """At once where the seat was told, and later where it is accepted later."""
    run_id = await house.run(capacity=1)
    first = None if seated else await house.ask(run_id)
    person = await house.person(obliged=True)
    backup = await _backup(house)
    enrolment = await house.ask(run_id, person)
    await backup.take_back(OWN, (await backup.put_back())[OWN])
    if first is not None:
        await house.post(f"enrolments/{first['enrolment_id']}/withdraw")
        await house.post(f"enrolments/{enrolment['enrolment_id']}/accept")
    async with house.works.looking() as store:
        assert [each.state for each in await store.entitlements_of(person)] == ["used"]


async def test_a_run_that_was_taken_for_a_partners_is_ours_in_its_newest_version(house: House) -> None:
    """Where partner systems tell, too, an unknown run is theirs - until somebody comes back who is enrolled in it."""
    async with house.works.database.transaction() as connection:
        theirs = {"institution": OWNER, "key": "run_theirs0001", "version": 3, "at": house.clock.now()}
        await connection.execute(sa.insert(tables.partner_thing), [theirs])
    backup = await _backup(house)
    run_id = await house.run()
    await house.ask(run_id)
    await house.patch(f"runs/{run_id}", {"description": "neu"})
    newest = max(each.version for each in await house.told() if each.key == run_id)
    lost = await backup.put_back()
    await backup.take_back(PUB, lost[PUB])
    await backup.take_back(OWN, lost[OWN])
    mark = await house.mark()
    await house.patch(f"runs/{run_id}", {"description": "nach der Wiederherstellung"})
    assert [each.version for each in await house.told_since(mark)] == [newest + 1]


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Two institutions, each with a database of its own."""
    urls = (f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("sender", "receiver"))
    async with open_network(*urls) as opened:
        yield opened


async def _held(network: Network) -> tuple[str, dict[str, Any]]:
    referral = await network.refer(await network.run(), await network.person())
    await network.flow()
    return referral, await network.referral(RECEIVER, referral)


def _own(institution: str) -> str:
    return f"album:1:own:{{{institution}}}:courses"


async def _restored(network: Network, institution: str, backup: Backup) -> None:
    lost = await backup.put_back(published=True)
    await backup.take_back(_own(institution), lost[_own(institution)])
    network.readers.clear()


async def test_who_accepted_behind_the_backup_is_not_erased_with_the_consent(network: Network) -> None:
    """The referral follows the place that comes back: its end is the acceptance, and not the day of the consent."""
    referral, got = await _held(network)
    house = network.houses[RECEIVER]
    backup = await _backup(house)
    await network.ask(RECEIVER, "POST", f"enrolments/{got['enrolment_id']}/accept")
    await network.flow()
    await _restored(network, RECEIVER, backup)
    network.turn(days=60)
    await timers.expire_referrals(house.node)
    assert (await house.enrolment(got["enrolment_id"]))["state"] == "enrolled"
    assert (await house.get(f"participants/{got['participant_id']}"))["state"] != "erased"
    assert (await network.referral(RECEIVER, referral))["state"] == "accepted"


async def test_who_declined_behind_the_backup_is_forgotten(network: Network) -> None:
    """What a referral brought goes when its person says no, though the backup still waits for the answer."""
    _, got = await _held(network)
    house = network.houses[RECEIVER]
    backup = await _backup(house)
    await network.ask(RECEIVER, "POST", f"enrolments/{got['enrolment_id']}/decline")
    await network.tell()
    await _restored(network, RECEIVER, backup)
    await timers.forget_referred(house.node)
    assert (await house.get(f"participants/{got['participant_id']}"))["state"] == "erased"


async def test_a_referred_person_does_not_come_back_as_our_own(network: Network) -> None:
    """The sealed message is read once more; whoever then declines is forgotten."""
    house = network.houses[RECEIVER]
    referral = await network.refer(await network.run(), await network.person())
    for step in (network.tell, network.carry, network.read, network.tell, network.carry):
        await step()
    assert (await network.referral(RECEIVER, referral))["state"] == "opened"
    backup = await _backup(house)
    await network.read()
    await network.flow()
    await _restored(network, RECEIVER, backup)
    await network.read()
    got = await network.referral(RECEIVER, referral)
    await network.ask(RECEIVER, "POST", f"enrolments/{got['enrolment_id']}/decline")
    await timers.forget_referred(house.node)
    assert (await house.get(f"participants/{got['participant_id']}"))["state"] == "erased"


async def test_a_referred_person_in_a_run_that_the_backup_does_not_know_stops_no_start(network: Network) -> None:
    """The run comes back without the seat; the box brings the person."""
    house = network.houses[RECEIVER]
    backup = await _backup(house)
    await _held(network)
    run_id = next(each.key for each in await house.told() if isinstance(each, RunPublished))
    lost = await backup.put_back(published=True)
    assert lost[_own(RECEIVER)]
    await backup.take_back(_own(RECEIVER), lost[_own(RECEIVER)])
    assert (await house.get(f"runs/{run_id}"))["availability"]["free"] == 18


async def test_who_erased_behind_the_backup_still_hears_the_receipt(network: Network) -> None:
    """The sender asks once more; the receiver says once more what it deleted, and nothing is set aside."""
    referral, _ = await _held(network)
    house = network.houses[SENDER]
    person = (await network.referral(SENDER, referral))["participant_id"]
    backup = await _backup(house)
    await network.call(SENDER, "DELETE", f"participants/{person}")
    await network.flow()
    before = await network.referral(SENDER, referral)
    await _restored(network, SENDER, backup)
    await network.read()
    after = await network.referral(SENDER, referral)
    assert (after["state"], after["erasure"]) == (before["state"], before["erasure"])
    assert not await network.parked(SENDER)
