"""When a node has new keys and all that was signed with the old ones is on the hub, it asks the office to end those."""

from collections.abc import Iterable, Sequence

from shared.kit.streams import START, Position
from shared.network.hub.streams import HubStreams
from shared.network.identity import Identity
from shared.network.link.up import UpStream
from shared.network.office.pages import behind
from shared.network.office.retiring import Retirement, newest_of, old_keys
from shared.network.roster import Roster, RosterKey


async def ask_to_retire(
    identities: Sequence[Identity], hub: HubStreams, ups: Iterable[UpStream], roster: Roster
) -> bool:
    """Ask for the oldest key that is done with; tell whether anything was asked."""
    newest, slug = identities[0], identities[0].slug
    member = roster.member(slug)
    named = newest_of(member) if member else None
    old = old_keys(member) if member else []
    if named is None or named.kid != newest.kid or not old:
        return False
    heads: dict[str, Position] = {}
    for up in ups:
        if not _is_past(up, named):
            return False
        if up.position != START:
            heads[up.stream] = up.position
    await hub.ask(slug, "retire", Retirement.of(newest, old[0], heads).document)
    return True


def _is_past(up: UpStream, newest: RosterKey) -> bool:
    """Tell whether all that is signed is on the hub, and the newest key signs what comes."""
    return up.is_sent and up.stopped is None and newest.speaks_at(up.stream, behind(up.position))
