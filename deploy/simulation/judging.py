"""What must be true of a healed world, read past the code under test from its disks and servers."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from deploy.simulation.loop import now
from deploy.simulation.moments import BEGIN
from deploy.simulation.operating import is_poison
from deploy.simulation.process import Process, Site
from deploy.simulation.recorder import heard
from deploy.simulation.redis import SimRedis, at_once
from deploy.simulation.store import Disk
from services.courses.domain.enrolment import PLACES
from services.courses.domain.run import ASKABLE
from services.courses.store import tables as courses
from shared.contract.words import EnrolmentState, RunState
from shared.kit import parking, tables
from shared.kit.streams import GENESIS, START, Entry, Position, chain
from shared.seats.rule import PlaceState

if TYPE_CHECKING:
    from deploy.simulation.world import World

Copy = dict[tuple[str, str], tuple[int, Any]]
# Asked each second by every world: built once.
_O = tables.outbox
_UNNUMBERED = sa.select(_O.c.id).where(_O.c.seq.is_(None)).limit(1)
_RETRIES = sa.select(tables.parked.c.id).where(tables.parked.c.state == "retry").limit(1)
_ENDS = sa.select(_O.c.stream, _O.c.epoch, _O.c.seq).where(_O.c.seq.is_not(None)).order_by(_O.c.epoch, _O.c.seq)
_CURSORS = sa.select(tables.cursor.c.stream, tables.cursor.c.epoch, tables.cursor.c.seq)
_KNOWN = sa.select(tables.institution.c.slug)


def unrest(world: "World") -> str | None:
    """Give what somebody still has to do, or None where everything rests."""
    running = {(process.site.name, process.service.name) for process in world.processes}
    for site in world.sites:
        for service, disk in site.disks.items():
            if (site.name, service) not in running:
                return f"{service} of {site.name} does not run"
            if disk.lock.locked():
                return f"{service} of {site.name} works on its database"
            if found := _disk_unrest(site, disk, world.parts.numbered):
                return f"{service} of {site.name}: {found}"
    if found := _mirror_unrest(world):
        return found
    for process in world.processes:
        if found := _reading_unrest(process, world.parts.numbered):
            return f"{process.name}: {found}"
    return None


def _disk_unrest(site: Site, disk: Disk, numbered: bool) -> str | None:
    if disk.rows(_UNNUMBERED):
        return "messages wait for a number"
    for stream, wanted in _ends(disk).items() if numbered else ():
        [end] = at_once(site.redis.heads([stream]))
        if end != wanted:
            return f"{stream} ends at {end} and not at {wanted}"
    if disk.rows(_RETRIES):
        return "parked messages wait to be tried again"
    return None


def _mirror_unrest(world: "World") -> str | None:
    """Give what the links still have to bring up to the hub or down from it."""
    if not (world.linked and world.parts.numbered):
        return None
    for owner in world.sites:
        for stream, end in _public_ends(owner):
            there = {world.hub.name: world.hub.ends.get(stream, START)}
            there |= {site.name: at_once(site.redis.heads([stream]))[0] for site in world.sites}
            if late := {name: str(at) for name, at in there.items() if at != end}:
                return f"{stream} ends at {end}, elsewhere at {late}"
    return next(_stopped_links(world), None)


def _ends(disk: Disk) -> dict[str, Position]:
    """Give where the log of each stream ends; an epoch that has only begun has no entry yet."""
    return {row.stream: Position(row.epoch, row.seq) for row in disk.rows(_ENDS)}


def _public_ends(owner: Site) -> list[tuple[str, Position]]:
    ends = [end for disk in owner.disks.values() for end in _ends(disk).items()]
    return [(stream, end) for stream, end in ends if ":pub:" in stream]


def _mirror_faults(world: "World") -> Iterator[str]:
    """Judge that nodes hold of others exactly what those hold themselves, and that no link has stopped."""
    rechained = bool(world.trace.marks["begun_behind_gap"])
    for owner in world.sites:
        for stream, _ in _public_ends(owner):
            true = {one.position: one for one in at_once(owner.redis.read(stream, START, 1_000_000))}
            for site in world.sites:
                for entry in at_once(site.redis.read(stream, START, 1_000_000)):
                    if not _is_same(true.get(entry.position, entry), entry, rechained):
                        yield f"{site.name} has another message at {entry.position} of {stream} than its owner"
    yield from _stopped_links(world)


def _stopped_links(world: "World") -> Iterator[str]:
    for process in world.processes:
        if process.link is not None and process.linking is not None and process.linking.leading.is_set():
            for name, why in process.link.stopped.items():
                yield f"the link of {process.name} stopped {name}: {why}"


def _is_same(true: Entry, there: Entry, rechained: bool) -> bool:
    # Behind a gap the chain of hashes begins anew on the hub, and only the messages are the same.
    return true.payload == there.payload if rechained else true.hash == there.hash


def _reading_unrest(process: Process, numbered: bool) -> str | None:
    reading = process.subscriptions
    if reading.unopened:
        return f"{sorted(reading.unopened)} are not opened"
    if reading.helped:
        return f"{reading.helped} are helped"
    streams = sorted(reading.readers)
    ends = dict(zip(streams, at_once(process.redis.heads(streams)), strict=True))
    stored = {row.stream: Position(row.epoch, row.seq) for row in process.disk.rows(_CURSORS)}
    for stream, end in ends.items():
        at = reading.readers[stream].position
        if not at == stored.get(stream) == end and (numbered or (at or START) < end):
            return f"{stream} ends at {end}, its reader is at {at}, its cursor at {stored.get(stream)}"
    known = {row.slug for row in process.disk.rows(_KNOWN)}
    missing = sorted(process.streams_of_all(known) - reading.readers.keys())
    # A box in which there is nothing yet has no reader.
    there = at_once(process.redis.heads(missing))
    unread = [name for name, end in zip(missing, there, strict=True) if end > START or ":box:" not in name]
    return f"{unread} are not read" if unread else None


def judge(world: "World") -> None:
    """Write down everything in a world that must not be."""
    for sentence in _faults(world):
        world.trace.wrong(sentence)


def _faults(world: "World") -> Iterator[str]:
    truth = _truth(world)
    for site in world.sites:
        copy = _copy(world, site.disks["courses"])
        world.trace.note(f"{site.name} holds {_state_hash(copy)}")
        yield from _differences(site, copy, truth)
        for service, disk in site.disks.items():
            where = f"{service} of {site.name}"
            if world.parts.numbered:
                yield from (f"{where}: {one}" for one in _log_faults(world, site.redis, disk))
            yield from (f"{where}: {one}" for one in _hearing_faults(disk))
            yield from (f"{where}: {one}" for one in _parking_faults(world, service, disk))
        yield from (f"{site.name}: {one}" for one in _seat_faults(site.disks["courses"]))
    yield from _broken_promises(world)
    if world.linked:
        yield from _mirror_faults(world)
    for process in world.processes:
        yield from (f"{process.name} stopped {stream}: {why}" for stream, why in process.relay.stopped.items())


def _copy(world: "World", disk: Disk) -> Copy:
    bad = {poison.key for poison in world.poisoned}
    rows = disk.rows(sa.select(courses.network_run))
    return {(r.institution, r.run_id): (r.version, r.picture) for r in rows if r.run_id not in bad}


def _truth(world: "World") -> Copy:
    """Give what the owners told last of every run, by their own logs; it is in the version that they keep."""
    truth: Copy = {}
    for site in world.sites:
        # As above: such a poison is known by its payload only.
        bad = {poison.key for poison in world.poisoned} | {poison.payload for poison in world.poisoned}
        o = tables.outbox
        query = sa.select(o).where(o.c.stream.like("album:1:pub:%:courses"), o.c.seq.is_not(None))
        for row in site.disks["courses"].rows(query.order_by(o.c.epoch, o.c.seq)):
            if bad.isdisjoint((row.key, row.payload)):
                data = json.loads(row.payload)["data"]
                truth[data["institution"], row.key] = (data["version"], data["picture"])
    return truth


def _differences(site: Site, copy: Copy, truth: Copy) -> Iterator[str]:
    for key in sorted(truth.keys() | copy.keys()):
        if truth.get(key) != copy.get(key):
            have, want = (one.get(key, (None,))[0] for one in (copy, truth))
            yield f"{site.name} holds {key} in version {have}, its owner told {want}"
    t = courses.run
    for row in site.disks["courses"].rows(sa.select(t).where(t.c.state != RunState.DRAFT.value)):
        told = truth.get((row.institution, row.id))
        if told is not None and told[0] != row.version:
            yield f"{site.name} keeps {row.id} in version {row.version}, but told {told[0]}"


def _state_hash(copy: Copy) -> str:
    lines = [json.dumps([key, copy[key]], sort_keys=True) for key in sorted(copy)]
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def _log_faults(world: "World", redis: SimRedis, disk: Disk) -> Iterator[str]:
    """Judge the numbers and the chain of the log, and that the streams hold the very same."""
    o = tables.outbox
    # One that is no message at all comes back from a restore without the key under which it was told.
    poison = {one.payload for one in world.poisoned}
    logs: dict[str, dict[Position, tuple[bytes, bytes]]] = defaultdict(dict)
    newest: dict[str, dict[str, bytes]] = defaultdict(dict)
    for row in disk.rows(sa.select(o).where(o.c.seq.is_not(None)).order_by(o.c.stream, o.c.epoch, o.c.seq)):
        logs[row.stream][Position(row.epoch, row.seq)] = (row.payload, row.hash)
        if row.payload not in poison:
            newest[row.stream][row.key] = row.hash
    for stream, log in logs.items():
        whole = not world.trimmed or ":own:" in stream
        yield from _chain_faults(f"the log of {stream}", stream, [(p, *log[p]) for p in log], whole)
        entries = [(e.position, e.payload, e.hash) for e in at_once(redis.read(stream, START, 1_000_000))]
        yield from _chain_faults(stream, stream, entries, whole)
        yield from (
            f"{stream} holds another message at {p}" for p, body, h in entries if log.get(p, (body, h)) != (body, h)
        )
        if whole and len(entries) != len(log):
            yield f"{stream} holds {len(entries)} of {len(log)} messages"
        if ":pub:" in stream:
            found = at_once(redis.state(stream)).items()
            state = {key: entry.hash for key, entry in found if entry.payload not in poison}
            if state != newest[stream]:
                yield f"the state of {stream} is not the newest of each thing"


def _chain_faults(what: str, stream: str, entries: list[tuple[Position, bytes, bytes]], whole: bool) -> Iterator[str]:
    previous, before = GENESIS, Position(1, 0)
    for position, payload, hash_ in entries:
        # What stood before the first one of a later epoch may have been dropped: it follows any place.
        if position.follows(before) and (whole or position.epoch == before.epoch):
            if chain(previous, stream, position, payload) != hash_:
                yield f"{what} has a broken chain at {position}"
        elif whole:
            yield f"{what} has {position} behind {before}"
        previous, before = hash_, position


def _hearing_faults(disk: Disk) -> Iterator[str]:
    """Judge that each message was applied once and in order: all of them on own streams."""
    last: dict[tuple[str, str], tuple[int, Position]] = {}
    heard_of: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for row in disk.rows(sa.select(heard).order_by(heard.c.id)):
        here = (row.version, Position(row.epoch, row.seq))
        before = last.get((row.stream, row.key))
        if before is not None and not (here[0] > before[0] and here[1] > before[1]):
            yield f"{row.key} came as {here[0]} at {here[1]} behind {before[0]} at {before[1]}"
        last[row.stream, row.key] = here
        heard_of[row.stream].add((row.key, row.version))
    o = tables.outbox
    for row in disk.rows(sa.select(o).where(o.c.stream.like("album:1:own:%:courses"))):
        version = json.loads(row.payload)["data"]["version"]
        if (row.key, version) not in heard_of[row.stream]:
            yield f"{row.key} was never heard in version {version} on {row.stream}"


def _parking_faults(world: "World", service: str, disk: Disk) -> Iterator[str]:
    t = tables.parked
    rows = disk.rows(sa.select(t).where(t.c.state.in_(parking.OPEN)))
    for row in rows:
        if not is_poison(world, row):
            yield f"{row.epoch}-{row.seq} of {row.stream} is parked ({row.code}) and is no poison: {row.reason}"
    if service != "courses":
        return
    parked = {row.payload for row in rows} | {(row.stream, row.key) for row in rows}
    for poison in sorted(world.poisoned, key=lambda one: (one.stream, one.key)):
        if _is_told(world, poison.stream, poison.key) and not {poison.payload, (poison.stream, poison.key)} & parked:
            yield f"the poison {poison.key} of {poison.stream} is not parked"


def _is_told(world: "World", stream: str, key: str) -> bool:
    o = tables.outbox
    query = sa.select(o.c.id).where(o.c.stream == stream, o.c.key == key).limit(1)
    return any(disk.rows(query) for site in world.sites for disk in site.disks.values())


def _seat_faults(disk: Disk) -> Iterator[str]:
    """Judge that no seat is given twice, none is idle while somebody waits, and that the counts are right."""
    counts: dict[str, dict[PlaceState, int]] = defaultdict(lambda: defaultdict(int))
    for row in disk.rows(sa.select(courses.enrolment)):
        counts[row.run_id][PLACES.get(EnrolmentState(row.state), PlaceState.GONE)] += 1
    surely = BEGIN + timedelta(seconds=now()) + timedelta(hours=1)
    for row in disk.rows(sa.select(courses.run)):
        limit, people = max(0, row.capacity - row.registered_elsewhere), counts[row.id]
        counted = (people[PlaceState.SEATED], people[PlaceState.OFFERED], people[PlaceState.WAITING])
        if row.state not in (RunState.COMPLETED.value, RunState.CANCELLED.value) and counted != (
            row.taken,
            row.held,
            row.waiting,
        ):
            yield f"{row.id} counts {row.taken}, {row.held}, {row.waiting}, but people are {counted}"
        if row.taken + row.held > limit:
            yield f"{row.id} gives {row.taken} + {row.held} of {limit} seats"
        open_ = RunState(row.state) in ASKABLE and (row.ends_at is None or row.ends_at > surely)
        if open_ and row.taken + row.held < limit and row.waiting:
            yield f"{row.id} leaves a seat idle while {row.waiting} wait"


def _broken_promises(world: "World") -> Iterator[str]:
    kept: dict[str, int] = {}
    for site in world.sites:
        kept |= {row.id: row.version for row in site.disks["courses"].rows(sa.select(courses.enrolment))}
    restored = {name for site in world.sites if (site.name, "courses") in world.restored for name in site.institutions}
    for desk in [one for one in world.desks if one.institution not in restored]:
        for enrolment, version in desk.promised.items():
            if kept.get(enrolment, 0) < version:
                yield f"{enrolment} was answered in version {version} and is kept in {kept.get(enrolment)}"
