"""Judges whether memory and file handles stay where they are, in the longest life that each process had."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from deploy.load.gauges import Sample

WARM = 60.0
"""Seconds of a life that do not count: it loads, fills its caches, and catches up."""
LONG_ENOUGH = 120.0
"""Seconds that a life must last behind that: what a process does every half minute happens in each third."""


@dataclass(frozen=True)
class Bound:
    """By how much the last third of a life may lie above the second: a share of it and a fixed room."""

    share: float
    room: float

    def allows(self, second: float, last: float) -> bool:
        """Tell whether the last third is not above what is allowed."""
        return last <= second * (1 + self.share) + self.room


MEMORY = Bound(0.05, 5.0)
HANDLES = Bound(0.1, 5.0)


@dataclass(frozen=True)
class Life:
    """The medians of a figure in the three thirds of a life, and the most; `seconds` without the warm part."""

    seconds: float
    first: float
    second: float
    last: float
    most: float
    flat: bool | None
    """None where the life was too short to say it."""


def longest_life(samples: Sequence[Sample], warm: float) -> list[Sample]:
    """Give the samples of the life that lasted longest, without its beginning: a restart begins with a lower age."""
    lives: list[list[Sample]] = [[]]
    for one in samples:
        if lives[-1] and one.age < lives[-1][-1].age:
            lives.append([])
        lives[-1].append(one)
    ripe = [[one for one in life if one.age >= warm] for life in lives]
    return max(ripe, key=lambda life: life[-1].age - life[0].age if life else 0.0)


def judged(
    samples: Sequence[Sample],
    value: Callable[[Sample], float],
    bound: Bound,
    warm: float = WARM,
    long_enough: float = LONG_ENOUGH,
) -> Life | None:
    """Compare the thirds of the longest life of a process; None where it was never older than `warm` seconds."""
    life = longest_life(samples, warm)
    if len(life) < 3:
        return None
    begin, end = life[0].age, life[-1].age
    thirds: list[list[float]] = [[], [], []]
    for one in life:
        thirds[min(2, int(3 * (one.age - begin) / (end - begin)))].append(value(one))
    if not all(thirds):
        return None
    first, second, last = map(median, thirds)
    flat = bound.allows(second, last) if end - begin >= long_enough else None
    return Life(end - begin, first, second, last, max(map(value, life)), flat)
