"""The judge of a soak: what grows is found, what is restarted or merely warms up is not taken for growth."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.load.flatness import HANDLES, MEMORY, judged
from deploy.load.gauges import Gauges, Sample

GOES_ON = """
import sys, time
kept = []
while True:
    if sys.argv[1] == "memory":
        kept.append(bytearray(b"x") * 3_000_000)
    elif sys.argv[1] == "handles":
        kept += [open("/dev/null") for _ in range(8)]
    time.sleep(0.1)
"""


def _rss(sample: Sample) -> float:
    return sample.rss


def _handles(sample: Sample) -> float:
    return sample.handles


def _life(begun: float, seconds: int, rss: float, growth: float = 0.0) -> list[Sample]:
    """Give a life's samples, every two seconds: it warms up to `rss` MiB in 40 seconds, then grows by minute."""
    return [
        Sample(begun + age, age, rss - max(0, 40 - age) + growth * max(0, age - 40) / 60, 40)
        for age in range(0, seconds, 2)
    ]


def test_a_process_that_stays_where_it_is_is_flat() -> None:
    """Warming up is no growth, and neither is a little to and fro."""
    life = judged(_life(0, 1800, 150), _rss, MEMORY)
    assert life is not None
    assert (life.second, life.last, life.flat) == (150, 150, True)


def test_a_slow_leak_is_found() -> None:
    """One and a half MiB a minute are fifteen in a third of half an hour: the last lies above the second."""
    life = judged(_life(0, 1800, 150, growth=1.5), _rss, MEMORY)
    assert life is not None
    assert life.flat is False


def test_restarts_do_not_hide_a_leak_and_are_none() -> None:
    """Only within a life can something grow: the longest one is judged, wherever it stands."""
    short, long = _life(0, 200, 120), _life(300, 1500, 150, growth=2)
    for samples in ([*short, *long], [*long, *_life(2000, 200, 120)]):
        life = judged(samples, _rss, MEMORY)
        assert life is not None
        assert (life.flat, life.first > 140) == (False, True)
    steady = judged([*_life(0, 900, 100), *_life(1000, 600, 180)], _rss, MEMORY)
    assert steady is not None
    assert (steady.flat, steady.last) == (True, 100)


def test_of_a_life_that_was_too_short_nothing_is_said() -> None:
    """A minute shows how a process warms up; whether it grows is not known, and not called flat."""
    life = judged(_life(0, 150, 100), _rss, MEMORY)
    assert life is not None
    assert life.flat is None
    assert judged(_life(0, 30, 100), _rss, MEMORY) is None


@contextmanager
def _going_on(what: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", GOES_ON, what]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("planted", "memory", "handles"), [("", True, True), ("memory", False, True), ("handles", True, False)]
)
async def test_a_leak_that_is_planted_in_a_real_process_is_found(planted: str, memory: bool, handles: bool) -> None:
    """The control: the same looks at processes that lose memory, that lose handles, and that do neither."""
    with _going_on(planted) as pid:
        gauges = Gauges(lambda: {"it": pid})
        async with gauges.looking(0.1):
            await asyncio.sleep(2.0)
    found = [
        judged(gauges.samples["it"], value, bound, warm=0.3, long_enough=1.0)
        for value, bound in ((_rss, MEMORY), (_handles, HANDLES))
    ]
    assert [life and life.flat for life in found] == [memory, handles]
