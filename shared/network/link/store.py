"""The link's own tables, the only SQL between nodes; what only the leading link may write is fenced by its lease."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa

from shared.kit.database import insert, upsert
from shared.kit.streams import Position
from shared.network.held import Held
from shared.network.link.rows import PAGE
from shared.network.link.signed import SignedStore
from shared.network.link.taken import TakenStore
from shared.network.roster import RootKey, Roots
from shared.network.roster_document import parse_roster
from shared.network.tables import removal, roster


class LinkStore(SignedStore, TakenStore):
    """What the link keeps in the database of members."""

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

    async def removed(self, stream: str, positions: Iterable[Position], now: datetime) -> None:
        """Note that entries are erased on the hub, too."""
        async with self._leading() as connection:
            for one in positions:
                at = (removal.c.stream == stream) & (removal.c.epoch == one.epoch) & (removal.c.seq == one.seq)
                await connection.execute(sa.update(removal).where(at).values(done_at=now))
