"""The link's own tables, the only SQL between nodes; what only the leading link may write is fenced by its lease."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import Database, insert, upsert
from shared.kit.errors import Transient
from shared.kit.streams import GENESIS, START, Position
from shared.network.entries import SignedEntry
from shared.network.held import Held
from shared.network.refusal import Refusal
from shared.network.roster import RootKey, Roots
from shared.network.roster_document import parse_roster
from shared.network.tables import down, mark, quarantine, removal, roster, signed, up

PAGE = 500
PAGE_BYTES = 1024 * 1024
LARGEST = 2**63 - 1


class NotLeading(Transient):
    """Another copy of the link leads now; this one waits."""


class Fence(Protocol):
    """What tells, inside a transaction, that no other copy writes: `shared.kit.lease.Lease`."""

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Tell whether the lease is still held."""
        ...


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


class LinkStore:
    """What the link keeps in the database of members."""

    def __init__(self, database: Database, fence: Fence) -> None:
        self._database = database
        self._fence = fence

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.transaction() as connection:
            if not await self._fence.confirm(connection):
                raise NotLeading("another copy of the link leads")
            yield connection

    async def held(self) -> Held | None:
        """Give the roster that is held; None before the roots are pinned."""
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(roster).where(roster.c.id == 1))).first()
        if row is None:
            return None
        keys = tuple(RootKey(bytes.fromhex(key)) for key in row.roots["keys"])
        found = parse_roster(row.document) if row.document else None
        return Held(Roots(row.roots["threshold"], keys), found, row.document, row.signatures)

    async def keep_held(self, held: Held) -> bool:
        """Keep a roster, or roots before the first; False where a higher version is kept already."""
        row = {
            "id": 1,
            "version": held.version,
            "roots": {"threshold": held.roots.threshold, "keys": [key.ed25519.hex() for key in held.roots.keys]},
            "document": held.document,
            "signatures": held.signatures,
        }
        async with self._database.transaction() as connection:
            await upsert(connection, roster, [row])
            kept = await connection.execute(sa.select(roster.c.document).where(roster.c.id == 1))
        return bool(kept.scalar_one() == held.document)

    async def ups(self) -> dict[str, Up]:
        """Give how far every own stream is signed."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(up))).all()
        return {
            row.stream: Up(
                Position(row.epoch, row.seq), row.hash, row.local_hash, Position(row.floor_epoch, row.floor_seq)
            )
            for row in rows
        }

    async def keep_signed(self, stream: str, sent: Iterable[Sent], to: Up, now: datetime) -> None:
        """Keep entries before they are sent, and how far the stream is signed with them; a repeat changes nothing."""
        rows = [_row(stream, one, now) for one in sent]
        async with self._leading() as connection:
            if rows:
                await connection.execute(insert(connection, signed).on_conflict_do_nothing(), rows)
            await _put_up(connection, stream, to)

    async def forget_signed(self, stream: str, behind: Position, to: Up) -> None:
        """Forget what was signed behind a position: the hub has another history, and it counts."""
        async with self._leading() as connection:
            await connection.execute(sa.delete(signed).where((signed.c.stream == stream) & _behind(signed, behind)))
            await _put_up(connection, stream, to)

    async def sent_after(self, stream: str, after: Position, count: int = PAGE) -> list[Sent]:
        """Give up to `count` of our entries behind a position, and no more than about 1 MiB."""
        chosen = (signed.c.stream == stream) & _behind(signed, after)
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(signed).where(chosen).order_by(signed.c.epoch, signed.c.seq).limit(count)
            )
            return _bounded(found)

    async def sent_at(self, stream: str, position: Position) -> Sent | None:
        """Give our entry at a position; None where it is trimmed or never was."""
        chosen = (signed.c.stream == stream) & (signed.c.epoch == position.epoch) & (signed.c.seq == position.seq)
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(signed).where(chosen))).first()
        return None if row is None else _sent(row)

    async def last_sent(self, stream: str, to: Position) -> Sent | None:
        """Give our last entry up to and with a position whose hash inside the node is known."""
        chosen = (signed.c.stream == stream) & ~_behind(signed, to) & signed.c.local_hash.is_not(None)
        newest = sa.select(signed).where(chosen).order_by(signed.c.epoch.desc(), signed.c.seq.desc()).limit(1)
        async with self._database.reading() as connection:
            row = (await connection.execute(newest)).first()
        return None if row is None else _sent(row)

    async def newest_hashes(self, stream: str) -> dict[str, tuple[Position, bytes]]:
        """Give position and hash of the newest of our entries of every key."""
        newest = _newest(stream)
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(newest.c.subject, newest.c.epoch, newest.c.seq, newest.c.hash).where(newest.c.rank == 1)
            )
            return {row.subject: (Position(row.epoch, row.seq), row.hash) for row in found}

    async def newest_after(self, stream: str, subject: str, count: int = PAGE) -> dict[str, SignedEntry]:
        """Give the newest of our entries of up to `count` keys behind a key, and no more than about 1 MiB."""
        newest = _newest(stream)
        page = sa.select(newest).where(newest.c.rank == 1, newest.c.subject > subject)
        async with self._database.reading() as connection:
            found = await connection.execute(page.order_by(newest.c.subject).limit(count))
            return {str(one.subject): one.entry for one in _bounded(found)}

    async def trim_signed(self, stream: str, before: datetime, *, keep_newest: bool) -> Position | None:
        """Drop what was signed before a moment, if wanted except the newest of each key; give where the rest begins."""
        old = (signed.c.stream == stream) & (signed.c.at < before)
        async with self._leading() as connection:
            last = (
                await connection.execute(
                    sa.select(signed.c.epoch, signed.c.seq)
                    .where(old)
                    .order_by(signed.c.epoch.desc(), signed.c.seq.desc())
                    .limit(1)
                )
            ).first()
            head = (await connection.execute(sa.select(up).where(up.c.stream == stream))).first()
            if last is None or head is None:
                return None
            below = Position(last.epoch, last.seq + 1)
            # The end of a public stream stays, so that a hub that was wiped gets its end back.
            below = min(below, Position(head.epoch, head.seq)) if keep_newest else below
            gone = (signed.c.stream == stream) & _before(signed, below)
            await connection.execute(sa.delete(signed).where(gone & _is_outdone() if keep_newest else gone))
            floor = max(below, Position(head.floor_epoch, head.floor_seq))
            await connection.execute(
                sa.update(up).where(up.c.stream == stream).values(floor_epoch=floor.epoch, floor_seq=floor.seq)
            )
        return floor

    async def downs(self) -> dict[str, Down]:
        """Give how far every foreign stream is taken."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(down))).all()
        return {row.stream: _down(row) for row in rows}

    async def keep_down(self, stream: str, to: Down) -> None:
        """Keep how far a foreign stream is taken; what waited before there waits no more."""
        row = {
            "stream": stream,
            "epoch": to.position.epoch,
            "seq": to.position.seq,
            "hash": to.hash,
            "local_epoch": to.local.epoch,
            "local_seq": to.local.seq,
            "local_hash": to.local_hash,
        }
        async with self._leading() as connection:
            await upsert(connection, down, [row], newer=None)
            waits = (quarantine.c.stream == stream) & (quarantine.c.state == "waiting")
            await connection.execute(
                sa.update(quarantine).where(waits & ~_behind(quarantine, to.position)).values(state="taken")
            )

    async def put_aside(self, stream: str, entry: SignedEntry, why: Refusal, now: datetime, *, waits: bool) -> None:
        """Keep a refused entry with its reason; `waits` is False where its stream goes on without it."""
        row = {
            "stream": stream,
            "epoch": min(entry.position.epoch, LARGEST),
            "seq": min(entry.position.seq, LARGEST),
            "code": why.code,
            "reason": _plain(why.reason[:1000]),
            "state": "waiting" if waits else "passed",
            "kid": _plain(entry.kid[:64]),
            "previous": entry.previous[:64],
            "signature": entry.signature[:128],
            "payload": entry.payload[: 66 * 1024],
            "attempts": 1,
            "since": now,
            "last": now,
        }
        async with self._leading() as connection:
            statement = insert(connection, quarantine).values(row)
            again: dict[str, Any] = {
                name: statement.excluded[name] for name in row if name not in {"attempts", "since"}
            }
            again["attempts"] = quarantine.c.attempts + 1
            keys = ["stream", "epoch", "seq"]
            await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=again))

    async def waiting(self) -> dict[str, Waiting]:
        """Give the entry behind which each waiting stream waits."""
        chosen = sa.select(quarantine).where(quarantine.c.state == "waiting")
        async with self._database.reading() as connection:
            rows = (await connection.execute(chosen.order_by(quarantine.c.epoch, quarantine.c.seq))).all()
        return {
            row.stream: Waiting(row.stream, Position(row.epoch, row.seq), row.code, row.reason, row.since, row.attempts)
            for row in reversed(rows)
        }

    async def forget_quarantine(self, before: datetime) -> None:
        """Drop refused entries on which nothing waits and that are older than a moment."""
        old = (quarantine.c.state != "waiting") & (quarantine.c.last < before)
        async with self._leading() as connection:
            await connection.execute(sa.delete(quarantine).where(old))

    async def mark_downs(self, now: datetime) -> None:
        """Note where every foreign stream stands."""
        async with self._leading() as connection:
            moment = sa.literal(now, mark.c.at.type)
            chosen = sa.select(down.c.stream, moment, down.c.epoch, down.c.seq).where(down.c.seq > 0)
            statement = insert(connection, mark).from_select(["stream", "at", "epoch", "seq"], chosen)
            await connection.execute(statement.on_conflict_do_nothing())

    async def passed_before(self, stream: str, before: datetime) -> Position | None:
        """Give where a foreign stream stood at a moment, by the last mark before it; older marks are dropped."""
        old = (mark.c.stream == stream) & (mark.c.at < before)
        async with self._leading() as connection:
            last = (await connection.execute(sa.select(mark).where(old).order_by(mark.c.at.desc()).limit(1))).first()
            if last is None:
                return None
            await connection.execute(sa.delete(mark).where(old & (mark.c.at < last.at)))
        return Position(last.epoch, last.seq)

    async def ask_removal(self, stream: str, positions: Iterable[Position], now: datetime) -> None:
        """Note that entries of an own box are to be erased; asking twice is harmless, and any copy may be asked."""
        rows = [{"stream": stream, "epoch": one.epoch, "seq": one.seq, "asked_at": now} for one in positions]
        async with self._database.transaction() as connection:
            if rows:
                await connection.execute(insert(connection, removal).on_conflict_do_nothing(), rows)

    async def removals(self, stream: str | None = None, count: int = PAGE) -> Mapping[str, list[Position]]:
        """Give what is still to be erased."""
        chosen = sa.select(removal).where(removal.c.done_at.is_(None)).limit(count)
        if stream is not None:
            chosen = chosen.where(removal.c.stream == stream)
        asked: dict[str, list[Position]] = {}
        async with self._database.reading() as connection:
            for row in await connection.execute(chosen):
                asked.setdefault(row.stream, []).append(Position(row.epoch, row.seq))
        return asked

    async def forget_sealed(self, stream: str, positions: Iterable[Position]) -> None:
        """Drop the kept bytes of entries, so that no refill brings them back to the hub."""
        async with self._leading() as connection:
            for one in positions:
                at = (signed.c.stream == stream) & (signed.c.epoch == one.epoch) & (signed.c.seq == one.seq)
                await connection.execute(sa.delete(signed).where(at))

    async def removed(self, stream: str, positions: Iterable[Position], now: datetime) -> None:
        """Note that entries are erased on the hub, too."""
        async with self._leading() as connection:
            for one in positions:
                at = (removal.c.stream == stream) & (removal.c.epoch == one.epoch) & (removal.c.seq == one.seq)
                await connection.execute(sa.update(removal).where(at).values(done_at=now))


def _behind(table: sa.Table, position: Position) -> sa.ColumnElement[bool]:
    return sa.tuple_(table.c.epoch, table.c.seq) > _place(position)


def _before(table: sa.Table, position: Position) -> sa.ColumnElement[bool]:
    return sa.tuple_(table.c.epoch, table.c.seq) < _place(position)


def _place(position: Position) -> sa.Tuple:
    return sa.tuple_(sa.literal(position.epoch, sa.BigInteger), sa.literal(position.seq, sa.BigInteger))


def _plain(text: str) -> str:
    """Give a text that every database takes: what is refused was written by anybody."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _is_outdone() -> sa.ColumnElement[bool]:
    """Tell of a row whether a newer one of the same key is kept."""
    other = signed.alias()
    return sa.exists().where(
        other.c.stream == signed.c.stream,
        other.c.subject == signed.c.subject,
        sa.tuple_(other.c.epoch, other.c.seq) > sa.tuple_(signed.c.epoch, signed.c.seq),
    )


def _newest(stream: str) -> sa.Subquery:
    order = (signed.c.epoch.desc(), signed.c.seq.desc())
    rank = sa.func.row_number().over(partition_by=signed.c.subject, order_by=order)
    chosen = (signed.c.stream == stream) & signed.c.subject.is_not(None)
    return sa.select(signed, rank.label("rank")).where(chosen).subquery()


def _bounded(found: Iterable[sa.Row[Any]]) -> list[Sent]:
    page: list[Sent] = []
    size = 0
    for row in found:
        size += len(row.payload)
        if page and size > PAGE_BYTES:
            break
        page.append(_sent(row))
    return page


def _sent(row: sa.Row[Any]) -> Sent:
    entry = SignedEntry(Position(row.epoch, row.seq), row.payload, row.kid, row.previous, row.signature)
    return Sent(entry, row.subject, row.hash, row.local_hash)


def _row(stream: str, one: Sent, now: datetime) -> dict[str, Any]:
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


async def _put_up(connection: AsyncConnection, stream: str, to: Up) -> None:
    row = {
        "stream": stream,
        "epoch": to.position.epoch,
        "seq": to.position.seq,
        "hash": to.hash,
        "local_hash": to.local_hash,
        "floor_epoch": to.floor.epoch,
        "floor_seq": to.floor.seq,
    }
    await upsert(connection, up, [row], newer=None)


def _down(row: sa.Row[Any]) -> Down:
    return Down(Position(row.epoch, row.seq), row.hash, Position(row.local_epoch, row.local_seq), row.local_hash)


NOTHING_TAKEN = Down(START, GENESIS, START, GENESIS)
NOTHING_SENT = Up(START, GENESIS, GENESIS, Position(1, 1))
