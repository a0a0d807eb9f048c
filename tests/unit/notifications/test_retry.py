"""Each class of failure is recognised and has its own waits and its own end."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from services.notifications.domain.answers import Answer, Phase
from services.notifications.domain.delivery import State
from services.notifications.domain.retry import LONGEST, RULES, Failure, Step, classify, next_step

NOW = datetime(2026, 11, 18, 8, tzinfo=UTC)
FAR = NOW + timedelta(days=60)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Answer(Phase.connect, None, "SMTPConnectError"), Failure.connect),
        (Answer(Phase.rcpt, None, "SMTPServerDisconnected"), Failure.connect),
        (Answer(Phase.connect, 554, "not now"), Failure.connect),
        (Answer(Phase.mail, 421, "closing"), Failure.connect),
        (Answer(Phase.mail, 421, "4.7.0 too many connections"), Failure.rate),
        (Answer(Phase.rcpt, 450, "4.7.1 come back"), Failure.greylist),
        (Answer(Phase.rcpt, 451, "greylisted"), Failure.greylist),
        (Answer(Phase.rcpt, 451, "later please"), Failure.greylist),
        (Answer(Phase.rcpt, 452, "4.5.3 too many recipients"), Failure.rate),
        (Answer(Phase.rcpt, 432, "concurrency"), Failure.rate),
        (Answer(Phase.end, 550, "Too many mails from you"), Failure.rate),
        (Answer(Phase.rcpt, 452, "4.2.2 mailbox full"), Failure.mailbox_full),
        (Answer(Phase.end, 552, "5.2.2 over quota"), Failure.mailbox_full),
        (Answer(Phase.end, 552, "no room"), Failure.mailbox_full),
        (Answer(Phase.rcpt, 550, "5.1.1 who?"), Failure.dead_address),
        (Answer(Phase.rcpt, 550, "5.1.10 null MX"), Failure.dead_address),
        (Answer(Phase.rcpt, 550, "5.2.1 disabled"), Failure.dead_address),
        (Answer(Phase.rcpt, 550, "No such user here"), Failure.dead_address),
        (Answer(Phase.end, 550, "5.7.1 refused"), Failure.policy),
        (Answer(Phase.connect, 554, "blocked using zen.spamhaus.org"), Failure.policy),
        (Answer(Phase.end, 554, "5.6.0 bad content"), Failure.content),
        (Answer(Phase.end, 552, "5.3.4 too big"), Failure.content),
        (Answer(Phase.mail, 530, "5.7.0 authentication required"), Failure.login),
        (Answer(Phase.login, 535, "5.7.8 bad password"), Failure.login),
        (Answer(Phase.login, 504, "no AUTH"), Failure.login),
        (Answer(Phase.rcpt, 550, "no"), Failure.unknown),
        (Answer(Phase.rcpt, 452, "not just now"), Failure.unknown),
    ],
)
def test_an_answer_finds_its_class(answer: Answer, failure: Failure) -> None:
    """By place, code, enhanced code, and words where there is no code."""
    assert classify(answer) is failure


def step(failure: Failure, attempts: int = 1, code: int = 451, now: datetime = NOW, useless: datetime = FAR) -> Step:
    """Give what follows the first failure at NOW."""
    answer = Answer(Phase.rcpt, code, "")
    return next_step(failure, answer, attempts, first=NOW, useless_after=useless, now=now, random=Random(1))


@pytest.mark.parametrize("failure", list(Failure))
def test_every_class_has_a_rule(failure: Failure) -> None:
    """A failure without a row in the table would be a crash."""
    assert failure in RULES


def test_waits_grow_and_the_last_one_repeats() -> None:
    """30 s, 2 m, 10 m, 30 m, 1 h, then 2 h, each stretched by a quarter at most and never shortened."""
    minutes = [0.5, 2, 10, 30, 60, 120, 120, 120]
    for attempts, wait in enumerate(minutes, start=1):
        found = step(Failure.connect, attempts)
        assert found.state is State.deferred
        assert found.at is not None
        assert timedelta(minutes=wait) <= found.at - NOW <= timedelta(minutes=wait * 1.25)


def test_jitter_comes_from_the_given_randomness() -> None:
    """The same seed gives the same wait, another seed another."""

    def at(seed: int) -> datetime | None:
        answer = Answer(Phase.connect, None, "")
        return next_step(Failure.connect, answer, 1, first=NOW, useless_after=FAR, now=NOW, random=Random(seed)).at

    assert at(1) == at(1)
    assert at(1) != at(2)


@pytest.mark.parametrize(
    ("failure", "end"),
    [
        (Failure.connect, State.undeliverable),
        (Failure.greylist, State.undeliverable),
        (Failure.mailbox_full, State.undeliverable),
        (Failure.policy, State.rejected_policy),
        (Failure.login, State.undeliverable),
    ],
)
def test_attempts_end_after_three_days(failure: Failure, end: State) -> None:
    """After 72 hours the mail is given up, and staff see how."""
    assert step(failure, 50, now=NOW + LONGEST).state is end


def test_a_mail_is_not_tried_beyond_its_use() -> None:
    """An offer whose deadline comes before the next attempt is expired."""
    assert step(Failure.connect, useless=NOW + timedelta(seconds=20)).state is State.expired


@pytest.mark.parametrize("failure", [Failure.dead_address, Failure.content])
def test_what_will_not_get_better_is_not_tried_again(failure: Failure) -> None:
    """A dead address ends, a bad template is held."""
    assert step(failure, code=550) == Step(RULES[failure].at_last)


def test_an_unknown_refusal_for_good_goes_to_staff_and_one_for_now_is_tried_again() -> None:
    """The first digit of the code decides where nothing else does."""
    assert step(Failure.unknown, code=550).state is State.undeliverable
    assert step(Failure.unknown, code=452).state is State.deferred


def test_our_own_faults_never_suppress_an_address() -> None:
    """Policy, content and login pause us; only a dead address is left alone."""
    assert {failure for failure, rule in RULES.items() if rule.suppresses} == {Failure.dead_address}
    paused = {failure for failure, rule in RULES.items() if rule.pauses}
    assert paused == {Failure.policy, Failure.content, Failure.login}
