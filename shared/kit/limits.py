"""Limits per API key: a bucket of requests that fills again with time; who finds it empty is told when to come back."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from shared.kit.clock import monotonic
from shared.kit.errors import Problem


class TooMany(Problem):
    """The key asks for more than its share; `retry_after` is in whole seconds."""

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

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, count: int = 1) -> None:
        """Take for so many requests; raises TooMany.

        More at once than a bucket holds is let through when it is full, and paid off afterwards.
        """
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(float(self._burst), now))
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        missing = min(count, self._burst) - bucket.left
        if missing > 0:
            wait = max(1, ceil(missing / self._rate))
            raise TooMany(f"this key may send {self._rate:g} a second; please wait {wait} seconds", wait)
        bucket.left -= count
