"""A month without a line, small: `make month` has thirteen nodes in namespaces, here are three in one program."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.month.hands import Here
from deploy.month.hub import MonthHub
from deploy.month.place import Place
from deploy.month.story import Story, judged
from shared.network.link import notes as link_notes
from shared.network.link import running

SLUGS = ("office-of-month", "awo", "kargah")
MESSAGES = 120


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the links look for their hub again within a moment; how long they wait is not the question here."""
    monkeypatch.setattr(running, "LONGEST_PAUSE", 0.3)
    monkeypatch.setattr(running, "CHECK_EVERY", 0.5)


@asynccontextmanager
async def _three(folder: Path, server: Any, *, by_age: bool = False) -> AsyncIterator[Story]:
    address = str(server.url).rsplit("/", 1)[0]
    with MonthHub(folder / "hub", SLUGS) as hub:
        hands = []
        for number, slug in enumerate(SLUGS):
            with redis.Redis.from_url(f"{address}/{number + 1}") as client:
                client.flushdb()
            place = Place(
                slug, SLUGS, str(folder / slug), hub.server.url, f"{address}/{number + 1}", things=20, by_age=by_age
            )
            hands.append(Here(place))
        story = Story(hub, hands, MESSAGES, every=6, patience=120.0, healing=120.0)
        await hub.sign(story.clock.now())
        for hand in hands:
            await hand.node.begin()  # one by one: migrations share what they stand on
        try:
            yield story
        finally:
            await asyncio.gather(*(hand.node.end() for hand in hands))


async def test_nodes_without_a_line_for_a_month_are_equal_when_it_is_back(
    tmp_path: Path, redis_server: Any, quick: None
) -> None:
    """Each message was used once and in order everywhere, sealed ones too; nothing was refused, nothing waits."""
    async with _three(tmp_path, redis_server) as story:
        found = await story.tell()
    assert found["wrong"] == []
    assert (found["days"], found["equal_hashes"], found["taken_in_all"], found["boxes"]) == (31, 3, 6 * MESSAGES, 4)


async def test_with_boxes_that_go_by_their_age_the_month_loses_them(
    tmp_path: Path, redis_server: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: what was sealed before the lines were cut is gone when its receiver is back."""
    monkeypatch.setattr(link_notes, "NEVER_TAKEN", link_notes.NEVER_TAKEN)  # put back behind the test
    async with _three(tmp_path, redis_server, by_age=True) as story:
        story.healing = 4.0  # what is lost does not come, however long one waits
        found = await story.tell()
    assert any(":box:" in sentence for sentence in found["wrong"])


RIGHT: dict[str, Any] = {
    "heard": {"album:1:pub:{awo}:courses": {"used": 3, "last": 3, "astray": 0}},
    "refused": [],
    "parked": 0,
    "stopped": {},
}


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"heard": {}}, "used"),
        ({"heard": {"album:1:pub:{awo}:courses": {"used": 4, "last": 3, "astray": 1}}}, "used"),
        ({"heard": {"album:1:pub:{awo}:courses": {"used": 3, "last": 3, "astray": 2}}}, "used"),
        ({"refused": ["album:1:pub:{awo}:courses 1-2 not_genuine gone"]}, "refused"),
        ({"parked": 1}, "parked"),
        ({"stopped": {"album:1:net:roster": "has expired"}}, "waits"),
    ],
)
def test_a_node_that_lost_doubled_mixed_refused_or_waits_is_judged_wrong(wrong: dict[str, Any], word: str) -> None:
    """Control: what the judge does not see when it is there, its silence does not prove."""
    told = {"album:1:pub:{awo}:courses": 3, "album:1:box:{awo}:kargah": 1}
    assert judged("kargah", told, RIGHT) == []
    assert [word in sentence for sentence in judged("kargah", told, {**RIGHT, **wrong})] == [True]
