"""What is done about each class of failure: a table, and how an answer finds its row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Final

from services.notifications.domain.answers import Answer, Phase
from services.notifications.domain.delivery import State

LONGEST = timedelta(hours=72)


class Failure(StrEnum):
    """The classes of failure."""

    connect = "connect"
    greylist = "greylist"
    rate = "rate"
    mailbox_full = "mailbox_full"
    dead_address = "dead_address"
    policy = "policy"
    content = "content"
    login = "login"
    unknown = "unknown"


class Pause(StrEnum):
    """Who stops sending for a while, beside the mail that failed."""

    sender = "sender"
    kind = "kind"


@dataclass(frozen=True)
class Rule:
    """What follows a failure: waits (the last one repeats; none means no retry), the state at the end, and more."""

    waits: tuple[timedelta, ...]
    at_last: State
    pauses: Pause | None = None
    pause_for: timedelta = timedelta(0)
    suppresses: bool = False
    shrinks: bool = False


def _minutes(*values: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(minutes=value) for value in values)


RULES: Final[Mapping[Failure, Rule]] = {
    Failure.connect: Rule(_minutes(0.5, 2, 10, 30, 60, 120), State.undeliverable),
    Failure.greylist: Rule(_minutes(5, 15, 15, 60), State.undeliverable),
    Failure.rate: Rule(_minutes(2, 10, 30, 60), State.undeliverable, shrinks=True),
    Failure.mailbox_full: Rule(_minutes(60, 240, 720, 1440), State.undeliverable),
    Failure.dead_address: Rule((), State.undeliverable, suppresses=True),
    Failure.policy: Rule(
        _minutes(30, 120, 360), State.rejected_policy, pauses=Pause.sender, pause_for=timedelta(minutes=10)
    ),
    Failure.content: Rule((), State.held, pauses=Pause.kind, pause_for=timedelta(hours=1)),
    Failure.login: Rule(_minutes(5, 10, 30), State.undeliverable, Pause.sender, timedelta(minutes=5)),
    Failure.unknown: Rule(_minutes(10, 30, 60, 120), State.undeliverable),
}

FULL_TIMES = 3
FULL_WITHIN = timedelta(days=14)
"""A mailbox that is full for three mails within this time is left alone for as long."""

_DEAD_CODES = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.10", "5.2.1"})

# Servers without enhanced codes say it in words; the first that fits counts.
_WORDS: tuple[tuple[Failure, re.Pattern[str]], ...] = tuple(
    (failure, re.compile(words, re.IGNORECASE))
    for failure, words in (
        (Failure.rate, r"too many|rate.?limit|throttl"),
        (Failure.mailbox_full, r"(mailbox|quota).{0,20}(full|exceeded)|over ?quota"),
        (Failure.dead_address, r"(user|mailbox|recipient|address).{0,20}(unknown|not found|does ?n.t exist)|no such"),
        (Failure.policy, r"dnsbl|spamhaus|block ?list|blacklist|\bspf\b|dkim|dmarc|spam|reputation"),
        (Failure.greylist, r"gr[ea]y.?list"),
    )
)


def classify(answer: Answer) -> Failure:
    """Find the class of a failed attempt: by where it failed, then by code, enhanced code and text."""
    if answer.code is None or answer.code == 421:
        said = _by_words(answer.text)
        return said if answer.code == 421 and said is Failure.rate else Failure.connect
    if answer.phase is Phase.login or answer.code in {530, 534, 535, 538} or answer.enhanced in {"5.7.8", "5.7.9"}:
        return Failure.login
    return _by_codes(answer) or _by_words(answer.text) or _by_bare_code(answer.code, answer.phase)


def _by_codes(answer: Answer) -> Failure | None:
    enhanced = answer.enhanced or ""
    if answer.code == 432 or enhanced == "4.5.3":
        return Failure.rate
    if enhanced in {"4.2.2", "5.2.2"}:
        return Failure.mailbox_full
    if enhanced in _DEAD_CODES:
        return Failure.dead_address
    if enhanced.startswith("5.6.") or enhanced == "5.3.4":
        return Failure.content
    if enhanced.startswith("5.7."):
        return Failure.policy
    return Failure.greylist if enhanced == "4.7.1" else None


def _by_words(text: str) -> Failure | None:
    return next((failure for failure, words in _WORDS if words.search(text)), None)


def _by_bare_code(code: int, phase: Phase) -> Failure:
    if phase is Phase.connect:
        return Failure.connect
    if code == 552:
        return Failure.mailbox_full
    return Failure.greylist if code in {450, 451} else Failure.unknown


@dataclass(frozen=True)
class Step:
    """What becomes of a mail after a failure: another attempt at a moment, or an end."""

    state: State
    at: datetime | None = None


def next_step(
    failure: Failure,
    answer: Answer,
    attempts: int,
    *,
    first: datetime,
    useless_after: datetime,
    now: datetime,
    random: Random,
) -> Step:
    """Decide about the next attempt; `attempts` counts the one that failed, waits are stretched by up to a quarter."""
    rule = RULES[failure]
    if not rule.waits or (failure is Failure.unknown and answer.permanent):
        return Step(rule.at_last)
    wait = rule.waits[min(attempts, len(rule.waits)) - 1]
    at = now + wait * random.uniform(1.0, 1.25)
    if at >= useless_after:
        return Step(State.expired)
    return Step(rule.at_last) if at > first + LONGEST else Step(State.deferred, at)
