"""Kill -9 at network sends of a use case; `make chaos DEEP=1` does it at each send of every one, on both databases."""

import json
import subprocess
import sys
from typing import Any

import pytest


def _killed(*words: str) -> dict[str, Any]:
    """Run it in a process of its own: it forks, and a test's process has threads."""
    command = [sys.executable, "-m", "deploy.chaos.sends", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == int(bool(found["wrong"])), done.stderr
    return found


@pytest.mark.parametrize(
    ("database", "cases", "step"), [("sqlite", ("enrol", "send_a_mail"), "4"), ("postgresql", ("enrol",), "25")]
)
def test_a_use_case_is_whole_wherever_its_process_is_killed(database: str, cases: tuple[str, ...], step: str) -> None:
    """Asked again after its death, the service holds and tells the very same; a mail came at most once."""
    words = [word for case in cases for word in ("--case", case)]
    found = _killed("--database", database, *words, "--calls", "after a send", "--step", step)
    assert found["wrong"] == []
    assert min(found["by_case"].values()) >= 2


def test_telling_before_the_commit_is_found_wrong() -> None:
    """The control: without a death it looks alike; who dies before the commit has told what is not so."""
    words = ("--case", "publish_run", "--calls", "after a send", "--control", "told_before_the_commit")
    [found] = _killed(*words, "--most", "8")["wrong"]
    assert [each for each in found["wrong"] if each["at"] == 0] == []
    assert found["wrong"] != []
