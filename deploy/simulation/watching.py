"""The kit's reader and lease as they are, with marks where a protection does its work."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.simulation.trace import Trace
from shared.kit.lease import Lease
from shared.kit.reader import StreamReader
from shared.kit.streams import Entry, Position


class WatchedReader(StreamReader):
    """The reader, with marks."""

    trace: Trace

    async def _advance(self, entries: list[Entry]) -> None:
        if entries and self.position is not None and entries[0].position <= self.position:
            self.trace.mark("known_entry_passed_over")
        await super()._advance(entries)

    async def _move(self, to: Position, connection: AsyncConnection) -> bool | None:
        moved = await super()._move(to, connection)
        if moved is None:
            self.trace.mark("cursor_moved_by_other_copy")
        return moved

    async def _cursor_is_at(self, position: Position, connection: AsyncConnection) -> bool:
        found = await super()._cursor_is_at(position, connection)
        if not found:
            self.trace.mark("cursor_moved_by_other_copy")
        return found


@dataclass
class WatchedLease(Lease):
    """The lease, with marks."""

    trace: Trace | None = field(default=None)

    def watched(self, trace: Trace) -> "WatchedLease":
        """Take the trace."""
        self.trace = trace
        return self

    async def hold(self) -> bool:
        """Take or renew the lease."""
        held = await super().hold()
        if not held:
            self._mark("lease_refused")
        elif self.token > 1:
            self._mark("lease_taken_over")
        return held

    async def confirm(self, connection: AsyncConnection) -> bool:
        """Tell whether the lease is still held."""
        held = await super().confirm(connection)
        if not held:
            self._mark("stale_relay_fenced")
        return held

    def _mark(self, name: str) -> None:
        if self.trace is not None:
            self.trace.mark(name)
