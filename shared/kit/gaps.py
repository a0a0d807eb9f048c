"""What follows what: a page of entries without a gap, across epochs, too."""

from shared.kit.blanks import is_blank
from shared.kit.streams import Entry, Position, chain


def contiguous(
    stream: str, position: Position, previous: bytes | None, entries: list[Entry], *, from_log: bool = False
) -> list[Entry]:
    """Give the longest beginning of the entries that follows a position without a gap.

    A new epoch may follow any position, so only its hash tells whether something of the old one is missing. Of a blank
    there is no hash to be made: its writer's log tells what lies before it.
    """
    for at, entry in enumerate(entries):
        crosses = entry.position.epoch != max(position.epoch, 1) and not (from_log and is_blank(entry))
        if not entry.position.follows(position):
            return entries[:at]
        if crosses and (previous is None or chain(previous, stream, entry.position, entry.payload) != entry.hash):
            return entries[:at]
        position, previous = entry.position, entry.hash
    return entries


def before(entries: list[Entry]) -> Position | None:
    """Give the position before the first of the entries."""
    return Position(entries[0].position.epoch, entries[0].position.seq - 1) if entries else None
