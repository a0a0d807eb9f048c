"""Each key has its share of requests."""

import pytest

from shared.kit.limits import Limits, TooMany


class Hand:
    """A clock that is turned by hand."""

    at = 100.0

    def __call__(self) -> float:
        """Give the seconds."""
        return self.at


def test_a_full_bucket_gives_its_burst_and_then_fills_with_time() -> None:
    """Ten at once, the eleventh waits, and a second later five more."""
    clock = Hand()
    limits = Limits(5, 10, clock=clock)
    for _ in range(10):
        limits.take("a")
    with pytest.raises(TooMany) as refused:
        limits.take("a")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    clock.at += 1
    for _ in range(5):
        limits.take("a")
    with pytest.raises(TooMany):
        limits.take("a")


def test_one_key_takes_nothing_from_another() -> None:
    """The neighbour of a flood is not limited."""
    limits = Limits(1, 1, clock=Hand())
    limits.take("flood")
    with pytest.raises(TooMany):
        limits.take("flood")
    limits.take("neighbour")


def test_a_batch_above_the_burst_is_taken_when_the_bucket_is_full_and_paid_off() -> None:
    """It could never be sent otherwise; the next request waits for all of it."""
    clock = Hand()
    limits = Limits(10, 20, clock=clock)
    limits.take("a", 100)
    with pytest.raises(TooMany) as refused:
        limits.take("a")
    assert refused.value.headers["Retry-After"] == "9"
    clock.at += 9
    limits.take("a")
