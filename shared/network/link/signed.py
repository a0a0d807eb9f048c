"""Own entries as they were signed: kept before they are sent, and as long as the hub may have to be filled again."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.database import insert, upsert
from shared.kit.streams import Position
from shared.network.entries import SignedEntry
from shared.network.link.fence import Fenced
from shared.network.link.rows import (
    PAGE,
    Sent,
    Up,
    before_of,
    behind_of,
    bounded,
    is_outdone,
    row_of,
    sent_of,
)
from shared.network.tables import signed, up

# Asked of every stream again and again: to build these took longer than to run them.
_STREAM: sa.BindParameter[str] = sa.bindparam("of_stream")
_RANK = sa.func.row_number().over(partition_by=signed.c.subject, order_by=(signed.c.epoch.desc(), signed.c.seq.desc()))
_RANKED = (
    sa.select(signed, _RANK.label("rank")).where(signed.c.stream == _STREAM, signed.c.subject.is_not(None)).subquery()
)
_NEWEST = sa.select(_RANKED.c.subject, _RANKED.c.epoch, _RANKED.c.seq, _RANKED.c.hash).where(_RANKED.c.rank == 1)
_NEWEST_AMONG = _NEWEST.where(_RANKED.c.subject.in_(sa.bindparam("among", expanding=True)))
_NEWEST_AFTER = (
    sa.select(_RANKED)
    .where(_RANKED.c.rank == 1, _RANKED.c.subject > sa.bindparam("subject"))
    .order_by(_RANKED.c.subject)
    .limit(sa.bindparam("count"))
)
_UPS = sa.select(up)
_UP = _UPS.where(up.c.stream == _STREAM)
_OLD = (
    sa.select(signed.c.epoch, signed.c.seq)
    .where(signed.c.stream == _STREAM, signed.c.at < sa.bindparam("before"))
    .order_by(signed.c.epoch.desc(), signed.c.seq.desc())
    .limit(1)
)


class SignedStore(Fenced):
    """The log of what this node signed, and how far each own stream is."""

    async def ups(self) -> dict[str, Up]:
        """Give how far every own stream is signed."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_UPS)).all()
        return {
            row.stream: Up(
                Position(row.epoch, row.seq), row.hash, row.local_hash, Position(row.floor_epoch, row.floor_seq)
            )
            for row in rows
        }

    async def keep_signed(self, stream: str, sent: Iterable[Sent], to: Up, now: datetime) -> None:
        """Keep entries before they are sent, and how far the stream is signed with them; a repeat changes nothing."""
        async with self._leading() as connection:
            await _put_signed(connection, stream, sent, now)
            await _put_up(connection, stream, to)

    async def keep_signed_pages(
        self, stream: str, pages: AsyncIterator[list[Sent]], reached: Callable[[Sent | None], Up], now: datetime
    ) -> Up:
        """Keep entries page by page in one transaction; `reached` says of the last how far the stream is signed."""
        last: Sent | None = None
        async with self._leading() as connection:
            async for page in pages:
                await _put_signed(connection, stream, page, now)
                last = page[-1] if page else last
            to = reached(last)
            await _put_up(connection, stream, to)
        return to

    async def forget_signed(self, stream: str, behind: Position, to: Up) -> None:
        """Forget what was signed behind a position: the hub has another history, and it counts."""
        async with self._leading() as connection:
            await connection.execute(sa.delete(signed).where((signed.c.stream == stream) & behind_of(signed, behind)))
            await _put_up(connection, stream, to)

    async def sent_after(self, stream: str, after: Position, count: int = PAGE) -> list[Sent]:
        """Give up to `count` of our entries behind a position, and no more than about 1 MiB."""
        chosen = (signed.c.stream == stream) & behind_of(signed, after)
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(signed).where(chosen).order_by(signed.c.epoch, signed.c.seq).limit(count)
            )
            return bounded(found)

    async def sent_at(self, stream: str, position: Position) -> Sent | None:
        """Give our entry at a position; None where it is trimmed or never was."""
        chosen = (signed.c.stream == stream) & (signed.c.epoch == position.epoch) & (signed.c.seq == position.seq)
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(signed).where(chosen))).first()
        return None if row is None else sent_of(row)

    async def last_sent(self, stream: str, to: Position) -> Sent | None:
        """Give our last entry up to and with a position whose hash inside the node is known."""
        chosen = (signed.c.stream == stream) & ~behind_of(signed, to) & signed.c.local_hash.is_not(None)
        newest = sa.select(signed).where(chosen).order_by(signed.c.epoch.desc(), signed.c.seq.desc()).limit(1)
        async with self._database.reading() as connection:
            row = (await connection.execute(newest)).first()
        return None if row is None else sent_of(row)

    async def newest_hashes(self, stream: str, among: set[str] | None = None) -> dict[str, tuple[Position, bytes]]:
        """Give position and hash of the newest of our entries of every key, or of some."""
        newest = _NEWEST if among is None else _NEWEST_AMONG
        wanted = {"of_stream": stream} if among is None else {"of_stream": stream, "among": sorted(among)}
        async with self._database.reading() as connection:
            found = await connection.execute(newest, wanted)
            return {row.subject: (Position(row.epoch, row.seq), row.hash) for row in found}

    async def newest_after(self, stream: str, subject: str, count: int = PAGE) -> dict[str, SignedEntry]:
        """Give the newest of our entries of up to `count` keys behind a key, and no more than about 1 MiB."""
        async with self._database.reading() as connection:
            found = await connection.execute(_NEWEST_AFTER, {"of_stream": stream, "subject": subject, "count": count})
            return {str(one.subject): one.entry for one in bounded(found)}

    async def trim_signed(self, stream: str, before: datetime) -> Position | None:
        """Drop what was signed before a moment except the newest of each key; give where the rest begins."""
        async with self._leading() as connection:
            last = (await connection.execute(_OLD, {"of_stream": stream, "before": before})).first()
            head = (await connection.execute(_UP, {"of_stream": stream})).first()
            if last is None or head is None:
                return None
            # The end stays, so that a hub that was wiped gets its end back.
            below = min(Position(last.epoch, last.seq + 1), Position(head.epoch, head.seq))
            gone = (signed.c.stream == stream) & before_of(signed, below)
            await connection.execute(sa.delete(signed).where(gone & is_outdone()))
            return await _raise_floor(connection, stream, below)

    async def trim_taken(self, stream: str, to: Position | None, before: datetime) -> tuple[Position | None, int]:
        """Drop what a box holds up to a position, and what was signed before a moment.

        Give where the rest begins, and how many entries went that were not up to the position.
        """
        old = signed.c.at < before
        chosen = old if to is None else old | ~behind_of(signed, to)
        async with self._leading() as connection:
            last = (
                await connection.execute(
                    sa.select(signed.c.epoch, signed.c.seq)
                    .where((signed.c.stream == stream) & chosen)
                    .order_by(signed.c.epoch.desc(), signed.c.seq.desc())
                    .limit(1)
                )
            ).first()
            if last is None:
                return None, 0
            below = Position(last.epoch, last.seq + 1)
            gone = (signed.c.stream == stream) & before_of(signed, below)
            untaken = gone if to is None else gone & behind_of(signed, to)
            counted = await connection.execute(sa.select(sa.func.count()).select_from(signed).where(untaken))
            await connection.execute(sa.delete(signed).where(gone))
            await _raise_floor(connection, stream, below)
        return below, counted.scalar_one()

    async def forget_sealed(self, stream: str, positions: Iterable[Position]) -> None:
        """Drop the kept bytes of entries, so that no refill brings them back to the hub."""
        async with self._leading() as connection:
            for one in positions:
                at = (signed.c.stream == stream) & (signed.c.epoch == one.epoch) & (signed.c.seq == one.seq)
                await connection.execute(sa.delete(signed).where(at))


async def _put_signed(connection: AsyncConnection, stream: str, sent: Iterable[Sent], now: datetime) -> None:
    rows = [row_of(stream, one, now) for one in sent]
    if rows:
        await connection.execute(insert(connection, signed).on_conflict_do_nothing(), rows)


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


async def _raise_floor(connection: AsyncConnection, stream: str, below: Position) -> Position:
    head = (await connection.execute(_UP, {"of_stream": stream})).one()
    floor = max(below, Position(head.floor_epoch, head.floor_seq))
    values = {"floor_epoch": floor.epoch, "floor_seq": floor.seq}
    await connection.execute(sa.update(up).where(up.c.stream == stream).values(values))
    return floor
