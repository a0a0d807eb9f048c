"""What the office can change in the roster; pure, with the heads of the streams of the institution it is about.

`heads` names every stream of that institution on the hub (public ones and boxes it writes) with its last position.
A change gives the roster its new content; `issue` gives it its version and its dates.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from shared.kit.streams import START, Position
from shared.network.identity import PublicKeys
from shared.network.refusal import Refused
from shared.network.roster import NOWHERE, Member, Positions, Roots, Roster, RosterKey, Status

LIFE = timedelta(days=14)
Heads = Mapping[str, Position]


class ChangeRefused(Refused):
    """A change of the roster that cannot be."""


def first_roster(office: str, roots: Roots, now: datetime) -> Roster:
    """Begin a network: version 1, nobody in it."""
    return Roster(1, now, now + LIFE, office, roots)


def issue(roster: Roster, now: datetime, life: timedelta = LIFE) -> Roster:
    """Make the next version, valid from now on; the office does this with each change, and each day."""
    return replace(roster, version=roster.version + 1, issued=now, expires=now + life)


def admit(roster: Roster, slug: str, keys: PublicKeys, heads: Heads = NOWHERE) -> Roster:
    """Take an institution in with its first keys, or one that left again with new keys from its heads on."""
    known = roster.member(slug)
    if known is None:
        _check_new(roster, keys)
        return replace(roster, institutions=(*roster.institutions, Member(slug, Status.ACTIVE, (RosterKey(keys),))))
    if known.status is not Status.LEFT:
        raise ChangeRefused("already_admitted", f"'{slug}' is in the roster and {known.status}")
    closed = replace(known, keys=tuple(_closed(key, heads) for key in known.keys))
    return _with(rotate(_put(roster, closed), slug, keys, heads), slug, _active)


def rotate(roster: Roster, slug: str, keys: PublicKeys, heads: Heads) -> Roster:
    """Name a new pair that speaks behind the heads; the old pair goes on until `revoke`, so that nothing is lost."""
    _check_new(roster, keys)
    new = RosterKey(keys, _behind(heads))
    return _with(roster, slug, lambda member: replace(member, keys=(*member.keys, new)))


def revoke(roster: Roster, slug: str, kid: str, heads: Heads) -> Roster:
    """End a pair behind the heads; where it was stolen earlier, name an earlier position. Ended pairs end no later."""
    member = _known(roster, slug)
    if member.key(kid) is None:
        raise ChangeRefused("unknown_key", f"'{slug}' has no key {kid}")
    keys = tuple(_closed(key, heads) if key.kid == kid else key for key in member.keys)
    return _put(roster, replace(member, keys=keys))


def suspend(roster: Roster, slug: str, heads: Heads) -> Roster:
    """Take nothing new of an institution for a while; what it said stays."""
    return _with(roster, slug, lambda member: _cut(member, Status.SUSPENDED, heads))


def leave(roster: Roster, slug: str, heads: Heads) -> Roster:
    """Let an institution go; what it said stays."""
    return _with(roster, slug, lambda member: _cut(member, Status.LEFT, heads))


def reinstate(roster: Roster, slug: str) -> Roster:
    """Take an institution again with the keys it has; its streams go on where they waited."""
    return _with(roster, slug, _active)


def with_roots(roster: Roster, roots: Roots) -> Roster:
    """Change the office's own keys; the next version is still signed by the ones before."""
    return replace(roster, roots=roots)


def _check_new(roster: Roster, keys: PublicKeys) -> None:
    if any(key.kid == keys.kid for one in roster.institutions for key in one.keys):
        raise ChangeRefused("key_known", f"the key {keys.kid} stands in the roster")


def _active(member: Member) -> Member:
    return replace(member, status=Status.ACTIVE, cut=NOWHERE)


def _cut(member: Member, status: Status, heads: Heads) -> Member:
    """An institution that is cut already is cut no later: what it wrote in the meantime was never taken."""
    cut = member.cut if member.status is not Status.ACTIVE else _behind(heads)
    return replace(member, status=status, cut=cut)


def _closed(key: RosterKey, heads: Heads) -> RosterKey:
    ends = _behind(heads)
    if key.revoked_from is not None:
        ends = {stream: min(end, ends.get(stream, START)) for stream, end in key.revoked_from.items()}
    return replace(key, revoked_from=ends)


def _behind(heads: Heads) -> Positions:
    return {stream: Position(head.epoch, head.seq + 1) for stream, head in heads.items()}


def _with(roster: Roster, slug: str, change: Callable[[Member], Member]) -> Roster:
    return _put(roster, change(_known(roster, slug)))


def _put(roster: Roster, member: Member) -> Roster:
    return replace(
        roster, institutions=tuple(member if one.slug == member.slug else one for one in roster.institutions)
    )


def _known(roster: Roster, slug: str) -> Member:
    member = roster.member(slug)
    if member is None:
        raise ChangeRefused("unknown_institution", f"'{slug}' is not in the roster")
    return member
