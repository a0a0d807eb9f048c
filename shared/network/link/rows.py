"""The rows of the link's tables as the link works with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.kit.streams import GENESIS, START, Position
from shared.network.entries import SignedEntry
from shared.network.tables import signed

PAGE = 500
PAGE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """One of our entries as it is on the hub, with its key and the two hashes of the chains it ends."""

    entry: SignedEntry
    subject: str | None
    hash: bytes
    local_hash: bytes | None


@dataclass(frozen=True)
class Up:
    """How far an own stream is signed; `floor` is where its unbroken end begins."""

    position: Position
    hash: bytes
    local_hash: bytes | None
    floor: Position


@dataclass(frozen=True)
class Down:
    """How far a foreign stream is taken, on the hub and inside; a hash is None where the entry there is not known."""

    position: Position
    hash: bytes | None
    local: Position
    local_hash: bytes | None


@dataclass(frozen=True)
class Waiting:
    """An entry that was refused, and behind which its stream waits."""

    stream: str
    position: Position
    code: str
    reason: str
    since: datetime
    attempts: int


NOTHING_TAKEN = Down(START, GENESIS, START, GENESIS)
NOTHING_SENT = Up(START, GENESIS, GENESIS, Position(1, 1))


def behind_of(table: sa.Table, position: Position) -> sa.ColumnElement[bool]:
    """Tell of a row whether it stands behind a position."""
    return sa.tuple_(table.c.epoch, table.c.seq) > _place(position)


def before_of(table: sa.Table, position: Position) -> sa.ColumnElement[bool]:
    """Tell of a row whether it stands before a position."""
    return sa.tuple_(table.c.epoch, table.c.seq) < _place(position)


def _place(position: Position) -> sa.Tuple:
    return sa.tuple_(sa.literal(position.epoch, sa.BigInteger), sa.literal(position.seq, sa.BigInteger))


def is_outdone() -> sa.ColumnElement[bool]:
    """Tell of a row whether a newer one of the same key is kept."""
    other = signed.alias()
    return sa.exists().where(
        other.c.stream == signed.c.stream,
        other.c.subject == signed.c.subject,
        sa.tuple_(other.c.epoch, other.c.seq) > sa.tuple_(signed.c.epoch, signed.c.seq),
    )


def bounded(found: Iterable[sa.Row[Any]]) -> list[Sent]:
    """Give rows up to about 1 MiB."""
    page: list[Sent] = []
    size = 0
    for row in found:
        size += len(row.payload)
        if page and size > PAGE_BYTES:
            break
        page.append(sent_of(row))
    return page


def sent_of(row: sa.Row[Any]) -> Sent:
    """Give one of our entries as it is kept."""
    entry = SignedEntry(Position(row.epoch, row.seq), row.payload, row.kid, row.previous, row.signature)
    return Sent(entry, row.subject, row.hash, row.local_hash)


def row_of(stream: str, one: Sent, now: datetime) -> dict[str, Any]:
    """Give the row of one of our entries."""
    entry = one.entry
    return {
        "stream": stream,
        "epoch": entry.position.epoch,
        "seq": entry.position.seq,
        "subject": one.subject,
        "payload": entry.payload,
        "kid": entry.kid,
        "previous": entry.previous,
        "signature": entry.signature,
        "hash": one.hash,
        "local_hash": one.local_hash,
        "at": now,
    }
