"""What partner systems publish of their own institution: each message is accepted, repeated, or refused with a reason.

The one way in for `POST /messages` and for the stream `album:1:in:{<institution>}`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.catalogue import find
from shared.contract.envelope import Message, MessageRefused, service_of, type_of
from shared.kit.bodies import holds_nul
from shared.kit.clock import monotonic
from shared.kit.cloudevents import Event, Unreadable
from shared.kit.database import upsert
from shared.kit.errors import Problem, is_too_far
from shared.kit.fairness import Breath
from shared.kit.tables import partner_message, partner_thing
from shared.kit.work import Work

log = structlog.get_logger()
KEPT = timedelta(days=30)
TURN_SECONDS = 0.05


class Answer(BaseModel):
    """What became of one message; `code` is stable, `reason` is for the person who can act."""

    id: str | None
    source: str | None
    status: Literal["accepted", "repeated", "refused"]
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Takes:
    """What a service takes from outside: the states in which a message of each type may show its thing.

    `known` gives the version that is known of a message's thing, 0 for none; it raises a Problem where the thing is
    not the institution's own, or is managed here.
    """

    states: Mapping[type[Message], frozenset[str]]
    known: Callable[[Any, Work[Any]], Awaitable[int]]


async def take(
    events: Sequence[Event | Unreadable], institution: str, service: str, takes: Takes | None, work: Work[Any]
) -> list[Answer]:
    """Take what a partner system of an institution sends, in order; give the answer to each that was taken.

    It ends early, after at least one, when the transaction has lasted long enough: others want to write, too. The
    rest is for the next transaction.
    """
    await _one_at_a_time(institution, work)
    answers: list[Answer] = []
    until, breath = monotonic() + TURN_SECONDS, Breath()
    for event in events:
        answers.append(await _answer(event, institution, service, takes, work))
        if monotonic() >= until:
            break
        await breath.take()
    for one in answers:
        log.info("partner_message", institution=institution, status=one.status, code=one.code)
    return answers


async def _one_at_a_time(institution: str, work: Work[Any]) -> None:
    """Let one batch of an institution go after the other: two at once could both be the first to bring a message."""
    if work.connection.dialect.name == "postgresql":
        word = sha256(f"partner\n{institution}".encode()).digest()[:8]
        lock = sa.func.pg_advisory_xact_lock(int.from_bytes(word, "big", signed=True))
        await work.connection.execute(sa.select(lock))


async def _answer(
    event: Event | Unreadable, institution: str, service: str, takes: Takes | None, work: Work[Any]
) -> Answer:
    if isinstance(event, Unreadable):
        return Answer(id=event.id, source=event.source, status="refused", code=event.code, reason=event.reason)
    mark = work.mark()
    try:
        async with work.connection.begin_nested():
            fresh = await _remember(event, institution, work)
            if fresh:
                await _tell(_message(event, institution, service, takes), takes, work)
    except (MessageRefused, Problem) as error:
        work.take_back(mark)
        return Answer(id=event.id, source=event.source, status="refused", code=error.code, reason=str(error))
    return Answer(id=event.id, source=event.source, status="accepted" if fresh else "repeated")


async def _remember(event: Event, institution: str, work: Work[Any]) -> bool:
    """Remember that an event came; False where it came before, which is what source and id are for."""
    t = partner_message
    this = (t.c.institution == institution) & (t.c.source == event.source) & (t.c.id == event.id)
    before = (await work.connection.execute(sa.select(t.c.sha256).where(this))).scalar_one_or_none()
    if before is None:
        row = {"institution": institution, "source": event.source, "id": event.id, "sha256": event.sha256}
        await work.connection.execute(sa.insert(t).values(**row, at=work.now))
        return True
    if before != event.sha256:
        raise MessageRefused("id_reused", "another event came with this source and id; each event needs its own id")
    return False


def _message(event: Event, institution: str, service: str, takes: Takes | None) -> Message:
    kind = find(event.type)
    if kind is None:
        raise MessageRefused("unknown_type", f"nobody here knows '{event.type[:100]}'")
    if service_of(kind) != service:
        raise MessageRefused("wrong_service", f"'{event.type}' is for the service {service_of(kind)}")
    if takes is None or kind not in takes.states:
        raise MessageRefused("not_taken", f"'{event.type}' is not taken from outside")
    message = _opened(kind, event)
    if message.institution != institution:
        raise MessageRefused("other_institution", f"'{institution}' may not speak for '{message.institution}'")
    if event.subject is not None and event.subject != message.key:
        raise MessageRefused("wrong_key", f"the subject does not name the data's '{message.key}'")
    state = str(message.picture.state.value)  # type: ignore[attr-defined] # what is taken carries the whole state
    if state not in takes.states[kind]:
        raise MessageRefused("wrong_state", f"a message of this type cannot show the state '{state}'")
    return message


def _opened(kind: type[Message], event: Event) -> Message:
    if not isinstance(event.data, dict):
        raise MessageRefused("invalid", "data: is a JSON object")
    try:
        message = kind.model_validate({**event.data, "type": type_of(kind)})
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        where = ".".join(str(part) for part in faults[0]["loc"])
        code = "too_far" if all(map(is_too_far, faults)) else "invalid"
        raise MessageRefused(code, f"data.{where}: {faults[0]['msg']}") from error
    if holds_nul(message.model_dump(mode="json")):
        raise MessageRefused("invalid", "data: a text holds the sign NUL, which no database keeps")
    return message


async def _tell(message: Message, takes: Takes | None, work: Work[Any]) -> None:
    assert takes is not None  # noqa: S101 - _message has refused what is not taken
    t = partner_thing
    this = (t.c.institution == message.institution) & (t.c.key == message.key)
    told = (await work.connection.execute(sa.select(t.c.version).where(this))).scalar_one_or_none()
    # The copy of the network is late by a moment, and gone after a rebuild: what was taken here counts, too.
    known = max(told or 0, await takes.known(message, work))
    if message.version <= known:
        raise MessageRefused("stale_version", f"version {known} is known; a newer state has a higher version")
    row = {"institution": message.institution, "key": message.key, "version": message.version, "at": work.now}
    await upsert(work.connection, t, [row])
    work.tell(message)


async def take_back(messages: Sequence[Message], takes: Takes | None, work: Work[Any]) -> list[Message]:
    """After a backup was restored: note what partner systems had told; give the messages of things managed here.

    Of a thing that the backup does not know nobody can say who manages it: where partner systems tell for the
    institution it is theirs, for they would be refused if it became ours.
    """
    t = partner_thing
    found = await work.connection.execute(sa.select(t.c.institution).distinct())
    partnered = set(found.scalars())
    managed: list[Message] = []
    told: list[Message] = []
    for one in messages:
        theirs = one.institution in partnered and takes is not None and await _is_theirs(one, takes, work)
        (told if theirs else managed).append(one)
    rows = [{"institution": m.institution, "key": m.key, "version": m.version, "at": work.now} for m in told]
    await upsert(work.connection, t, rows)
    return managed


async def is_managed_here(institution: str, key: str, work: Work[Any]) -> int:
    """Note that a thing is no partner system's after all; give the version in which it was taken for theirs, or 0."""
    t = partner_thing
    this = (t.c.institution == institution) & (t.c.key == key)
    version = (await work.connection.execute(sa.delete(t).where(this).returning(t.c.version))).scalar_one_or_none()
    return version or 0


async def _is_theirs(message: Message, takes: Takes, work: Work[Any]) -> bool:
    if type(message) not in takes.states:
        return False
    try:
        await takes.known(message, work)
    except Problem:
        return False
    return True


async def forget_old(connection: AsyncConnection, now: datetime) -> None:
    """Forget which events came more than 30 days ago; the versions of things stay."""
    await connection.execute(sa.delete(partner_message).where(partner_message.c.at < now - KEPT))
