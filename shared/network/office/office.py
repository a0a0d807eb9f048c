"""The coordination office: it invites, admits, names the keys of each institution, and signs the roster each day.

What it decides is committed first; `publish` then brings the hub to it, again and again until it is there.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Protocol

import structlog

from shared.kit.clock import Clock
from shared.kit.database import Database
from shared.kit.streams import START, Position
from shared.network import changes
from shared.network.held import sign_roster
from shared.network.names import box_stream, is_slug, pub_stream
from shared.network.office.invitation import CodeRefused, Invitation, JoinRequest, RotateRequest
from shared.network.office.retiring import Retirement
from shared.network.office.store import Invited, Issued, OfficeStore
from shared.network.refusal import Refused
from shared.network.roster import RootKey, Roots, Roster, Status
from shared.network.roster_document import document_of, parse_roster
from shared.network.signing import sign_with_seed

log = structlog.get_logger()

INVITED_FOR = timedelta(days=7)
SIGNED_EACH = timedelta(days=1)
SPEAKING = ("members", "courses", "events")


class OfficeRefused(Refused):
    """What the office cannot do."""


class Desk(Protocol):
    """What the office may do on the hub, beyond what a member may."""

    async def version(self) -> int:
        """Give the version of the last roster on the hub; 0 for none."""
        ...

    async def put_roster(self, version: int, document: bytes, signatures: bytes) -> None:
        """Append a roster; one of an earlier or the same version is refused by the hub."""
        ...

    async def asked(self, slug: str) -> Mapping[str, bytes]:
        """Give what an institution asks: the fields of its hash."""
        ...

    async def answered(self, slug: str, field: str) -> None:
        """Take away what has been answered."""
        ...

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream."""
        ...

    async def load_accounts(self, roster: Roster, invited: Sequence[Invited], accounts: Mapping[str, bytes]) -> None:
        """Write who may do what on the hub, and have the hub read it."""
        ...


@dataclass(frozen=True)
class Asking:
    """An institution that waits for the office: to be admitted, or to have its new keys named."""

    slug: str
    what: str
    kid: str


class Office:
    """Decides who is in the network; every decision is a new version of the roster."""

    def __init__(self, database: Database, desk: Desk, roots: Sequence[bytes], office: str, clock: Clock) -> None:
        self._database = database
        self._desk = desk
        self._seeds = tuple(roots)
        self._office = office
        self._clock = clock
        self._refused: set[tuple[str, str]] = set()

    async def begin(self, threshold: int = 1) -> Roster:
        """Begin the network with the root keys that are here; once begun, nothing is done."""
        if (known := await self.roster()) is not None:
            return known
        public = [sign_with_seed(seed, b"")[0] for seed in self._seeds]
        roots = Roots(threshold, tuple(RootKey(key) for key in public))
        return await self._issue(changes.first_roster(self._office, roots, self._clock.now()), "the network begins")

    async def roster(self) -> Roster | None:
        """Give the newest roster."""
        async with self._database.reading() as connection:
            found = await OfficeStore(connection).newest()
        return None if found is None else parse_roster(found.document)

    async def invite(self, slug: str, hub: str, ca: str | None = None) -> Invitation:
        """Invite an institution: its code works once, for seven days; a new code ends the one before."""
        roster = await self._known()
        member = roster.member(slug)
        if not is_slug(slug):
            rule = "2 to 40 small letters, digits and hyphens, not `default`, and not begun with `join-`"
            raise OfficeRefused("not_a_slug", f"'{slug}' cannot be in the network: a short name is {rule}")
        if member is not None and member.status is not Status.LEFT:
            raise OfficeRefused("already_admitted", f"'{slug}' is in the roster and {member.status}")
        invitation = Invitation(hub, slug, self._office, secrets.token_urlsafe(32), roster.roots.digest, ca)
        until = self._clock.now() + INVITED_FOR
        async with self._database.transaction() as connection:
            invited = Invited(slug, sha256(invitation.secret.encode()).digest(), until)
            await OfficeStore(connection).keep_invitation(invited)
        await self._desk.answered(slug, "request")
        await self.publish()
        return invitation

    async def asking(self) -> list[Asking]:
        """Give who waits for the office and proved its keys; what proves nothing is logged and left."""
        found = []
        async with self._database.reading() as connection:
            invited = await OfficeStore(connection).invitations()
        for one in invited:
            if (request := await self._join_request(one)) is not None:
                found.append(Asking(one.slug, "join", request.keys.kid))
        for member in (await self._known()).institutions:
            if (rotation := await self._rotation(member.slug)) is not None:
                found.append(Asking(member.slug, "rotate", rotation.keys.kid))
        return found

    async def admit(self, slug: str) -> Roster:
        """Admit an institution that asks to join; raises OfficeRefused where it was not invited or did not ask."""
        async with self._database.reading() as connection:
            invited = next((one for one in await OfficeStore(connection).invitations() if one.slug == slug), None)
        if invited is None:
            raise OfficeRefused("not_invited", f"there is no open invitation for '{slug}'")
        if invited.until <= self._clock.now():
            raise OfficeRefused("invitation_ended", f"the invitation of '{slug}' has ended; invite it again")
        request = await self._join_request(invited, loud=True)
        if request is None:
            raise OfficeRefused("not_asked", f"'{slug}' has not run `album network join` yet")
        heads = await self._heads(slug)
        roster = await self._change(
            lambda now: changes.admit(now, slug, request.keys, heads), f"{slug} is admitted", (slug, request)
        )
        await self._desk.answered(slug, "request")
        return roster

    async def rotate(self, slug: str) -> Roster:
        """Name the new keys that an institution asks for; both keys signed the request."""
        request = await self._rotation(slug, loud=True)
        if request is None:
            raise OfficeRefused("not_asked", f"'{slug}' has not run `album network rotate`")
        heads = await self._heads(slug)
        roster = await self._change(lambda now: changes.rotate(now, slug, request.keys, heads), f"{slug} has new keys")
        await self._desk.answered(slug, "rotate")
        return roster

    async def revoke(self, slug: str, kid: str) -> Roster:
        """End a key behind what is on the hub now; what was signed before stays valid."""
        heads = await self._heads(slug)
        return await self._change(
            lambda now: changes.revoke(now, slug, kid, heads), f"the key {kid} of {slug} is revoked"
        )

    async def _retire(self, slug: str) -> None:
        """End an old key whose owner says that everything is signed past it."""
        document, member = (await self._desk.asked(slug)).get("retire"), (await self._known()).member(slug)
        if document is None or member is None:
            return
        try:
            request = Retirement.read(member, document)
        except CodeRefused as error:
            log.warning("request_refused", institution=slug, code=error.code)
        else:
            heads = request.behind(await self._heads(slug))
            why = f"{slug} has done with its key {request.old}"
            await self._change(lambda now: changes.revoke(now, slug, request.old, heads), why)
        await self._desk.answered(slug, "retire")

    async def suspend(self, slug: str) -> Roster:
        """Take nothing new of an institution; what it said stays."""
        heads = await self._heads(slug)
        return await self._change(lambda now: changes.suspend(now, slug, heads), f"{slug} is suspended")

    async def reinstate(self, slug: str) -> Roster:
        """Take an institution again; its streams go on where they waited."""
        return await self._change(lambda now: changes.reinstate(now, slug), f"{slug} takes part again")

    async def leave(self, slug: str) -> Roster:
        """Let an institution go; what it said stays."""
        heads = await self._heads(slug)
        return await self._change(lambda now: changes.leave(now, slug, heads), f"{slug} has left")

    async def keep_fresh(self) -> None:
        """Name new keys that were asked for, sign the roster anew each day, and bring the hub to what was decided."""
        roster = await self.roster()
        if roster is None:
            return
        for member in roster.institutions:
            if await self._rotation(member.slug) is not None:
                await self.rotate(member.slug)
            await self._retire(member.slug)
        if self._clock.now() - (await self._known()).issued >= SIGNED_EACH:
            await self._change(lambda now: now, "signed for another day")
        await self.publish()

    async def publish(self) -> None:
        """Bring the hub to what is decided: accounts first, so that whom a roster names can also come in."""
        async with self._database.reading() as connection:
            store = OfficeStore(connection)
            invited = [one for one in await store.invitations() if one.until > self._clock.now()]
            accounts, newest = await store.accounts(), await store.newest()
        if newest is None:
            return
        await self._desk.load_accounts(parse_roster(newest.document), invited, accounts)
        there = await self._desk.version()
        async with self._database.reading() as connection:
            missing = await OfficeStore(connection).behind(there)
        for one in missing:
            await self._desk.put_roster(one.version, one.document, one.signatures)

    async def _change(
        self,
        change: Callable[[Roster], Roster],
        why: str,
        joined: tuple[str, JoinRequest] | None = None,
    ) -> Roster:
        roster = changes.issue(change(await self._known()), self._clock.now())
        return await self._issue(roster, why, joined)

    async def _issue(self, roster: Roster, why: str, joined: tuple[str, JoinRequest] | None = None) -> Roster:
        if len(self._seeds) < roster.roots.threshold:
            raise OfficeRefused(
                "too_few_roots", f"{roster.roots.threshold} root keys must sign; {len(self._seeds)} are here"
            )
        document = document_of(roster)
        one = Issued(roster.version, document, sign_roster(document, self._seeds), self._clock.now(), why)
        async with self._database.transaction() as connection:
            store = OfficeStore(connection)
            if not await store.issue(one):
                raise OfficeRefused(
                    "changed_meanwhile", "somebody else changed the roster in this moment; please repeat"
                )
            if joined is not None:
                await store.keep_account(joined[0], joined[1].password_sha256)
                await store.end_invitation(joined[0])
        log.info("roster_issued", version=one.version, why=why)
        await self.publish()
        return roster

    async def _known(self) -> Roster:
        roster = await self.roster()
        if roster is None:
            raise OfficeRefused("not_begun", "there is no network yet: run `album hub init` first")
        return roster

    async def _join_request(self, invited: Invited, *, loud: bool = False) -> JoinRequest | None:
        document = (await self._desk.asked(invited.slug)).get("request")
        if document is None:
            return None
        try:
            return JoinRequest.read(invited.slug, document, invited.secret_sha256)
        except CodeRefused as error:
            if loud:
                raise
            self._say_refused(invited.slug, error.code)
            return None

    async def _rotation(self, slug: str, *, loud: bool = False) -> RotateRequest | None:
        document = (await self._desk.asked(slug)).get("rotate")
        member = (await self._known()).member(slug)
        if document is None or member is None:
            return None
        try:
            known = {key.kid: key.keys for key in member.keys if key.revoked_from is None}
            request = RotateRequest.read(slug, document, known)
        except CodeRefused as error:
            if loud:
                raise
            self._say_refused(slug, error.code)
            return None
        return None if request.keys.kid in known else request

    def _say_refused(self, slug: str, code: str) -> None:
        """Log it once: what stands on the hub is looked at again and again."""
        if (slug, code) not in self._refused:
            self._refused.add((slug, code))
            log.warning("request_refused", institution=slug, code=code)

    async def _heads(self, slug: str) -> dict[str, Position]:
        others = [one.slug for one in (await self._known()).institutions if one.slug != slug]
        streams = [pub_stream(slug, service) for service in SPEAKING] + [box_stream(to, slug) for to in others]
        found = dict(zip(streams, await self._desk.heads(streams), strict=True))
        return {stream: head for stream, head in found.items() if head != START}
