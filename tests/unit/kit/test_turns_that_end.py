"""A loop of a service that ends by a fault says so: nobody awaits it before the service stops."""

import asyncio

from structlog.testing import capture_logs

from shared.kit.node import _say_how_it_ended


async def _ended(task: asyncio.Task[None]) -> list[str]:
    with capture_logs() as logs:
        await asyncio.gather(task, return_exceptions=True)
        _say_how_it_ended(task)
    return [line["event"] for line in logs]


async def test_a_turn_that_dies_is_logged() -> None:
    """What it died of stands in the log, not only in what nobody asks."""

    async def dies() -> None:
        raise TypeError("unhashable")

    assert await _ended(asyncio.create_task(dies())) == ["turn_died"]


async def test_a_turn_that_is_over_or_was_cancelled_is_no_fault() -> None:
    """Turns that have nothing to do end at once; all others are cancelled when the service stops."""
    waiting = asyncio.create_task(asyncio.sleep(60))
    waiting.cancel()
    assert await _ended(asyncio.create_task(asyncio.sleep(0))) == []
    assert await _ended(waiting) == []
