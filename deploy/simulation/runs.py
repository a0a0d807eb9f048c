"""Many worlds, one after another on every core, and what they came to."""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from typing import TypeVar

from deploy.simulation.controls import CONTROLS, PROTECTED
from deploy.simulation.process import Parts
from deploy.simulation.world import Outcome, prepare, simulate

T = TypeVar("T")
R = TypeVar("R")
# Each is a branch that protects against faults; many worlds together must have passed all of them.
MARKS = frozenset(
    {
        "append_refused",
        "cursor_followed",
        "cursor_moved_by_other_copy",
        "epoch_begun",
        "foreign_stream_waits_not_genuine",
        "gap_filled",
        "hub_moved",
        "hub_refilled",
        "known_entry_passed_over",
        "lease_refused",
        "lease_taken_over",
        "message_parked",
        "own_stream_not_sent_forged",
        "own_stream_not_sent_institution_not_active",
        "parked_message_retried",
        "restored_and_changed",
        "roster_taken",
        "seat_enrolled",
        "seat_offered",
        "seat_waiting",
        "seat_withdrawn",
        "snapshot_loaded",
        "stream_inside_lost",
        "stream_refilled",
        "turn_repeated",
    }
)


@dataclass
class Report:
    """What many worlds came to."""

    seeds: int = 0
    violations: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count a world."""
        self.seeds += 1
        self.violations += len(outcome.violations)
        self.faults.update(outcome.faults)
        self.marks.update(outcome.marks)
        self.hashes[outcome.seed] = outcome.hash
        if outcome.violations:
            self.failed.append(outcome)

    @property
    def missing_marks(self) -> list[str]:
        """Name the protections that no world needed."""
        return sorted(MARKS - self.marks.keys())

    @property
    def trace_hash(self) -> str:
        """Give one hash over the traces of all worlds in the order of their seeds."""
        total = sha256()
        for seed in sorted(self.hashes):
            total.update(f"{seed} {self.hashes[seed]}\n".encode())
        return total.hexdigest()


def run_all(
    seeds: Iterable[int], told: Callable[[Outcome], None] = lambda outcome: None, parts: Parts | None = None
) -> Report:
    """Let the worlds of some seeds live, on all cores; what becomes of each does not depend on the others."""
    report = Report()
    for outcome in _outcomes(list(seeds), partial(simulate, parts=parts)):
        report.add(outcome)
        told(outcome)
    return report


def run_control(name: str, seeds: Iterable[int]) -> tuple[int, Outcome | None, list[str]]:
    """Give how many worlds it took until one went wrong without a protection, that one, and what is wrong with it.

    A world that is well with the protection goes wrong for no other reason than its lack.
    """
    tried = 0
    for seed in seeds:
        tried += 1
        outcome = simulate(seed, CONTROLS[name])
        if outcome.violations:
            return tried, outcome, simulate(seed, PROTECTED.get(name, Parts())).violations
    return tried, None, []


def _rarely_collect() -> None:
    """Have the collector of cycles leave alone what stays, and look at the rest once in a few worlds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def _outcomes(work: list[T], do: Callable[[T], R]) -> Iterator[R]:
    prepare()  # before the processes part, so that each has the databases and the compiled statements
    _rarely_collect()
    cores = min(len(work), len(os.sched_getaffinity(0)))
    if cores < 2:
        yield from map(do, work)
        return
    with get_context("fork").Pool(cores) as pool:
        yield from pool.imap(do, work, chunksize=1 if len(work) < 50 else 4)
