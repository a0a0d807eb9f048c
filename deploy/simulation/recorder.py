"""A part of a service that writes down what it hears, in the same transaction as the real handlers' effects."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from shared.contract.catalogue import CATALOGUE
from shared.contract.envelope import service_of
from shared.contract.words import Audience
from shared.kit.hears import Heard, Hears, Route
from shared.kit.work import Work

metadata = sa.MetaData()

heard = sa.Table(
    "simulation_heard",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)

KILLS = "This title ends the process"
FAILS = "This title is refused until somebody mends the release"


class NotMendedError(Exception):
    """A release cannot use a message that the next one can."""


def recorder(service: str, kill: Callable[[], None], mended: Callable[[], bool]) -> Hears:
    """Give the table of a service's messages; two titles end the process or fail, as handlers with a fault do."""

    async def record(messages: Sequence[Heard], work: Work[Any]) -> None:
        for one in messages:
            _stumble(one, kill, mended)
        await work.connection.execute(sa.insert(heard), [_row(one) for one in messages])

    route = Route(record, whole=True, every=True)
    spoken = {word: kind for word, kind in CATALOGUE.items() if service_of(kind) == service}
    audiences = (Audience.NETWORK, Audience.INSTITUTION)
    routes = {word: route for word, kind in spoken.items() if kind.audience in audiences}
    return Hears(routes, {(audience, service) for audience in audiences})


def _stumble(one: Heard, kill: Callable[[], None], mended: Callable[[], bool]) -> None:
    title = getattr(getattr(one.message, "picture", None), "title", None)
    if title == KILLS:
        kill()
    if title == FAILS and not mended():
        raise NotMendedError("this release does not know what to do with it")


def _row(one: Heard) -> dict[str, Any]:
    return {
        "stream": one.stream,
        "epoch": one.entry.position.epoch,
        "seq": one.entry.position.seq,
        "key": one.message.key,
        "version": one.message.version,
    }
