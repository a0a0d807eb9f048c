"""What a use case leaves behind, in words that two lives have in common: tables, streams, answers, mails, pushes.

Ids and moments differ between two lives by nature, and only those that came after the preparation: they are masked.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.envelope import open_envelope
from shared.kit import outbox
from shared.kit import tables as kit
from shared.kit.node import Node
from shared.kit.streams import START, Entry

Picture = dict[str, Any]
MOST_ENTRIES = 1000
_ID = re.compile(r"\b[a-z]+_[0-9a-hjkmnp-tv-z]{26}\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
# Hashes, signatures, tokens of links.
_LONG = re.compile(r"[A-Za-z0-9_+/=.-]{40,}")
# Who works on what at the moment, and what is looked at below in other ways.
_LEFT_OUT = {"lease", "outbox", "stream_head"}
_BEATS = b":heartbeat"
_ONLY = {"cursor": ("stream", "epoch", "seq")}


@dataclass(frozen=True)
class Mask:
    """Replaces what is new and differs between two lives; `known` is what the preparation left."""

    known: Collection[str] = ()

    def __call__(self, text: str) -> str:
        """Give the text with masks."""
        text = _MOMENT.sub(lambda m: m[0] if m[0] in self.known else "<moment>", text)
        text = _ID.sub(lambda m: m[0] if m[0] in self.known else f"<{m[0].partition('_')[0]}>", text)
        return _LONG.sub(lambda m: m[0] if m[0] in self.known else "<long>", text)

    @staticmethod
    def words_of(text: str) -> set[str]:
        """Give the words that a mask would replace."""
        return {found[0] for pattern in (_MOMENT, _ID, _LONG) for found in pattern.finditer(text)}


async def picture(node: Node[Any], mask: Callable[[str], str]) -> Picture:
    """Give what a service's tables hold, and whether its streams are what its log says."""
    async with node.database.reading() as connection:
        rows = {table.name: await _rows(connection, table, mask) for table in _tables(node)}
    return {
        "tables": rows,
        "streams": {name: one async for name, one in _streams(node)},
    }


def _tables(node: Node[Any]) -> Iterator[sa.Table]:
    service = node.service
    for metadata in (service.tables, kit.metadata, *(part.tables for part in service.parts)):
        yield from (table for table in metadata.sorted_tables if table.name not in _LEFT_OUT)


async def _rows(connection: AsyncConnection, table: sa.Table, mask: Callable[[str], str]) -> list[str]:
    columns = [table.c[name] for name in _ONLY.get(table.name, table.c.keys())]
    found = [dict(row._mapping) for row in await connection.execute(sa.select(*columns))]
    return sorted(mask(_json(row)) for row in found)


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain, sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> str:
    return "<bytes>" if isinstance(value, bytes) else value.isoformat() if hasattr(value, "isoformat") else str(value)


async def _streams(node: Node[Any]) -> AsyncIterator[tuple[str, Any]]:
    """Give each stream that the service writes with what it lacks, and whatever is wrong with it."""
    async with node.database.reading() as connection:
        names = sorted(await outbox.ends_of_log(connection))
        waiting = sa.select(sa.func.count()).where(kit.outbox.c.seq.is_(None))
        unpublished = (await connection.execute(waiting)).scalar_one()
    for name in names:
        async with node.database.reading() as connection:
            log = await outbox.log_after(connection, name, START, MOST_ENTRIES)
            newest = await outbox.newest_by_key(connection, name)
        there = await node.streams.read(name, START, MOST_ENTRIES)
        faults = [*_faults(log, there), *(["something is told and not published"] if unpublished else [])]
        state = await node.streams.state(name) if ":pub:" in name else newest
        if {key: one.hash for key, one in state.items()} != {key: one.hash for key, one in newest.items()}:
            faults.append("another state than in the log")
        yield name, {"removed": [str(entry.position) for entry in log if entry not in there], "faults": faults}


def _faults(log: list[Entry], there: list[Entry]) -> list[str]:
    """Say what is wrong with a stream; what was erased may be gone from it, and which that is, is compared."""
    known = {entry.position: entry for entry in log}
    ids = [open_envelope(entry.payload).id for entry in there]
    found = []
    if [entry.position.seq for entry in log] != [*range(1, len(log) + 1)]:
        found.append("a gap in the log")
    if any(known.get(entry.position) != entry for entry in there):
        found.append("not what the log says")
    if len(set(ids)) < len(ids):
        found.append("a message twice")
    return found


def told_on(url: str, mask: Callable[[str], str]) -> dict[str, Any]:
    """Give every stream of a Redis with its entries, and the keys of every state."""
    with Redis.from_url(url) as client:
        names = sorted(client.scan_iter("album:1:*", count=1000))
        return {name.decode(): _held(client, name, mask) for name in names if not name.endswith(_BEATS)}


def _held(client: Any, name: bytes, mask: Callable[[str], str]) -> list[str]:
    if client.type(name) == b"stream":
        return [f"{id_.decode()} {mask(_shown(fields[b'p']))}" for id_, fields in client.xrange(name)]
    return sorted(mask(key.decode()) for key in client.hkeys(name)) if client.type(name) == b"hash" else []


def _shown(payload: bytes) -> str:
    try:
        return _json(json.loads(payload))
    except ValueError:
        return "<bytes>"  # sealed
