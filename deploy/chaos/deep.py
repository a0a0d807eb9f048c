"""The slow proofs: 200 rounds of lost files under a relay, and a death at each send of a use case."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.chaos.refill import refill_time, rounds
from shared.kit import log as logs

ROUNDS = 200
MESSAGES = 10_000


def run(seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run them all; gives their figures."""
    logs.configure("chaos", "ERROR")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found["lost_files"] = asyncio.run(rounds(Path(one), ROUNDS, seed))
        say(f"lost files: {found['lost_files']}")
        found["refill"] = asyncio.run(refill_time(Path(other), MESSAGES, seed))
        say(f"refill: {found['refill']}")
    found["sends"] = [_killed_at_sends(database, say) for database in ("sqlite", "postgresql")]
    return found


def _killed_at_sends(database: str, say: Callable[[str], None]) -> dict[str, Any]:
    # In a process of its own: it forks, and here are threads.
    command = [sys.executable, "-m", "deploy.chaos.sends", "--database", database, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    one: dict[str, Any] = json.loads(lines[-1]) if lines else {"database": database, "wrong": [done.stderr[-2000:]]}
    say(f"deaths: {one}")
    return one


def wrong(found: dict[str, Any]) -> list[str]:
    """Say what was lost or doubled."""
    said = [f"{name}: {found[name]}" for name in ("lost_files", "refill") if found[name]["lost"]]
    return said + [f"deaths: {one['database']}: {one['wrong']}" for one in found["sends"] if one["wrong"]]
