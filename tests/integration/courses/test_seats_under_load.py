"""Fifty people ask at once for eighteen seats: eighteen get one; without the lock more do."""

import asyncio
from collections import Counter

import pytest
import sqlalchemy as sa

from services.courses.domain.run import Run
from services.courses.handlers import asking, seats
from services.courses.store import Store
from services.courses.store.tables import enrolment, run
from shared.kit.errors import Conflict
from tests.integration.courses.courses_house import OWNER, House, open_house

SEATS, PEOPLE = 18, 50


class Unlocked(Store):
    """A store without the lock: it reads the seats as if nobody else could change them meanwhile."""

    async def locked_run(self, run_id: str, institution: str | None = None) -> Run:
        """Give the run unlocked, and time for others to do the same."""
        found = await self.run(run_id, institution)
        await asyncio.sleep(0.01)
        return found


async def _fill(house: House, ask: str = "plain") -> Counter[str]:
    run_id = await house.run(capacity=SEATS)
    people = [await house.person() for _ in range(PEOPLE)]
    asking = _ask_deferred if ask == "deferred" else _ask
    await asyncio.gather(*(asking(house, run_id, person) for person in people))
    async with house.works.database.reading() as connection:
        found = await connection.execute(sa.select(enrolment.c.state).where(enrolment.c.run_id == run_id))
        return Counter(found.scalars())


async def _ask(house: House, run_id: str, person: str) -> None:
    async with house.works() as work:
        await asking.ask(run_id, person, OWNER, work)


async def _ask_deferred(house: House, run_id: str, person: str) -> None:
    """Count in a transaction that only reads, then write in another: what SQLite does without BEGIN IMMEDIATE."""
    async with house.works.looking() as store:
        before = await store.run(run_id)
    await asyncio.sleep(0)

    async def as_it_was(run_id: str, institution: str | None = None) -> Run:
        return before

    async with house.works() as work:
        work.store.locked_run = as_it_was  # type: ignore[method-assign]  # this one store forgets to look again
        await asking.ask(run_id, person, OWNER, work)


async def test_fifty_at_once_fill_eighteen_seats_exactly(house: House) -> None:
    """Nobody gets a seat that is not there, none stays empty, all others wait; the counts say the same."""
    assert await _fill(house) == {"enrolled": SEATS, "waiting": PEOPLE - SEATS}
    async with house.works.database.reading() as connection:
        row = (await connection.execute(sa.select(run.c.taken, run.c.held, run.c.waiting))).one()
    assert tuple(row) == (SEATS, 0, PEOPLE - SEATS)


async def test_without_the_lock_seats_are_given_twice_on_postgresql(postgres_url: str) -> None:
    """The control: the same fifty with unlocked reads oversell."""
    async with open_house(postgres_url, Unlocked) as house:
        assert (await _fill(house))["enrolled"] > SEATS


async def test_with_deferred_reads_seats_are_given_twice_on_sqlite(sqlite_url: str) -> None:
    """The control: counting in one transaction and writing in the next oversells."""
    async with open_house(sqlite_url) as house:
        assert (await _fill(house, "deferred"))["enrolled"] > SEATS


@pytest.mark.parametrize("leaving", [7])
async def test_many_leave_and_accept_at_once_and_no_seat_stays_idle(house: House, leaving: int) -> None:
    """Seven withdraw at once, seven are offered at once and all accept: eighteen are seated again."""
    await _fill(house)
    run_id = (await house.get("runs"))["items"][0]["run_id"]
    page = (await house.get(f"runs/{run_id}/enrolments"))["items"]
    seated = [each["enrolment_id"] for each in page if each["state"] == "enrolled"][:leaving]

    async def leave(enrolment_id: str) -> None:
        async with house.works() as work:
            await seats.leave(enrolment_id, OWNER, "withdraw", work)

    async def accept(enrolment_id: str) -> None:
        async with house.works() as work:
            await seats.accept(enrolment_id, OWNER, work)

    await asyncio.gather(*map(leave, seated))
    page = (await house.get(f"runs/{run_id}/enrolments"))["items"]
    offered = [each["enrolment_id"] for each in page if each["state"] == "offered"]
    assert len(offered) == leaving
    await asyncio.gather(*map(accept, offered))
    counted = (await house.get(f"runs/{run_id}"))["taken"]
    assert counted == SEATS


async def test_two_who_accept_the_same_offer_get_one_seat(house: House) -> None:
    """The second click finds that it is done."""
    run_id = await house.run(capacity=1)
    first, second = await house.ask(run_id), await house.ask(run_id)
    await house.post(f"enrolments/{first['enrolment_id']}/withdraw")

    async def accept() -> str:
        try:
            async with house.works() as work:
                await seats.accept(second["enrolment_id"], OWNER, work)
        except Conflict as conflict:
            return conflict.code
        return "done"

    assert sorted(await asyncio.gather(accept(), accept())) == ["already_done", "done"]
    assert (await house.get(f"runs/{run_id}"))["taken"] == 1
