"""Time and randomness as things that come from outside, so that the same code runs under simulation."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Protocol


class Clock(Protocol):
    """What tells the time and waits."""

    def now(self) -> datetime:
        """Give the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds that only grow: to wait by, for the time of day is put right now and then."""
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


def passed(clock: Clock, since: float) -> timedelta:
    """Give how long ago a moment of a clock's `monotonic` is."""
    return timedelta(seconds=clock.monotonic() - since)


class SystemClock(Clock):
    """The clock of the machine; `ALBUM_CLOCK_OFFSET` (seconds, may be negative) has it go wrong, for tests only."""

    def __init__(self) -> None:
        self._offset = timedelta(seconds=float(os.environ.get("ALBUM_CLOCK_OFFSET") or 0))

    def now(self) -> datetime:
        """Give the time of day, in UTC."""
        return datetime.now(UTC) + self._offset

    def monotonic(self) -> float:
        """Give seconds that only grow."""
        return monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Ids:
    """Makes ids that sort by the time they were made: a word, 48 bits of milliseconds, 80 random bits (as a ULID)."""

    def __init__(self, random: Random, clock: Clock) -> None:
        self._random = random
        self._clock = clock

    def new(self, word: str) -> str:
        """Make an id such as `run_01jd3…`."""
        number = (int(self._clock.now().timestamp() * 1000) << 80) | self._random.getrandbits(80)
        return f"{word}_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))

    def secret(self, count: int) -> bytes:
        """Make random bytes for a key; in a running service they come from the operating system."""
        return self._random.randbytes(count)


def full_jitter(random: Random, attempt: int, *, base: float = 0.1, cap: float = 30.0) -> float:
    """Give the seconds to wait before another attempt (AWS Architecture Blog, "Exponential Backoff And Jitter")."""
    return random.uniform(0, min(cap, base * 2 ** min(attempt, 20)))


def monotonic() -> float:
    """Give seconds on a clock that never runs backwards."""
    return time.monotonic()
