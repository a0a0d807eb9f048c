"""A handler in its time: what waits for nothing is given up soon, what waits for its database is not."""

import asyncio
import time
from typing import Any

import pytest
import sqlalchemy as sa

from shared.contract import members
from shared.kit import in_time
from shared.kit.streams import START
from shared.kit.work import Work
from tests.integration.kit.sample import OWN, Sample, SampleStore, api_key, keeps_all

PATIENCE = in_time.LOOK * in_time.LOOKS


async def _slow_statements(work: Work[SampleStore]) -> None:
    await work.connection.execute(sa.text("SELECT pg_sleep(:seconds)"), {"seconds": 3 * PATIENCE})


async def _take(sample: Sample, way: Any) -> list[int]:
    """Have one message handled in some way; gives the numbers of the attempts made."""
    attempts: list[int] = []

    async def handle(message: members.KeyIssued, work: Work[SampleStore]) -> None:
        attempts.append(len(attempts) + 1)
        await way(work)
        await work.store.keep(message)

    await sample.tell(api_key(1))
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.step()
    await sample.reader(OWN, keeps_all(handle)).take(await sample.streams.read(OWN, START, 9))
    return attempts


async def test_a_handler_that_waits_for_nothing_is_given_up_without_a_wait_between(sample: Sample) -> None:
    """Three attempts, and nobody slept: the handler had its time each time."""

    async def waits(_: Work[SampleStore]) -> None:
        await asyncio.Event().wait()

    assert await _take(sample, waits) == [1, 2, 3]
    assert (await sample.parked(), sample.clock.slept) == ([("key_00000001", "never_ends", "parked")], [])


async def test_a_handler_that_waits_for_its_database_has_its_time(on_postgres: Sample) -> None:
    """A statement that takes long is no fault of the message."""
    assert await _take(on_postgres, _slow_statements) == [1]
    assert await on_postgres.parked() == []


async def test_without_a_count_of_statements_a_slow_database_costs_a_good_message(
    on_postgres: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: whoever cannot tell the two kinds of waiting apart sets a good message aside."""
    monkeypatch.setattr(in_time, "_ANSWERED", in_time._ASKED)
    assert await _take(on_postgres, _slow_statements) == [1, 2, 3]
    assert await on_postgres.parked() == [("key_00000001", "never_ends", "parked")]


async def test_a_handler_that_works_without_a_pause_has_its_time(sample: Sample) -> None:
    """Nobody can look while it holds the process, and so nobody takes it for one that waits."""

    async def works(_: Work[SampleStore]) -> None:
        time.sleep(3 * PATIENCE)  # noqa: ASYNC251 - it is to hold the process

    assert await _take(sample, works) == [1]
    assert await sample.parked() == []


async def test_a_statement_that_fails_leaves_the_longer_time(
    on_postgres: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no answer that is counted: whoever waits behind it is given up when the longer time is over."""
    monkeypatch.setattr(in_time, "LONGEST", 3 * PATIENCE)

    async def fails(work: Work[SampleStore]) -> None:
        with pytest.raises(sa.exc.DBAPIError):
            await work.connection.execute(sa.text("SELECT 1/0"))
        await asyncio.Event().wait()

    assert await _take(on_postgres, fails) == [1, 2, 3]
