"""Who waits is let in by turns, so that a flood waits for itself."""

import asyncio
from asyncio import Semaphore
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from shared.kit.fairness import Gate, Rest, in_lane


async def _order(turn: Callable[[], AbstractAsyncContextManager[None]], lanes: list[str]) -> list[str]:
    """Have many wait while one is inside, and give the order in which they were let in."""
    order: list[str] = []
    opened = asyncio.Event()

    async def holder() -> None:
        async with turn():
            await opened.wait()

    async def one(name: str) -> None:
        with in_lane(name):
            async with turn():
                order.append(name)

    first = asyncio.create_task(holder())
    await asyncio.sleep(0)
    tasks = []
    for name in lanes:
        tasks.append(asyncio.create_task(one(name)))
        await asyncio.sleep(0)
    opened.set()
    await asyncio.gather(first, *tasks)
    return order


async def test_a_neighbour_of_a_flood_is_next_but_one() -> None:
    """A hundred wait of one institution; who comes last of another goes second."""
    order = await _order(Gate(1, 1).turn, ["flood"] * 100 + ["neighbour"])
    assert order.index("neighbour") == 1


async def test_without_turns_the_neighbour_waits_for_the_whole_flood() -> None:
    """The control: a plain queue lets the neighbour in last."""
    plain = Semaphore(1)

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        async with plain:
            yield

    order = await _order(turn, ["flood"] * 100 + ["neighbour"])
    assert order.index("neighbour") == 100


async def test_nobody_has_more_places_than_a_share_and_the_service_itself_has_no_share() -> None:
    """Of four places an institution gets two; the service's own work fills the rest, and more."""
    gate = Gate(4, 2)
    inside: list[str] = []
    end = asyncio.Event()

    async def one(name: str) -> None:
        with in_lane(name):
            async with gate.turn():
                inside.append(name)
                await end.wait()

    tasks = [asyncio.create_task(one(name)) for name in ("flood", "flood", "flood", "", "", "")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(inside) == ["", "", "flood", "flood"]
    end.set()
    await asyncio.gather(*tasks)
    assert sorted(inside) == ["", "", "", "flood", "flood", "flood"]


async def test_a_place_of_somebody_who_gave_up_goes_to_the_next() -> None:
    """Cancelled while waiting, or at the very moment of being let in: the gate loses no place."""
    gate = Gate(1, 1)

    async def one() -> None:
        async with gate.turn():
            await asyncio.sleep(0)

    async with gate.turn():
        early, late = asyncio.create_task(one()), asyncio.create_task(one())
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)
    late.cancel()
    for task in (early, late):
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(5):
        await one()


async def test_who_has_worked_rests_twice_as_long_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 0.2 s of work an institution waits for 0.4 s; its neighbour begins at once, and a rest ends by itself."""
    clock = [100.0]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        clock[0] += seconds

    monkeypatch.setattr("shared.kit.fairness.monotonic", lambda: clock[0])
    monkeypatch.setattr("shared.kit.fairness.asyncio.sleep", sleep)
    rest = Rest()
    for name in ("flood", "neighbour", "flood"):
        with in_lane(name):
            async with rest.work():
                clock[0] += 0.2 if name == "flood" else 0.0
    assert slept == [0.4]
    clock[0] += 10
    with in_lane("flood"):
        async with rest.work():
            pass
    assert slept == [0.4]


async def test_a_lane_does_one_piece_of_work_at_a_time_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends by two ways at once works by one of them; somebody else works meanwhile."""
    monkeypatch.setattr("shared.kit.fairness.REST", 0.0)
    rest, inside, most = Rest(), Counter[str](), Counter[str]()
    both = asyncio.Event()

    async def work(name: str) -> None:
        with in_lane(name):
            async with rest.work():
                inside[name] += 1
                most[name] = max(most[name], inside[name])
                if inside["flood"] and inside["neighbour"]:
                    both.set()
                await both.wait()
                inside[name] -= 1

    async with asyncio.timeout(10):
        await asyncio.gather(work("flood"), work("flood"), work("neighbour"))
    assert most == {"flood": 1, "neighbour": 1}
