"""Many ask for the same run at the same moment: one commit answers them, and each is answered alone."""

import asyncio
from collections import Counter
from collections.abc import Collection

import httpx
import sqlalchemy as sa

from services.courses.api.rush import Rush
from services.courses.domain.participant import Participant
from services.courses.store import Store
from shared.contract.courses import EnrolmentChanged
from tests.integration.courses.courses_house import OWNER, House, open_house

SEATS, PEOPLE = 5, 30


async def _ask(house: House, run_id: str, participant_id: str, **headers: str) -> httpx.Response:
    path = f"/institutions/{OWNER}/runs/{run_id}/enrolments"
    return await house.api.post(path, json={"participant_id": participant_id}, headers=headers)


class _Commits:
    """Counts what is committed in a database."""

    def __init__(self, house: House) -> None:
        self.number = 0
        self._engine = house.works.database._writing.sync_engine

    def __enter__(self) -> "_Commits":
        sa.event.listen(self._engine, "commit", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "commit", self._count)

    def _count(self, _connection: object) -> None:
        self.number += 1


async def test_thirty_at_once_are_served_by_one_commit(house: House) -> None:
    """Whoever asks while nobody is being served yet is served with the first."""
    run_id = await house.run(capacity=SEATS)
    people = [await house.person() for _ in range(PEOPLE)]
    rush = Rush(house.works)
    with _Commits(house) as commits:
        await asyncio.gather(*(rush.ask(run_id, person, OWNER) for person in people))
    assert commits.number == 1


async def test_each_of_thirty_has_a_place_of_their_own(house: House) -> None:
    """Five have seats, all others a turn; each is told once."""
    run_id = await house.run(capacity=SEATS)
    people = [await house.person() for _ in range(PEOPLE)]
    mark = await house.mark()
    answers = await asyncio.gather(*(_ask(house, run_id, person) for person in people))
    assert {each.status_code for each in answers} == {201}
    found = [each.json() for each in answers]
    assert Counter(each["state"] for each in found) == {"enrolled": SEATS, "waiting": PEOPLE - SEATS}
    places = sorted(each["place_in_queue"] for each in found if each["state"] == "waiting")
    assert places == list(range(1, PEOPLE - SEATS + 1))
    told = Counter(each.participant_id for each in await house.told_since(mark) if isinstance(each, EnrolmentChanged))
    assert told == Counter(people)


async def test_with_keys_of_their_own_requests_are_committed_one_by_one(house: House) -> None:
    """The control of the count: an answer that is kept under a key has its own commit."""
    run_id = await house.run(capacity=SEATS)
    people = [await house.person() for _ in range(6)]
    with _Commits(house) as commits:
        asks = [_ask(house, run_id, person, **{"Idempotency-Key": person}) for person in people]
        answers = await asyncio.gather(*asks)
    assert [each.status_code for each in answers] == [201] * 6
    assert commits.number >= 6


async def test_who_is_refused_spoils_nothing_of_the_others(house: House) -> None:
    """A file that is erased and one that is not there are refused; whoever asks twice has one place."""
    run_id = await house.run(capacity=SEATS)
    erased, gone, one, two = await house.person(), "participant_00000000", await house.person(), await house.person()
    await house.api.delete(f"/institutions/{OWNER}/participants/{erased}")
    asks = [one, erased, two, gone, one]
    answers = await asyncio.gather(*(_ask(house, run_id, person) for person in asks))
    assert [each.status_code for each in answers] == [201, 409, 201, 404, 200]
    assert answers[0].json()["enrolment_id"] == answers[4].json()["enrolment_id"]
    assert answers[1].json()["code"] == "participant_erased"


async def test_of_a_run_that_nobody_can_ask_for_all_hear_the_same(house: House) -> None:
    """A draft refuses everybody, and the next rush is served."""
    run_id = await house.run(publish=False)
    people = [await house.person() for _ in range(3)]
    answers = await asyncio.gather(*(_ask(house, run_id, person) for person in people))
    assert {each.json()["code"] for each in answers} == {"run_is_draft"}
    await house.post(f"runs/{run_id}/publish")
    assert (await _ask(house, run_id, people[0])).status_code == 201


async def test_whoever_hangs_up_takes_nobody_along(house: House) -> None:
    """The first one gives up while the transaction is under way; the others have their places."""
    run_id = await house.run(capacity=SEATS)
    people = [await house.person() for _ in range(4)]
    rush = Rush(house.works)
    first = asyncio.create_task(rush.ask(run_id, people[0], OWNER))
    others = [asyncio.create_task(rush.ask(run_id, person, OWNER)) for person in people[1:]]
    await asyncio.sleep(0)
    first.cancel()
    found = await asyncio.gather(*others)
    assert [each.enrolment.participant_id for each in found] == people[1:]


class Faulty(Store):
    """A store in which one person's file makes the whole transaction fail."""

    poison = ""

    async def locked_participants(self, ids: Collection[str], institution: str) -> dict[str, Participant]:
        """Give the files, but where the one is among them."""
        if self.poison in ids:
            raise ValueError("a fault of ours")
        return await super().locked_participants(ids, institution)


async def test_a_fault_is_heard_only_by_whom_it_is_about(database_url: str) -> None:
    """The transaction of all fails; alone, the others are served."""
    async with open_house(database_url, Faulty) as house:
        run_id = await house.run(capacity=SEATS)
        people = [await house.person() for _ in range(4)]
        Faulty.poison = people[2]
        rush = Rush(house.works)
        found = await asyncio.gather(*(rush.ask(run_id, each, OWNER) for each in people), return_exceptions=True)
    assert [isinstance(each, ValueError) for each in found] == [False, False, True, False]
