"""The desk over a book in memory: whatever people do, no seat is given twice and none stays idle."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.seats import desk as desks
from shared.seats.desk import Desk
from shared.seats.rule import Change, Place, PlaceState, Priority, SeatRefused, Seats
from tests.unit.seats.seat_book import MemoryBook

NOW = datetime(2027, 1, 11, 8, tzinfo=UTC)
OFFER_TIME = timedelta(hours=48)
PEOPLE = [f"p{number}" for number in range(8)]

people = st.sampled_from(PEOPLE)
acts = st.one_of(
    st.tuples(st.just("ask"), people, st.sampled_from(list(Priority))),
    st.tuples(st.sampled_from(["accept", "decline", "expire", "withdraw", "ask_again"]), people, st.none()),
    st.tuples(st.just("limit"), st.integers(0, 5), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 60), st.none()),
)
stories = st.lists(acts, max_size=40)


async def _do(book: MemoryBook, now: datetime, act: str, who: Any, priority: Priority | None) -> None:
    desk = Desk(book, now, OFFER_TIME)
    if act == "limit":
        book.limit(who)
        await desk.offer_free("run")
        return
    if act == "ask":
        if who not in book.places and priority is not None:
            await desk.ask("run", Place(who, PlaceState.GONE, priority, now))
        return
    if who not in book.places:
        return
    move: Callable[[str], Coroutine[Any, Any, list[Change]]] = getattr(desk, act)
    try:
        await move(who)
    except SeatRefused:
        return


def _live(limit: int, story: list[tuple[str, Any, Priority | None]], check: Callable[[MemoryBook, int], None]) -> None:
    async def run() -> None:
        book, now, most = MemoryBook(Seats(limit=limit)), NOW, limit
        for step, (act, who, priority) in enumerate(story):
            now += timedelta(hours=who) if act == "wait" else timedelta(seconds=step)
            if act == "wait":
                continue
            most = max(who, book.now.taken + book.now.held) if act == "limit" else most
            await _do(book, now, act, who, priority)
            check(book, most)

    asyncio.run(run())


@settings(max_examples=300)
@given(st.integers(0, 5), stories)
def test_seats_are_never_given_twice_and_never_idle(limit: int, story: list[Any]) -> None:
    """Taken and held stay within the limit, or what they were when it shrank; nobody waits beside a free seat."""

    def check(book: MemoryBook, most: int) -> None:
        assert book.now.taken + book.now.held <= most
        assert book.now.free == 0 or book.now.waiting == 0
        assert book.counted() == (book.now.taken, book.now.held, book.now.waiting)

    _live(limit, story, check)


def test_without_the_offer_after_each_change_a_seat_stays_idle(monkeypatch: Any) -> None:
    """The control: a desk that forgets to offer leaves a free seat beside somebody who waits."""

    async def forgets(self: Desk, occasion_id: str, change: Change) -> list[Change]:
        await self._book.keep(occasion_id, change)
        return [change]

    monkeypatch.setattr(desks.Desk, "_kept", forgets)
    idle: list[int] = []
    story = [("ask", "p0", Priority.OTHER), ("ask", "p1", Priority.OTHER), ("withdraw", "p0", None)]
    _live(1, story, lambda book, _: idle.append(min(book.now.free, book.now.waiting)))
    assert idle[-1] == 1


async def test_a_declined_seat_goes_to_the_next_in_the_order_of_the_queue() -> None:
    """Obliged, entitled, other; then whoever asked first."""
    book = MemoryBook(Seats(limit=1))
    asked = [("a", Priority.OTHER), ("b", Priority.OTHER), ("c", Priority.ENTITLED), ("d", Priority.OBLIGED)]
    for moment, (who, priority) in enumerate(asked):
        now = NOW + timedelta(seconds=moment)
        await Desk(book, now, OFFER_TIME).ask("run", Place(who, PlaceState.GONE, priority, now))
    offered = []
    changes = await Desk(book, NOW, OFFER_TIME).withdraw("a")
    for _ in range(3):
        offered.append(changes[-1].place.id)
        changes = await Desk(book, NOW, OFFER_TIME).decline(changes[-1].place.id)
    assert offered == ["d", "c", "b"]


async def test_a_closed_run_offers_nothing() -> None:
    """Nobody is offered a seat in a run that is over, however many wait."""
    book = MemoryBook(Seats(limit=1, waiting=1, open=False))
    book.places["a"] = Place("a", PlaceState.WAITING, Priority.OTHER, NOW)
    assert await Desk(book, NOW, OFFER_TIME).offer_free("run") == []
