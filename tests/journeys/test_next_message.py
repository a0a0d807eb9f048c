"""A handler that asks for more memory than there is: what comes behind its message and beside it has its effect."""

import asyncio
from pathlib import Path

from deploy.load.bad_ground import Ground
from deploy.load.bad_messages import measure_kind
from deploy.load.bad_wares import KINDS
from services.notifications.app import service
from shared.kit import migrate


def test_a_message_that_asks_for_all_memory_is_parked_and_nothing_else(
    redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    """A real process goes on; every good message has its effect, and the bad one waits under what befell it."""
    [greedy] = [kind for kind in KINDS if kind.name == "handler_asks_for_too_much"]
    migrate.upgrade_now(service, sqlite_url)
    told = asyncio.run(measure_kind(Ground(redis_url, sqlite_url, tmp_path), greedy, rounds=2))
    assert (told["faults"], told["restarts"], told["parked"]) == ([], 0, ["MemoryError"])
    assert told["others"] >= 4
