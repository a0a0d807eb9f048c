"""The judge of a flood finds what should not be, and nothing in a good one."""

from collections import Counter
from typing import Any

import pytest

from deploy.load.flood import ROOM, Outcome, faults
from deploy.load.gauges import Gauges, Sample
from deploy.load.others import Times


def _gauges(**rss: float) -> Gauges:
    gauges = Gauges(dict)
    for name, most in rss.items():
        gauges.samples[name] = [Sample(0, 60, most, 40)] * 3
    return gauges


def _outcome(**other: Any) -> Outcome:
    given: dict[str, Any] = {
        "flooder": {"answers": {"single": {"accepted": 5}}, "retry_after": {"given": 3}},
        "before": Times([0.01] * 99, Counter({"200": 99})),
        "during": Times([0.2] * 199, Counter({"200": 150, "201": 49})),
        "gauges": {when: _gauges(courses=140.0, redis=90.0) for when in ("before", "during", "after")},
        "seen": 5,
        "left": {},
    }
    return Outcome(**{**given, **other})


def test_a_good_flood_has_no_faults() -> None:
    """Others were answered within a second, memory stayed, and all that was accepted is seen."""
    assert faults(_outcome()) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"during": Times([0.2] * 90 + [1.5] * 10, Counter({"200": 100}))}, "p99 of the others is 1.50 s"),
        ({"during": Times([0.2], Counter({"503": 1}))}, "503 for others"),
        ({"flooder": {"answers": {}, "retry_after": {"missing": 1}}}, "without Retry-After"),
        ({"seen": 4}, "5 were accepted, 4 are seen"),
    ],
)
def test_what_should_not_be_is_said(wrong: dict[str, Any], said: str) -> None:
    """Each fault that is planted is found, and no other."""
    [fault] = faults(_outcome(**wrong))
    assert said in fault


def test_memory_that_grows_is_said_but_for_redis_which_keeps_what_it_was_given() -> None:
    """The services hold no more than bodies and pages; Redis holds what was accepted, for weeks."""
    calm, full = _gauges(courses=140.0, redis=10.0), _gauges(courses=141.0 + ROOM, redis=300.0)
    [fault] = faults(_outcome(gauges={"before": calm, "during": full, "after": full}))
    assert fault.startswith("memory of courses rose from 140")
