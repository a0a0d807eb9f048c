"""The judgement of a hub's access rules: the server is asked for all users x keys x commands, and compared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from redis.asyncio import Redis

from shared.network.hub.access import Access
from shared.network.hub.policy import GRANTED, KEY, ON_A_KEY, WITHOUT_A_KEY, closed_users, keys_of, may, users_of

_PAGE = 2_000
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Question:
    """May this user do this? `expected` is what the policy says."""

    user: str
    command: str
    key: str | None
    words: tuple[str, ...]
    expected: bool


@dataclass
class Judgement:
    """How many questions were asked, and where the server answers otherwise than the policy; the first ones named."""

    checks: int = 0
    wrong: int = 0
    violations: list[str] = field(default_factory=list)


def questions(access: Access) -> Iterator[Question]:
    """Ask everything about everybody, in both directions: what must be refused, and what must be allowed."""
    keys = list(keys_of(access))
    for user in users_of(access):
        for command, words in WITHOUT_A_KEY.items():
            yield Question(user, command, None, words, may(access, user, command, None))
        for command, words in ON_A_KEY.items():
            for key in keys if command in GRANTED else _near(user, keys):
                filled = tuple(key if word == KEY else word for word in words)
                yield Question(user, command, key, filled, may(access, user, command, key))
        yield from _of_two_streams(access, user, keys)


def _near(user: str, keys: list[str]) -> list[str]:
    """Give the keys on which nobody's commands are tried: a user's own ones and those that belong to nobody."""
    slug = user.removeprefix("join-")
    return [key for key in keys if f"{{{slug}}}" in key or "{" not in key]


def _of_two_streams(access: Access, user: str, keys: list[str]) -> Iterator[Question]:
    readable = next((key for key in keys if may(access, user, "XREAD", key)), None)
    for key in keys if readable else []:
        if readable and not may(access, user, "XREAD", key):
            words = ("XREAD", "STREAMS", readable, key, "0", "0")
            yield Question(user, "XREAD of two streams", key, words, expected=False)


async def check(redis: Redis, access: Access) -> Judgement:
    """Ask a server whether its rules allow exactly what the policy does; nothing is done there."""
    judgement = Judgement()
    asked = questions(access)
    while page := list(islice(asked, _PAGE)):
        async with redis.pipeline(transaction=False) as pipeline:
            for question in page:
                pipeline.execute_command("ACL", "DRYRUN", question.user, *question.words)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for question, answer in zip(page, answers, strict=True):
            judgement.checks += 1
            _judge(judgement, question, answer)
    for user in closed_users(access):
        judgement.checks += 1
        if (await redis.acl_getuser(user) or {}).get("enabled", True):
            _count(judgement, f"{user}: must be closed, is open")
    return judgement


def _judge(judgement: Judgement, question: Question, answer: Any) -> None:
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    refused = "no permissions" in text.lower()
    if text != "OK" and not refused:
        said = f"cannot be judged: {text}"
    elif refused is question.expected:
        said = "must be allowed, is refused" if refused else "must be refused, is allowed"
    else:
        return
    where = f" on {question.key}" if question.key else ""
    _count(judgement, f"{question.user}: {question.command}{where} {said}")


def _count(judgement: Judgement, violation: str) -> None:
    judgement.wrong += 1
    if len(judgement.violations) < _SHOWN:
        judgement.violations.append(violation)
