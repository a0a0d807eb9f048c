"""A neighbour that floods, and a minute's worth of kills: the others go on, and nothing is lost or doubled."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.demo.platform import Embedded
from deploy.demo.story import Story
from deploy.load import flood as floods
from deploy.load import soak as soaks

MESSAGES = 600
SIZE = 32 * 1024


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Embedded]:
    """Give a node of its own: what a flood leaves behind is nobody else's."""
    found = Embedded(tmp_path / "load")
    found.start()
    try:
        yield found
    finally:
        found.stop()


async def test_a_flood_is_told_to_wait_and_the_others_are_answered(platform: Embedded) -> None:
    """Every answer to the others is a good one; the flooder hears 429, `refused` and, in its stream, `full`."""
    plan = floods.Plan(MESSAGES, SIZE, seconds=12.0, calm=2.0)
    async with httpx.AsyncClient(timeout=60) as http:
        story = Story(platform, http, print)
        houses = await floods.found_many(story)
        outcome = await floods.flood(platform, story, houses, plan)
    told = floods.report(outcome)
    assert told["others_during"]["statuses"].keys() <= {"200", "201"}
    assert told["seen_by_others"] >= told["accepted"] > 0
    assert told["refused"] > 0
    assert told["told_to_wait"] > 0
    assert told["retry_after"].keys() == {"given"}
    assert sum(told["answers"]["stranger"].values()) == sum(
        told["answers"]["stranger"].get(status, 0) for status in ("401", "429", "503")
    )
    assert [fault for fault in told["faults"] if not fault.startswith("p99")] == []


async def test_kills_every_three_seconds_lose_nothing_and_double_nothing(platform: Embedded) -> None:
    """What institutions were told is done stands in SQL, in the copies, the streams, the feeds and the mails, once."""
    outcome = await soaks.soak(platform, soaks.Plan(seconds=10.0, rate=12.0, every=3.0), print)
    assert (dict(outcome.verdict.lost), dict(outcome.verdict.doubled)) == ({}, {}), outcome.verdict.examples
    assert (outcome.ledger.surprises, outcome.unhealed, outcome.grown) == ([], [], [])
    assert sum(outcome.kills.values()) >= 2
    assert len(outcome.ledger.runs) >= 3
    assert sum(outcome.ledger.commands.values()) > 20
