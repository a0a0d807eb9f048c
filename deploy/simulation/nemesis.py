"""What goes wrong in a simulated world beyond single calls: a plan of misfortunes, drawn from the seed."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from deploy.simulation.hub import SimHub
from deploy.simulation.network import Cut
from deploy.simulation.people import Desk
from deploy.simulation.process import Process
from deploy.simulation.recorder import FAILS, KILLS, heard
from shared.contract.courses import RunChanged
from shared.contract.envelope import type_of
from shared.contract.streams import StreamName
from shared.contract.words import Audience
from shared.kit import tables
from shared.kit.streams import Position
from shared.network.entries import SignedEntry
from shared.network.signing import sign_entry

if TYPE_CHECKING:
    from deploy.simulation.world import World

Misfortune = Callable[["Nemesis"], Awaitable[None]]
OWN_KEPT = timedelta(days=14)


@dataclass(frozen=True)
class Poison:
    """A message that nobody can use: it has to be parked by everybody who reads it."""

    stream: str
    key: str
    payload: bytes = b""


class Nemesis:
    """Does harm until it is told to stop."""

    def __init__(self, world: "World", random: Random) -> None:
        self.world = world
        self.random = random

    async def rage(self, seconds: float) -> None:
        """Do a few of the misfortunes at moments within a time."""
        kinds = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=self.random.randint(2, 8))
        moments = sorted(self.random.uniform(0, seconds) for _ in kinds)
        before = 0.0
        for moment, kind in zip(moments, kinds, strict=True):
            await asyncio.sleep(moment - before)
            before = moment
            await kind(self)

    def process(self) -> Process | None:
        """Draw a running process."""
        return self.random.choice(self.world.processes) if self.world.processes else None

    def note(self, kind: str, where: str) -> None:
        """Count a fault."""
        self.world.trace.fault(kind, where)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something after a while."""
        asyncio.get_running_loop().call_later(seconds, do)


async def partition(nemesis: Nemesis) -> None:
    """Cut a machine from a server: both ways, or only one."""
    process = nemesis.process()
    if process is None:
        return
    way = nemesis.random.choice(list(Cut))
    server = nemesis.random.choice(nemesis.world.servers_of(process))
    cuts = nemesis.world.network.cuts
    cuts[process.place, server] = way
    nemesis.note(f"partition_{way.value}", f"{process.place} {server}")
    nemesis.later(nemesis.random.uniform(2, 15), partial(nemesis.world.network.mend, process.place, server))


async def crash(nemesis: Nemesis) -> None:
    """Kill a process wherever it is."""
    process = nemesis.process()
    if process is not None:
        nemesis.note("crash", process.name)
        process.crash()


async def crash_in_transaction(nemesis: Nemesis) -> None:
    """Have a process die at one of its next statements."""
    process = nemesis.process()
    if process is not None:
        process.statements_left = nemesis.random.randint(1, 40)


async def crash_after_commit(nemesis: Nemesis) -> None:
    """Have a process die right behind one of its next commits."""
    process = nemesis.process()
    if process is not None:
        process.commits_left = nemesis.random.randint(1, 8)


async def pause(nemesis: Nemesis) -> None:
    """Stop a process as by SIGSTOP, long enough for its lease to end."""
    process = nemesis.process()
    if process is not None:
        nemesis.note("pause", process.name)
        process.stop()
        nemesis.later(nemesis.random.uniform(1, 12), process.go_on)


async def second_copy(nemesis: Nemesis) -> None:
    """Start another copy of a service on another machine."""
    process = nemesis.process()
    if process is not None and len(nemesis.world.copies_of(process)) < 2:
        nemesis.note("second_copy", process.name)
        nemesis.world.start_copy(process)


async def wipe(nemesis: Nemesis) -> None:
    """Have a Redis lose everything."""
    server = nemesis.random.choice(nemesis.world.servers)
    if nemesis.world.restored:
        return  # what a backup lost and its Redis lost as well is gone
    nemesis.note("wipe", server.name)
    server.lose_all()


async def cut_tail(nemesis: Nemesis) -> None:
    """Have a Redis lose the last of what it wrote."""
    server = nemesis.random.choice(nemesis.world.servers)
    if nemesis.world.restored:
        return  # what a backup lost and its Redis lost as well is gone
    nemesis.note("cut_tail", server.name)
    server.lose(nemesis.random.randint(1, 40))


async def server_down(nemesis: Nemesis) -> None:
    """Have a Redis be away for a while."""
    server = nemesis.random.choice(nemesis.world.servers)
    nemesis.note("server_down", server.name)
    server.down = True
    server.disconnect()
    nemesis.later(nemesis.random.uniform(1, 10), lambda: setattr(server, "down", False))


async def skew(nemesis: Nemesis) -> None:
    """Set a machine's clock to a wrong hour."""
    process = nemesis.process()
    if process is not None:
        process.clock.skew = timedelta(seconds=nemesis.random.uniform(-3600, 3600))
        nemesis.note("clock_skew", f"{process.name} {process.clock.skew}")


async def flood(nemesis: Nemesis) -> None:
    """Have an institution tell many messages at once."""
    messages = nemesis.random.choice((10, 20, 40))
    await _at_a_desk(nemesis, "flood", lambda desk, process: desk.flood(process, messages))


async def poison(nemesis: Nemesis) -> None:
    """Have a faulty release write what no reader can use."""
    desk = nemesis.random.choice(nemesis.world.desks)
    process = nemesis.world.process_for(desk.institution)
    if process is None:
        return
    # What is no message at all never leaves the node: the border of the others would not take it.
    kinds = [kind for kind in POISONS if kind in _CROSSING or not nemesis.world.linked]
    kind = nemesis.random.choice(kinds)
    payload = POISONS[kind]
    key = process.works.ids.new("run")
    stream = str(StreamName(Audience.NETWORK, desk.institution, "courses"))
    body = payload.replace("KEY", key).replace("SOURCE", f"/{desk.institution}/courses").encode()
    row = {"stream": stream, "key": key, "type": "?", "payload": body, "told_at": process.clock.now()}

    async def write() -> None:
        nemesis.world.poisoned.add(Poison(stream, key, body))
        async with process.works() as work:
            await work.connection.execute(sa.insert(tables.outbox), [row])

    nemesis.note(f"poison_{kind}", stream)
    process.start(write())


async def killer(nemesis: Nemesis) -> None:
    """Publish what ends every process that reads it."""
    if len(nemesis.world.sites) <= 3 and not nemesis.world.killer:
        nemesis.world.killer = True
        await _stumble(nemesis, "killer_message", KILLS)


async def unbearable(nemesis: Nemesis) -> None:
    """Publish what this release refuses, until it is mended and an operator asks to try again."""
    await _stumble(nemesis, "unbearable_message", FAILS)


async def trim(nemesis: Nemesis) -> None:
    """Let a service drop old public messages, while somebody may not have read them."""
    process = nemesis.process()
    if process is None:
        return
    nemesis.note("trim", process.name)
    nemesis.world.trimmed = True
    process.start(process.relay.trim(OWN_KEPT, timedelta(seconds=nemesis.random.uniform(1, 20))))


async def rebuild(nemesis: Nemesis) -> None:
    """Throw a service's copies away, as `album rebuild` does."""
    process = nemesis.process()
    if process is not None:
        nemesis.note("rebuild", process.name)
        process.start(_rebuild(process))


async def _rebuild(process: Process) -> None:
    async with process.database.transaction() as connection:
        public = tables.cursor.c.stream.like("album:1:pub:%")
        await connection.execute(sa.delete(tables.cursor).where(public))
        for table in (*process.service.copies, tables.institution):
            await connection.execute(sa.delete(table))
        await connection.execute(sa.delete(tables.parked).where(tables.parked.c.stream.like("album:1:pub:%")))
        # What was heard before belongs to the tables that were thrown away.
        await connection.execute(sa.delete(heard).where(heard.c.stream.like("album:1:pub:%")))


async def rotate(nemesis: Nemesis) -> None:
    """Give an institution new keys."""
    if nemesis.world.linked:
        desk = nemesis.random.choice(nemesis.world.desks)
        nemesis.note("rotate", desk.institution)
        nemesis.world.office.rotate(desk.institution)


async def suspend(nemesis: Nemesis) -> None:
    """Suspend an institution, and take it again after a while."""
    if nemesis.world.linked:
        desk = nemesis.random.choice(nemesis.world.desks)
        nemesis.note("suspend", desk.institution)
        nemesis.world.office.suspend(desk.institution)
        nemesis.later(nemesis.random.uniform(3, 15), nemesis.world.office.reinstate_all)


async def forge(nemesis: Nemesis) -> None:
    """Have who runs the hub write in an institution's name: changed, moved, or signed with a key of his own."""
    world = nemesis.world
    if not world.linked:
        return
    names = [desk.institution for desk in world.desks]
    streams = {name: str(StreamName(Audience.NETWORK, name, "courses")) for name in names}
    ends = {name: _last_picture(world.hub, stream) for name, stream in streams.items()}
    victims = [name for name in names if ends[name] is not None]
    if not victims:
        return
    victim = nemesis.random.choice(victims)
    liar = nemesis.random.choice([name for name in names if name != victim])
    stream, last = streams[victim], ends[victim]
    assert last is not None  # noqa: S101 - victims are those who have one
    place = Position(last.position.epoch, last.position.seq + 1)
    event = json.loads(last.payload)
    event["data"]["version"] += 100
    body = json.dumps(event).encode()
    kind = nemesis.random.choice(("changed", "moved", "signed_by_other"))
    if kind == "signed_by_other":
        forged = sign_entry(world.office.keys[liar][0], stream, place, last.hash(stream), body)
    else:
        payload = body if kind == "changed" else last.payload
        forged = replace(last, position=place, previous=last.hash(stream), payload=payload)
    nemesis.note(f"forged_{kind}", f"{stream} {place}")
    world.forged.add(stream)
    world.hub.forge(stream, forged)


def _last_picture(hub: SimHub, stream: str) -> SignedEntry | None:
    """Give the last entry of a stream on the hub, where it tells of a run."""
    entries = hub.entries[stream]
    there = bool(entries) and entries[-1].position == hub.ends[stream] and b'"picture"' in entries[-1].payload
    return entries[-1] if there else None


async def restore(nemesis: Nemesis) -> None:
    """Bring the backup of a service's database back that was made some seconds ago."""
    process = nemesis.process()
    if process is None or nemesis.world.trace.faults["wipe"] + nemesis.world.trace.faults["cut_tail"]:
        return
    world, site, service = nemesis.world, process.site, process.service.name
    async with site.disks[service].lock:
        image = site.disks[service].image()
    await asyncio.sleep(nemesis.random.uniform(0.5, 8.0))
    if world.healing:
        return
    for copy in [one for one in world.processes if one.site is site and one.service.name == service]:
        copy.crash()
    for machine in (site.name, f"{site.name}b"):
        world.network.drop_late(f"{machine}-{service}")
    nemesis.note("restore", f"{site.name} {service}")
    world.restored.add((site.name, service))
    world.awaited.add((site.name, service))
    async with site.disks[service].lock:
        site.disks[service].restore(image)


async def _stumble(nemesis: Nemesis, kind: str, title: str) -> None:
    async def do(desk: Desk, process: Process) -> None:
        stream = str(StreamName(Audience.NETWORK, desk.institution, "courses"))
        run = desk.new_run(process)
        if title == KILLS:
            nemesis.world.poisoned.add(Poison(stream, run.id))
        await desk.stumble(process, run, title)

    await _at_a_desk(nemesis, kind, do)


async def _at_a_desk(nemesis: Nemesis, kind: str, do: Callable[[Desk, Process], Coroutine[Any, Any, None]]) -> None:
    desk = nemesis.random.choice(nemesis.world.desks)
    process = nemesis.world.process_for(desk.institution)
    if process is not None:
        nemesis.note(kind, f"{desk.institution} {process.name}")
        process.start(do(desk, process))


_ENVELOPE = (
    '{"specversion":"1.0","id":"msg_0","source":"SOURCE","type":"TYPE","subject":"KEY",'
    '"time":"2026-11-20T08:00:00Z","data":DATA}'
)
_CHANGED = type_of(RunChanged)
POISONS = {
    "not_json": "{KEY",
    "not_cloudevent": '{"id":"KEY"}',
    "unknown_type": _ENVELOPE.replace("TYPE", "courses.run.exploded.v9").replace("DATA", "{}"),
    "invalid": _ENVELOPE.replace("TYPE", _CHANGED).replace("DATA", "{}"),
    "other_speaker": _ENVELOPE.replace("SOURCE", "/somebody-else/courses")
    .replace("TYPE", _CHANGED)
    .replace("DATA", "{}"),
    "too_deep": _ENVELOPE.replace("TYPE", _CHANGED).replace("DATA", '{"a":' * 20 + "1" + "}" * 20),
}
_CROSSING = frozenset({"unknown_type", "invalid"})
WEIGHTS: dict[Misfortune, float] = {
    partition: 4,
    crash: 3,
    crash_in_transaction: 3,
    crash_after_commit: 3,
    pause: 2,
    second_copy: 3,
    wipe: 2,
    cut_tail: 3,
    server_down: 2,
    skew: 2,
    flood: 1,
    poison: 2,
    killer: 0.5,
    unbearable: 1,
    trim: 1,
    rebuild: 1,
    rotate: 2,
    suspend: 2,
    forge: 4,
    restore: 1.5,
}
