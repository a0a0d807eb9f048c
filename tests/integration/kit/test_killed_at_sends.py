"""Kill -9 before or after a network send of a use case; `make chaos DEEP=1` does each of them, under strace too."""

import json
import subprocess
import sys
from typing import Any

import pytest


def _killed(*words: str) -> dict[str, Any]:
    """Run it in a process of its own: it forks, and a test's process has threads."""
    command = [sys.executable, "-m", "deploy.chaos.sends", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == int(bool(found["wrong"])), done.stderr
    return found


@pytest.mark.parametrize("when", ["before a send", "after a send"])
def test_a_seat_is_given_once_wherever_the_process_is_killed(when: str) -> None:
    """Asked again after its death, the service holds and tells the very same as without it."""
    found = _killed("--case", "enrol", "--calls", when, "--step", "4")
    assert found["deaths"] >= 3
    assert found["wrong"] == []


def test_without_compare_and_append_a_death_doubles_or_loses() -> None:
    """The control: with ids that Redis gives and no look at the stream's end it goes wrong."""
    found = _killed("--case", "publish", "--calls", "after a send", "--control")
    assert found["wrong"] != []
