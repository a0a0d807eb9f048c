"""A process whose loop stands still is ended, and says where it stood."""

import subprocess
import sys
from textwrap import dedent

LIVES = """
import asyncio
import time
from contextlib import nullcontext

from shared.kit.run import turning


def spins():
    end = time.monotonic() + 3
    while time.monotonic() < end:
        pass


async def live():
    async with {around}:
        {does}
    print("came through")


asyncio.run(live())
"""


def _life(*, around: str, does: str) -> subprocess.CompletedProcess[str]:
    program = dedent(LIVES.format(around=around, does=does))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


def test_a_loop_that_does_not_turn_ends_its_process_and_says_where() -> None:
    """Nothing inside can stop what never gives the processor back; whoever restarts the process counts on."""
    life = _life(around="turning(0.5)", does="spins()")
    assert (life.returncode, life.stdout) == (1, "")
    assert "in spins" in life.stderr


def test_without_it_such_a_process_goes_on() -> None:
    """The control."""
    life = _life(around="nullcontext()", does="spins()")
    assert (life.returncode, life.stdout, life.stderr) == (0, "came through\n", "")


def test_a_loop_that_turns_is_left_alone_however_long_it_works() -> None:
    """Waiting is no standstill, and behind the end of the block nobody looks any more."""
    life = _life(around="turning(0.5)", does="await asyncio.sleep(2)")
    assert (life.returncode, life.stdout, life.stderr) == (0, "came through\n", "")
    assert _life(around="turning(0.5)", does="pass").returncode == 0
