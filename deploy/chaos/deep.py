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
    # In a process of its own: it forks, and here are threads.
    done = subprocess.run([sys.executable, "-m", "deploy.chaos.sends"], capture_output=True, text=True, check=False)
    found["sends"] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for one_ in found["sends"]:
        say(f"deaths: {one_}")
    if done.returncode and not any(one_["wrong"] for one_ in found["sends"]):
        found["sends_failed"] = done.stderr[-2000:]
    return found


def wrong(found: dict[str, Any]) -> list[str]:
    """Say what was lost or doubled."""
    said = [f"{name}: {found[name]}" for name in ("lost_files", "refill") if found[name]["lost"]]
    said += [f"deaths: {one['case']}, {one['calls']}: {one['wrong']}" for one in found["sends"] if one["wrong"]]
    return said + ([found["sends_failed"]] if "sends_failed" in found else [])
