"""Kill -9 at every send: a use case runs under strace, is ended at its n-th call, is asked for again, and is compared.

The parent has everything imported and forks, so that one death costs a fraction of a second. The plain event loop
sends by `sendto`; `pwrite64` is what SQLite writes its file by. strace counts the calls of each thread.
"""

import argparse
import asyncio
import itertools
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis import Redis

from services.courses.app import service
from services.courses.domain.participant import Participant
from services.courses.domain.run import Offer, Run
from services.courses.handlers import participants, runs, seats
from shared.contract.envelope import open_envelope
from shared.contract.words import RunKind, Session
from shared.embedded.redis import RedisServer
from shared.kit import log as logs
from shared.kit import migrate, outbox
from shared.kit.errors import Conflict
from shared.kit.node import Node, build
from shared.kit.redis_streams import RedisStreams
from shared.kit.settings import Settings
from shared.kit.streams import START, Entry, Position

HOUSE = "vhs-nord"
CALLS = {"sends": "sendto,sendmsg", "file": "pwrite64,fdatasync,fsync"}
MOST = 500
ANSWERED, DONE = 0, 1
BEFORE, AFTER = "before a send", "after a send"
PLAIN = (BEFORE, AFTER)

Case = Callable[[Node[Any]], Awaitable[None]]


async def publish(node: Node[Any]) -> None:
    """Publish the first draft there is, or find it published."""
    async with node.works() as work:
        [run] = await work.store.runs(HOUSE, "", 1)
        with suppress(Conflict):
            await runs.step(run.id, HOUSE, "publish", work)


async def enrol(node: Node[Any]) -> None:
    """Give the participant a seat in the run."""
    await publish(node)
    async with node.works() as work:
        [run] = await work.store.runs(HOUSE, "", 1)
        [person] = await work.store.participants(HOUSE, "", 1)
        await seats.ask(run.id, person.id, HOUSE, work)


CASES: dict[str, Case] = {"publish": publish, "enrol": enrol}


@dataclass
class Place:
    """A folder with a database that is copied for each death, and a Redis that is emptied."""

    folder: Path
    redis: RedisServer

    @property
    def settings(self) -> Settings:
        """Give the settings of a process on it."""
        return Settings(
            database=f"sqlite+aiosqlite:///{self.folder}/now/{{service}}.db",
            redis=self.redis.url,
            secret="a secret of more than sixteen characters",  # noqa: S106 - of nobody
        )

    def renew(self) -> None:
        """Begin anew: the database as it was prepared, and an empty Redis."""
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        shutil.copytree(self.folder / "first", self.folder / "now")
        with Redis.from_url(self.redis.url) as client:
            client.flushall()


async def _prepare(place: Place) -> None:
    node = build(service, place.settings)
    await migrate.upgrade(service, node.database)
    async with node.works() as work:
        offer = Offer(id=work.ids.new("offer"), institution=HOUSE, title="Deutsch", kind=RunKind.DEUFOEV_BASIS, ue=400)
        await runs.add_offer(offer, work)
        starts = work.now + timedelta(days=30)
        sessions = (Session(starts=starts, ends=starts + timedelta(hours=4)),)
        run = Run(
            id=work.ids.new("run"),
            institution=HOUSE,
            offer_id=offer.id,
            title="Deutsch",
            kind=offer.kind,
            number="2027-01",
            capacity=12,
            sessions=sessions,
        )
        await runs.add_run(run, work)
        blank = Participant(id=work.ids.new("participant"), institution=HOUSE, language="de")
        await participants.add_participant(blank, {"name": "Petra Vogel"}, work)
    await _close(node)


async def _work(place: Place, case: Case, marks: mmap.mmap) -> None:
    node = build(service, place.settings)
    await case(node)
    marks[ANSWERED] = 1
    await node.lease.hold()
    await node.relay.check()
    while await node.relay.step():
        pass
    marks[DONE] = 1
    await _close(node)


async def _look(place: Place) -> dict[str, Any]:
    """Give what the streams hold, and whether the log holds the very same; ids differ between runs, things do not."""
    node = build(service, place.settings)
    async with node.database.reading() as connection:
        names = sorted(await outbox.ends_of_log(connection))
        logs_ = [await outbox.log_after(connection, stream, START) for stream in names]
    told, same, things = [], True, dict[str, str]()
    for stream, log in zip(names, logs_, strict=True):
        there = await node.streams.read(stream, START, 1000)
        same = same and there == log and [entry.position.seq for entry in there] == [*range(1, len(there) + 1)]
        envelopes = [open_envelope(entry.payload) for entry in there]
        same = same and len({one.id for one in envelopes}) == len(envelopes)
        for one in envelopes:
            thing = things.setdefault(one.subject, f"{one.subject.partition('_')[0]} {len(things)}")
            told.append([stream, one.type, thing, one.data.get("version")])
    async with node.works.looking() as store:
        [run] = await store.runs(HOUSE, "", 2)
        held = [run.state, run.version, run.taken]
    await _close(node)
    return {"told": told, "held": held, "same": same}


async def _close(node: Node[Any]) -> None:
    await node.lease.release()
    await node.http.aclose()
    await node.redis.aclose()
    await node.database.close()


def forked(do: Callable[[], Any], go: int = -1) -> int:
    """Run something in a child of this process, which has all modules already; gives its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if go >= 0:
            os.read(go, 1)
        do()
        code = 0
    finally:
        os._exit(code)


def _dying_at(number: int, work: Coroutine[Any, Any, None], when: str) -> None:
    """Run on the plain event loop, and end this process before or after its n-th send."""
    send, counted = socket.socket.send, itertools.count(1)

    def deadly(self: socket.socket, *data: Any) -> int:
        if self.family == socket.AF_UNIX:
            return send(self, *data)  # the loop wakes itself
        last = next(counted) == number
        if last and when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        done = send(self, *data)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    socket.socket.send = deadly  # type: ignore[assignment,method-assign] # this process ends by it
    asyncio.run(work)


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Deaths:
    """One use case, killed at each of its calls."""

    def __init__(self, place: Place, case: Case, marks: mmap.mmap) -> None:
        self.place, self.case, self.marks = place, case, marks

    def looked(self) -> Any:
        """Look in a child of its own: this process has no loop and no threads, so that it may fork."""
        path = self.place.folder / "looked.json"
        path.unlink(missing_ok=True)
        code = _ended(forked(lambda: path.write_text(json.dumps(asyncio.run(_look(self.place))))))
        return json.loads(path.read_text()) if code == 0 else {"looked": "in vain"}

    def again(self) -> int:
        """Start the process anew, as a supervisor does, and ask again, as a client does."""
        return _ended(forked(lambda: asyncio.run(_work(self.place, self.case, self.marks))))

    def die_at(self, calls: str, number: int) -> bool:
        """Run it and end it at its n-th call; tell whether it died before it was done."""
        self.place.renew()
        self.marks[ANSWERED] = self.marks[DONE] = 0
        if calls in PLAIN:
            _ended(forked(lambda: _dying_at(number, _work(self.place, self.case, self.marks), calls)))
        else:
            self._under_strace(CALLS[calls], number)
        return not self.marks[DONE]

    def _under_strace(self, calls: str, number: int) -> None:
        read, write = os.pipe()
        child = forked(lambda: asyncio.run(_work(self.place, self.case, self.marks)), read)
        tracing = ["strace", "-f", "-p", str(child), "-e", f"trace={calls}", "-o", "/dev/null"]
        tracing += ["-e", f"inject={calls}:signal=SIGKILL:when={number}"]
        with subprocess.Popen(tracing, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None  # noqa: S101 - asked for above
            while "attached" not in strace.stderr.readline():
                if strace.poll() is not None:
                    raise SystemExit("strace may not attach here")
            os.write(write, b"x")
            os.close(write)
            os.close(read)
            _ended(child)


def every_send(place: Place, name: str, calls: str, most: int = MOST, first: int = 1, step: int = 1) -> dict[str, Any]:
    """Kill a use case at each of its calls until it comes through; gives how often, and what was wrong after it."""
    marks = mmap.mmap(-1, 8)
    deaths, began = Deaths(place, CASES[name], marks), time.monotonic()
    place.renew()
    deaths.again()
    wanted, died, answered, wrong = deaths.looked(), 0, 0, []
    for number in range(first, most, step):
        if not deaths.die_at(calls, number):
            break
        died, answered = died + 1, answered + marks[ANSWERED]
        deaths.again()
        if (found := deaths.looked()) != wanted or not found["same"]:
            wrong.append({"at": number, "found": found})
    return {
        "case": name,
        "calls": calls,
        "deaths": died,
        "of_them_answered": answered,
        "messages": len(wanted["told"]),
        "wrong": wrong,
        "seconds": round(time.monotonic() - began, 1),
    }


async def _append_anyhow(
    self: RedisStreams, stream: str, after: Position, entries: list[Entry], state: dict[str, Entry]
) -> Position | None:
    """Append as a textbook's outbox does: wherever the stream ends, with ids that Redis gives."""
    for entry in entries:
        fields: dict[Any, Any] = {"p": entry.payload, "h": entry.hash}
        await self._redis.xadd(stream, fields)
    return entries[-1].position


def prepared(folder: Path, redis: RedisServer) -> Place:
    """Make the database that each death begins with."""
    place = Place(folder, redis)
    (folder / "now").mkdir(parents=True)
    if _ended(forked(lambda: asyncio.run(_prepare(place)))):
        raise SystemExit("the database could not be prepared")
    shutil.move(folder / "now", folder / "first")
    return place


def main() -> int:
    """Kill every use case at all its calls; gives 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m deploy.chaos.sends")
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--case", choices=sorted(CASES), action="append")
    parser.add_argument("--calls", choices=[*CALLS, *PLAIN], action="append", help="strace is asked for the first two")
    parser.add_argument("--control", action="store_true", help="without compare-and-append: it has to go wrong")
    options = parser.parse_args()
    logs.configure("sends", "CRITICAL")
    if options.control:
        RedisStreams.append = _append_anyhow  # type: ignore[method-assign] # the control
    found = []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as redis:
        place = prepared(Path(folder) / "place", redis)
        for case in options.case or sorted(CASES):
            for calls in options.calls or (*CALLS, *PLAIN):
                found.append(every_send(place, case, calls, options.most, step=options.step))
                print(json.dumps(found[-1]), flush=True)
    return 1 if any(one["wrong"] or not one["deaths"] for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
