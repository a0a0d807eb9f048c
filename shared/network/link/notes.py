"""Boxes leave the hub when they were taken long ago, not when they are old: what nobody took yet is still to come."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from shared.kit.streams import START
from shared.network.hub.streams import HubStreams
from shared.network.identity import Identity
from shared.network.link.down import DownStream
from shared.network.link.store import LinkStore
from shared.network.link.up import UpStream
from shared.network.names import box_stream
from shared.network.roster import Roster, RosterKey, Status
from shared.network.taken import NoteRefused, note, read_note

log = structlog.get_logger()

# Who never says what it takes, as a system of others may, does not fill the hub for ever.
NEVER_TAKEN = timedelta(days=365)


async def leave_notes(
    slug: str, identities: Sequence[Identity], hub: HubStreams, downs: Mapping[str, DownStream], roster: Roster
) -> None:
    """Tell every other institution how far its box to us is taken.

    All are told at once, also those who wrote nothing: who looks on learns nothing of who writes to whom.
    """
    mine = _who_signs(slug, identities, roster)
    if mine is None:
        return
    notes: dict[str, bytes] = {}
    for other in roster.institutions:
        key = other.box_key
        if other.slug == slug or other.status is Status.LEFT or key is None:
            continue
        down = downs.get(box_stream(slug, other.slug))
        notes[other.slug] = note(mine, other.slug, key.kid, key.x25519, down.at.position if down else START)
    if notes:
        await hub.note_taken(slug, notes)


def _who_signs(slug: str, identities: Sequence[Identity], roster: Roster) -> Identity | None:
    member = roster.member(slug)
    valid: list[RosterKey] = [key for key in member.keys if key.revoked_from is None] if member else []
    known = {key.kid for key in valid}
    return next((one for one in identities if one.kid in known), None)


async def trim_box(
    up: UpStream, hub: HubStreams, store: LinkStore, roster: Roster, keys: Mapping[str, bytes], now: datetime,
    kept: timedelta,
) -> None:  # fmt: skip
    """Drop from an own box what its receiver had taken so long ago; what it has not taken stays for a year."""
    receiver, sender = up.name.to or "", up.name.writer
    written = await hub.taken(receiver, sender)
    if written is not None:
        try:
            await store.mark_taken(up.stream, read_note(roster, keys, receiver, sender, written), now)
        except NoteRefused as error:
            log.warning("note_refused", stream=up.stream, code=error.code, reason=str(error))
    await up.trim_box(await store.passed_before(up.stream, now - kept), now - NEVER_TAKEN)
