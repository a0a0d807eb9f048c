"""A loop of a service ends when it is told to; one that ends by a fault says so: nobody awaits it before the stop."""

import asyncio
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from shared.kit import node
from shared.kit.node import Node, _say_how_it_ended


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


async def _tells_to_end(turn: asyncio.Task[None]) -> bool:
    turn.cancel()
    done, _ = await asyncio.wait([turn], timeout=0.2)
    return bool(done)


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_turn_ends_though_the_cancellation_was_lost_below(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11 loses one that comes as `wait_for` is done; control: a loop that does not ask goes on for ever."""
    if not guarded:
        monkeypatch.setattr(node, "is_ending", lambda: False)
    asked = asyncio.Event()

    async def loses_it() -> None:
        asked.set()
        try:
            await asyncio.sleep(60 if not asyncio.current_task().cancelling() else 0)  # type: ignore[union-attr] # it runs in a task
        except asyncio.CancelledError:
            return

    turn = asyncio.create_task(Node._again(cast("Node[Any]", None), "relay", 0.0, loses_it))
    await asked.wait()
    assert await _tells_to_end(turn) is guarded
    turn.cancel()
    monkeypatch.undo()
    assert await _tells_to_end(turn)
