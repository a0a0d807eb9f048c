"""Foreign streams: how far each is taken, what was refused of it, and where it stood at which moment."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.kit.database import insert, upsert
from shared.kit.streams import START, Position
from shared.network.entries import SignedEntry
from shared.network.link.fence import Fenced
from shared.network.link.rows import Down, Waiting, before_of, behind_of
from shared.network.refusal import Refusal
from shared.network.tables import down, mark, quarantine

LARGEST = 2**63 - 1


class TakenStore(Fenced):
    """Cursors of foreign streams, their quarantine, and the marks by which they are trimmed."""

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
                sa.update(quarantine).where(waits & ~behind_of(quarantine, to.position)).values(state="taken")
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

    async def nothing_waits(self, stream: str) -> None:
        """Note that what a stream waited for is not on the hub any more."""
        waits = (quarantine.c.stream == stream) & (quarantine.c.state == "waiting")
        async with self._leading() as connection:
            await connection.execute(sa.update(quarantine).where(waits).values(state="gone"))

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

    async def mark_taken(self, stream: str, taken: Position, now: datetime) -> None:
        """Note since when an own box is taken up to a position; a receiver that goes back changes nothing."""
        at = {"stream": stream, "at": now, "epoch": taken.epoch, "seq": taken.seq}
        reached = (mark.c.stream == stream) & ~before_of(mark, taken)
        async with self._leading() as connection:
            known = (await connection.execute(sa.select(mark.c.at).where(reached).limit(1))).first()
            if taken != START and known is None:
                await connection.execute(insert(connection, mark).values(at).on_conflict_do_nothing())

    async def passed_before(self, stream: str, before: datetime) -> Position | None:
        """Give where a foreign stream stood at a moment, by the last mark before it; older marks are dropped."""
        old = (mark.c.stream == stream) & (mark.c.at < before)
        async with self._leading() as connection:
            last = (await connection.execute(sa.select(mark).where(old).order_by(mark.c.at.desc()).limit(1))).first()
            if last is None:
                return None
            await connection.execute(sa.delete(mark).where(old & (mark.c.at < last.at)))
        return Position(last.epoch, last.seq)


def _plain(text: str) -> str:
    """Give a text that every database takes: what is refused was written by anybody."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _down(row: sa.Row[Any]) -> Down:
    return Down(Position(row.epoch, row.seq), row.hash, Position(row.local_epoch, row.local_seq), row.local_hash)
