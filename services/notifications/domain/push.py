"""A push: one message on its way to one webhook; what is made of each answer."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from random import Random
from typing import Final

from services.notifications.domain.retry import LONGEST

LONGEST_PAUSE: Final = timedelta(hours=24)
"""What a Retry-After may ask for at most."""
_FIRST_WAIT = 5.0
_LONGEST_WAIT = 6 * 3600.0


class PushState(StrEnum):
    """Where a push stands."""

    waiting = "waiting"
    sending = "sending"
    delivered = "delivered"
    given_up = "given_up"


class Outcome(StrEnum):
    """How an attempt ended, as far as anybody knows."""

    delivered = "delivered"
    gone = "gone"
    throttled = "throttled"
    redirect = "redirect"
    refused = "refused"
    closed = "closed"
    server_error = "server_error"
    timeout = "timeout"
    connection = "connection"
    tls = "tls"
    unknown_host = "unknown_host"
    address_not_allowed = "address_not_allowed"
    secret_unreadable = "secret_unreadable"  # noqa: S105 - a word for what happened
    fault = "fault"
    unknown = "unknown"


_ABOUT_THE_MESSAGE = frozenset({400, 409, 413, 415, 422})


@dataclass(frozen=True)
class Push:
    """One message for one webhook; `message_id` is its `webhook-id` in all attempts, `until` the end of all trying."""

    id: str
    webhook_id: str
    message_id: str
    type: str
    made_at: datetime
    changed_at: datetime
    not_before: datetime
    until: datetime
    state: PushState = PushState.waiting
    attempts: int = 0
    last_outcome: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One attempt; without `outcome` it is under way, with `unknown` its sender ended before the answer was kept."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    status: int | None
    answer: str | None


@dataclass(frozen=True)
class Reply:
    """What came back from an attempt: a status and the beginning of a body, or a word for what went wrong."""

    outcome: Outcome
    status: int | None = None
    answer: str | None = None
    pause: timedelta | None = None


def reply_of(status: int, answer: str, retry_after: str | None, now: datetime) -> Reply:
    """Read an answer of HTTP; a redirect is a failure, and nobody follows it."""
    pause = _pause(retry_after, now) if status in {429, 503} else None
    return Reply(_outcome(status), status, answer, pause)


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.delivered
    if status in {410, 429}:
        return Outcome.gone if status == 410 else Outcome.throttled
    if status < 400:
        return Outcome.redirect
    if status in _ABOUT_THE_MESSAGE:
        return Outcome.refused
    return Outcome.closed if status < 500 else Outcome.server_error


def _pause(words: str | None, now: datetime) -> timedelta | None:
    """Read Retry-After, in seconds or as a date (RFC 9110, 10.2.3); nonsense and the past are None."""
    if words is None:
        return None
    if words.strip().isdecimal() and words.strip().isascii():
        seconds = min(int(words.strip()[:9]), int(LONGEST_PAUSE.total_seconds()))
        return timedelta(seconds=seconds) if seconds else None
    try:
        at = parsedate_to_datetime(words)
    except ValueError:
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(wait, LONGEST_PAUSE) if wait > timedelta(0) else None


def claim(push: Push, now: datetime) -> Push:
    """Take a push for an attempt."""
    return replace(push, state=PushState.sending, attempts=push.attempts + 1, changed_at=now)


def after(push: Push, reply: Reply, now: datetime, random: Random) -> Push:
    """Decide what follows an attempt: done, another one after a wait with full jitter, or given up after 72 h."""
    done = replace(push, last_outcome=reply.outcome.value, changed_at=now)
    if reply.outcome is Outcome.delivered:
        return replace(done, state=PushState.delivered)
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(push.attempts - 1, 20))
    wait = timedelta(seconds=random.uniform(0, longest))
    at = now + (wait if reply.pause is None else reply.pause + wait)
    if at >= push.until:
        return replace(done, state=PushState.given_up)
    return replace(done, state=PushState.waiting, not_before=at)


def forget_attempt(push: Push, now: datetime) -> Push:
    """Have a push attempted again whose sender died: the receiver knows it by its id if it has it already."""
    return replace(push, state=PushState.waiting, last_outcome=Outcome.unknown.value, changed_at=now, not_before=now)


def release(push: Push, now: datetime) -> Push:
    """Have a push tried again by somebody's hand, with the full time for attempts."""
    return replace(push, state=PushState.waiting, not_before=now, until=now + LONGEST, changed_at=now)
