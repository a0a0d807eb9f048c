"""Loops that end when they are told to: a cancellation can be lost on its way to them."""

import asyncio


def is_ending() -> bool:
    """Tell whether this task was cancelled.

    `asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the moment in which it is done (cpython#86296),
    and redis-py sends every command through it: a loop that relies on the exception alone would go on for ever.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def pause(seconds: float) -> None:
    """Sleep between two turns of a loop, but not where it is to end."""
    if not is_ending():
        await asyncio.sleep(seconds)
