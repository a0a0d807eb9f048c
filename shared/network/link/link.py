"""The link of a node: own streams up to the hub, everybody else's down from it, the same names and ids on both sides.

Each `step_…` is small and may be repeated or cut off anywhere: what was done is found again on both sides.
"""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import structlog
from redis.exceptions import OutOfMemoryError

from shared.kit.applying import is_transient
from shared.kit.clock import Clock
from shared.kit.errors import Transient
from shared.kit.streams import Entry, Position, Streams
from shared.network.border import Genuine
from shared.network.held import Held, accept
from shared.network.hub.streams import HubRefuses, HubStreams
from shared.network.identity import Identity
from shared.network.link.down import DownStream, Within
from shared.network.link.notes import leave_notes, trim_box
from shared.network.link.retire import ask_to_retire
from shared.network.link.rows import NOTHING_TAKEN, Down, Waiting
from shared.network.link.sign import Around, Backfill
from shared.network.link.store import LinkStore
from shared.network.link.up import UpStream
from shared.network.names import ROSTER, box_stream, hub_stream, pub_stream
from shared.network.office.pages import behind
from shared.network.refusal import Refusal
from shared.network.roster import Roster, Status
from shared.network.roster_document import RosterRefused
from shared.network.signing import entry_is_genuine

log = structlog.get_logger()

SERVICES = ("members", "courses", "events")
ENTRIES_AT_ONCE = 512


class NodeIsFull(Transient):
    """The node's Redis takes no more; the link waits, and nothing is taken from the hub meanwhile."""


@dataclass(frozen=True)
class Options:
    """How long things are kept on the hub and of others inside, a box from when it was taken; which services speak."""

    services: Sequence[str] = SERVICES
    public: timedelta = timedelta(days=90)
    boxes: timedelta = timedelta(days=30)
    genuine: Genuine = entry_is_genuine


async def no_log(stream: str, after: Position, count: int) -> list[Entry]:
    """Stand for a writer whose log is not asked."""
    return []


class Link:
    """Mirrors between one node's Redis and the hub; its steps are driven by `running.run`, or by a simulation.

    `identities` has the keys of each own institution, newest first; `hub_of` the hub as each one's user sees it.
    """

    def __init__(
        self,
        identities: Mapping[str, Sequence[Identity]],
        hub_of: Mapping[str, HubStreams],
        local: Streams,
        store: LinkStore,
        clock: Clock,
        random: Random,
        *,
        hosted: Collection[str] = (),
        backfill: Backfill = no_log,
        options: Options | None = None,
    ) -> None:
        self.identities = identities
        self.hub_of = hub_of
        self.local = local
        self.store = store
        self.clock = clock
        self.random = random
        self.options = options or Options()
        self.held: Held | None = None
        self.ups: dict[str, UpStream] = {}
        self.downs: dict[str, DownStream] = {}
        self._inside = {*identities, *hosted}
        self._backfill = backfill
        self._read_by = ""
        self._retired_under: dict[str, int] = {}
        self._seen_roster = 0
        self._kept_roster = 0
        self._refused_rosters: set[bytes] = set()
        self._cursors: dict[str, Down] = {}
        self._waiting: dict[str, Waiting] = {}

    @property
    def roster(self) -> Roster | None:
        """Give the roster that is held."""
        return self.held.roster if self.held else None

    @property
    def stopped(self) -> dict[str, str]:
        """Say what waits for an operator, by stream; nothing else waits for it."""
        found = {one.stream: one.stopped.reason for one in self.ups.values() if one.stopped}
        found |= {one.stream: one.listener.doubt.reason for one in self.downs.values() if one.listener.doubt}
        found |= {one.stream: one.stopped.reason for one in self.downs.values() if one.stopped}
        if self.identities and self.roster is None:
            found[ROSTER] = "no roster is held: has the office admitted this node?"
        elif self.roster and self.roster.expired(self.clock.now()):
            found[ROSTER] = f"version {self.roster.version} has expired: nothing new of others is taken"
        return found

    async def start(self) -> None:
        """Begin where the tables say that the link is; also after another copy has led."""
        self.held = await self.store.held()
        self._seen_roster = 0
        self._kept_roster = self.held.version if self.held else 0
        self._cursors = await self.store.downs()
        self._waiting = await self.store.waiting()
        self.ups.clear()
        self.downs.clear()
        self._know_streams()

    def rest(self) -> None:
        """Forget what was believed of the hub and of the streams inside."""
        for up in self.ups.values():
            up.rest()

    async def take_rosters(self) -> bool:
        """Take every newer roster that the held roots signed; tell whether there was one."""
        if self.held is None:
            self.held = await self.store.held()
        if self.held is None or not self.hub_of:
            return False
        after = self.held.version
        while documents := await self.hub_of[self._reader()].rosters(after):
            for document, signatures in documents:
                after += 1
                self._accept(document, signatures)
            after = max(after, self.held.version)
        # Asked of what is kept and not of this call: the one that accepted it may have ended at a lost answer.
        if self.held.version == self._kept_roster:
            return False
        if not await self.store.keep_held(self.held):
            self.held = await self.store.held()
        self._kept_roster = self.held.version if self.held else 0
        log.info("roster_taken", version=self._kept_roster)
        self._know_streams()
        return True

    def _accept(self, document: bytes, signatures: bytes) -> None:
        if self.held is None:
            return
        try:
            self.held = accept(self.held, document, signatures)
        except RosterRefused as error:
            if error.code != "not_newer" and signatures not in self._refused_rosters:
                self._refused_rosters = {*list(self._refused_rosters)[-100:], signatures}
                refusal = error.refusal
                log.warning("roster_refused", held=self.held.version, code=refusal.code, reason=refusal.reason)

    def _know_streams(self) -> None:
        """Know the streams of all who are in the roster: institutions, services, boxes."""
        members = [m for m in self.roster.institutions if m.slug not in self._inside] if self.roster else []
        others = sorted(one.slug for one in members)
        receiving = sorted(one.slug for one in members if one.status is not Status.LEFT)
        for slug in self.identities:
            for name in (*self._pubs([slug]), *(box_stream(to, slug) for to in receiving)):
                if name not in self.ups:
                    self.ups[name] = UpStream(name, self._around(slug))
        if not self.identities:
            return
        if self._reader() != self._read_by:
            self._read_by = self._reader()
            for down in [one for one in self.downs.values() if one.name.kind == "pub"]:
                self._cursors[down.stream] = self.downs.pop(down.stream).at
        for name in self._pubs(others):
            self._know_down(name, self._read_by)
        for slug in self.identities:
            for sender in others:
                self._know_down(box_stream(slug, sender), slug)

    def _pubs(self, slugs: Collection[str]) -> list[str]:
        return [pub_stream(slug, service) for slug in slugs for service in self.options.services]

    def _know_down(self, name: str, reader: str) -> None:
        if name not in self.downs:
            within = Within(
                self.hub_of[reader], self.local, self.store, self.clock, self._box_keys(name), self.random,
                self.options.genuine,
            )  # fmt: skip
            waits = self._waiting.get(name)
            stopped = Refusal(waits.code, waits.reason) if waits else None
            self.downs[name] = DownStream(name, within, self._cursors.get(name, NOTHING_TAKEN), stopped)

    def _around(self, slug: str) -> Around:
        keys = tuple(self.identities[slug])
        return Around(self.hub_of[slug], self.local, self.store, self.clock, lambda: self.roster, keys, self._backfill)

    def _box_keys(self, name: str) -> dict[str, bytes]:
        to = hub_stream(name).to
        keys = self.identities[to] if to else ()
        return {kid: key for identity in keys for kid, key in identity.box_keys.items()}

    def _reader(self) -> str:
        """Name the institution whose user reads what is for everybody: the first that the hub lets in."""
        slugs = sorted(self.identities)
        member = {slug: self.roster.member(slug) for slug in slugs} if self.roster else {}
        active = [slug for slug in slugs if (one := member.get(slug)) and one.status is Status.ACTIVE]
        return (active or slugs)[0]

    async def step_up(self, stream: str) -> bool:
        """Send one page of an own stream; tell whether there may be more."""
        return await self.ups[stream].step()

    async def send(self, slug: str) -> bool:
        """Send a page of each stream of an institution; tell whether there may be more."""
        more, refused = False, []
        names = [name for name in self.ups if hub_stream(name).writer == slug]
        for name in names:
            try:
                more |= await self.step_up(name)
            except HubRefuses as error:
                refused.append(error)
        if refused and len(refused) == len(names):
            raise refused[0]
        return more

    async def step_down(self, slug: str | None = None, block_ms: int = 0) -> bool:
        """Take what is new for an institution; waits up to `block_ms` for it. Tell whether anything came.

        The roster is read in the same call, so that what it changes is known before the next entry is taken.
        """
        if slug is None:
            return any([await self.step_down(one) for one in self.identities])
        roster = self.roster
        streams = self._downs_of(slug) if roster and not roster.expired(self.clock.now()) else []
        wanted = {one.stream: one.at.position for one in streams if roster and one.wants(roster)}
        self._seen_roster = max(self._seen_roster, self.held.version if self.held else 0)
        after = {**wanted, ROSTER: Position(1, self._seen_roster)}
        count = max(1, min(16, ENTRIES_AT_ONCE // len(after)))
        found = await self.hub_of[slug].read_many(after, count, block_ms)
        came = False
        if page := found.pop(ROSTER, None):
            self._seen_roster = page[-1].position.seq
            came = await self.take_rosters()
        for name, page in found.items():
            if self.roster and not self.roster.expired(self.clock.now()):
                came |= await _safely(self.downs[name], self.downs[name].catch_up(self.roster, page))
        return came

    def _downs_of(self, slug: str) -> list[DownStream]:
        reads_all = slug == self._read_by
        return [one for one in self.downs.values() if one.name.to == slug or (one.name.to is None and reads_all)]

    async def check(self) -> None:
        """Look at the ends of all streams on both sides: what was wiped is filled again, heartbeats are compared."""
        await self.take_rosters()
        for slug, hub in self.hub_of.items():
            mine = [one for one in self.ups.values() if one.name.writer == slug and one.is_known]
            names = [one.stream for one in mine]
            ends, insides = await hub.heads(names), await self.local.heads(names)
            for up, end, inside in zip(mine, ends, insides, strict=True):
                await up.check(end, inside)
        roster = self.roster
        if roster is None or roster.expired(self.clock.now()):
            return
        await self._retire_old_keys(roster)
        for slug, hub in self.hub_of.items():
            downs = self._downs_of(slug)
            names = [one.stream for one in downs]
            ends, insides = await hub.heads(names), await self.local.heads(names)
            for down, end, inside in zip(downs, ends, insides, strict=True):
                await _safely(down, down.check(roster, end, inside))

    async def _retire_old_keys(self, roster: Roster) -> None:
        for slug, hub in self.hub_of.items():
            mine = [one for one in self.ups.values() if one.name.writer == slug]
            # Once for each roster: the office may have been away, or its hub was wiped.
            asked = self._retired_under.get(slug) == roster.version
            if not asked and await ask_to_retire(self.identities[slug], hub, mine, roster):
                self._retired_under[slug] = roster.version

    async def trim(self) -> None:
        """Drop what is older than its retention: ours on the hub, the others' inside."""
        now = self.clock.now()
        for up in [one for one in self.ups.values() if one.name.kind == "pub"]:
            await up.trim(now - self.options.public)
        if self.roster is not None:
            await self._trim_boxes(self.roster)
        await self.store.mark_downs(now)
        for down in list(self.downs.values()):
            old = now - (self.options.public if down.name.kind == "pub" else self.options.boxes)
            passed = await self.store.passed_before(down.stream, old)
            if passed is not None:
                await self.local.trim(down.stream, behind(passed))
        await self.store.forget_quarantine(now - self.options.public)

    async def _trim_boxes(self, roster: Roster) -> None:
        for slug, hub in self.hub_of.items():
            keys = {kid: key for one in self.identities[slug] for kid, key in one.box_keys.items()}
            await leave_notes(slug, self.identities[slug], hub, self.downs, roster)
            receiving = {one.slug for one in roster.institutions if one.status is not Status.LEFT}
            boxes = [one for one in self.ups.values() if one.name.writer == slug and one.name.to in receiving]
            for up in boxes:
                await trim_box(up, hub, self.store, roster, keys, self.clock.now(), self.options.boxes)

    async def erase(self) -> None:
        """Remove what was asked for: own boxes from the hub and from what is kept of them, boxes to us from inside."""
        for stream, positions in (await self.store.removals()).items():
            if (up := self.ups.get(stream)) is not None:
                # The kept bytes go first: a refill must not bring back what the hub has just lost.
                await self.store.forget_sealed(stream, positions)
                await self.hub_of[up.name.writer].remove(stream, positions)
            elif stream in self.downs:
                await self.local.remove(stream, positions)
            await self.store.removed(stream, positions, self.clock.now())


async def _safely(stream: DownStream, work: Awaitable[bool]) -> bool:
    """Do something with one stream; whatever one institution wrote, the others' streams go on."""
    try:
        return await work
    except OutOfMemoryError as error:
        raise NodeIsFull("the node's Redis is full") from error
    except Exception as error:
        if is_transient(error):
            raise
        stream.fail(error)
        return False
