"""Limits per institution: a bucket that fills again with time; who finds it empty is told when to come back."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from shared.kit.clock import monotonic
from shared.kit.errors import Problem


class TooMany(Problem):
    """Somebody asks for more than their share; `retry_after` is in whole seconds."""

    status = 429
    code = "too_many"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.headers = MappingProxyType({"Retry-After": str(retry_after)})


@dataclass
class _Bucket:
    left: float
    at: float


class Limits:
    """The buckets of one process: `rate` a second for each key, and `burst` at once."""

    def __init__(self, rate: float, burst: int, what: str = "requests", clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._what = what
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, count: int = 1) -> None:
        """Take for so many; raises TooMany.

        More at once than a bucket holds is let through when it is full, and paid off afterwards.
        """
        if (seconds := self.wait(key, count)) > 0:
            after = max(1, ceil(seconds))
            raise TooMany(f"{self._rate:g} {self._what} a second are your share; please wait {after} seconds", after)

    def wait(self, key: str, count: int = 1) -> float:
        """Take for so many and give 0, or take nothing and give the seconds after which to ask again."""
        bucket = self._filled(key)
        missing = min(count, self._burst) - bucket.left
        if missing > 0:
            return missing / self._rate
        bucket.left -= count
        return 0.0

    def charge(self, key: str, count: int) -> None:
        """Take for what has been used already, even if nothing is left: it is paid off before the next."""
        self._filled(key).left -= count

    def _filled(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(float(self._burst), now))
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        return bucket
