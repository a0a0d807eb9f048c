"""Fifty people at once, forty rounds, over four processes: no seat twice, no seat idle while somebody waits."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random

import pytest
import sqlalchemy as sa

from services.courses.store.tables import enrolment, run
from tests.integration.courses.courses_house import House, open_house

PEOPLE, ROUNDS, PROCESSES, SEATS = 50, 40, 4, 18


class Racers:
    """Four processes that do what they are told, all at once."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    async def do(self, run_id: str, acts: list[tuple[str, str]]) -> None:
        """Deal acts out to the processes and wait until all are done."""
        await asyncio.to_thread(self._do, run_id, acts)

    def _do(self, run_id: str, acts: list[tuple[str, str]]) -> None:
        for number, process in enumerate(self._processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps({"run_id": run_id, "acts": acts[number :: len(self._processes)]}) + "\n")
            process.stdin.flush()
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n", "a process died"


@contextmanager
def racers(url: str, *, lock: bool) -> Iterator[Racers]:
    """Start four processes on a database, with the lock or without it."""
    word = "lock" if lock else "no-lock"
    command = [sys.executable, "-m", "tests.integration.courses.racer", url, word]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        yield Racers(processes)
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()


@asynccontextmanager
async def _race(url: str, *, lock: bool) -> AsyncIterator[tuple[House, Racers, list[str]]]:
    async with open_house(url) as house:
        people = [await house.person() for _ in range(PEOPLE)]
        with racers(url, lock=lock) as found:
            yield house, found, people


async def _counts(house: House, run_id: str) -> tuple[int, int, int, list[tuple[str, str]]]:
    """Give seats in use and people waiting by the rows themselves, the free seats by the counters, and who is where."""
    async with house.works.database.reading() as connection:
        rows = (
            await connection.execute(sa.select(enrolment.c.id, enrolment.c.state).where(enrolment.c.run_id == run_id))
        ).all()
        kept = (await connection.execute(sa.select(run.c.taken, run.c.held).where(run.c.id == run_id))).one()
    states = [row.state for row in rows]
    used = sum(state in ("enrolled", "offered") for state in states)
    assert used == kept.taken + kept.held, "the counters say something else than the rows"
    return used, states.count("waiting"), SEATS - used, [(row.id, row.state) for row in rows]


@pytest.mark.timeout(900)  # forty rounds take half a minute, and several times that on a machine that is shared
async def test_four_processes_never_oversell_and_leave_no_seat_idle(database_url: str) -> None:
    """Each round: fifty ask at once, then a third of them leave, accept or decline at once, twice over."""
    random = Random(5)
    oversold = idle = 0
    async with _race(database_url, lock=True) as (house, four, people):
        for _ in range(ROUNDS):
            run_id = await house.run(capacity=SEATS)
            await four.do(run_id, [("ask", person) for person in people])
            for _ in range(2):
                used, waiting, free, rows = await _counts(house, run_id)
                oversold += used > SEATS
                idle += bool(free > 0 and waiting)
                await four.do(run_id, _moves(random, rows))
            used, waiting, free, _ = await _counts(house, run_id)
            oversold += used > SEATS
            idle += bool(free > 0 and waiting)
    assert (oversold, idle) == (0, 0)


@pytest.mark.parametrize("rounds", [4])
async def test_without_the_lock_four_processes_oversell(database_url: str, rounds: int) -> None:
    """The control: the same race, where everybody decides on what they saw a moment ago."""
    oversold = 0
    async with _race(database_url, lock=False) as (house, four, people):
        for _ in range(rounds):
            run_id = await house.run(capacity=SEATS)
            await four.do(run_id, [("ask", person) for person in people])
            async with house.works.database.reading() as connection:
                given = await connection.execute(
                    sa.select(sa.func.count()).where(enrolment.c.run_id == run_id, enrolment.c.state == "enrolled")
                )
                oversold += int(given.scalar_one() > SEATS)
    assert oversold >= 1


def _moves(random: Random, rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Let a third of the enrolled leave, and everybody with an offer answer it."""
    leaving = [("withdraw", id_) for id_, state in rows if state == "enrolled" and random.random() < 0.33]
    answers = [(random.choice(("accept", "decline")), id_) for id_, state in rows if state == "offered"]
    return random.sample(leaving + answers, len(leaving + answers))
