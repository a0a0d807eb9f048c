"""Lives and deaths of one case: a fork that is killed at its n-th call, one that is asked again, and what they left."""

import asyncio
import itertools
import json
import mmap
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from deploy.chaos.sends.judging import Picture, picture, told_on
from deploy.chaos.sends.place import Place
from deploy.chaos.sends.turning import settle
from shared.kit.http import application
from shared.kit.node import Node, build

CALLS = {"sends": "sendto,sendmsg", "file": "pwrite64,fdatasync,fsync"}
BEFORE, AFTER = "before a send", "after a send"
PLAIN = (BEFORE, AFTER)
ANSWERED, DONE = 0, 1


class Lives:
    """What the process of a case does, built once: each life is a fork with everything at hand and nothing opened."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.marks = mmap.mmap(-1, 8)
        self._node: Node[Any] = build(place.service, place.settings())
        self._node.kept["hub"] = place.servers.hub.url
        self._app = application(self._node)
        place.renew()
        # Routes and statements are put together at their first use: once here, and not in every life.
        asyncio.run(self._rehearsal())
        # What a process remembers of its streams ends with it: no life may know what another one saw.
        fresh = build(place.service, place.settings())
        self._node.relay, self._node.lease = fresh.relay, fresh.lease
        self._node.subscriptions = fresh.subscriptions

    async def _rehearsal(self) -> None:
        await self._live(before=False)
        await self._node.redis.aclose()
        await self._node.database.close()

    async def _live(self, *, before: bool) -> list[Any]:
        """Ask for what the case asks for, and let the service's turns work."""
        known, node, case = dict(self.place.known), self._node, self.place.case
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as api:
            answers = [
                await ask.send(api, known, f"key {number}", before=before) for number, ask in enumerate(case.act)
            ]
        self.marks[ANSWERED] = 1
        await settle(node, case.turns)
        self.marks[DONE] = 1
        return answers

    async def _whole_life(self) -> None:
        await self._live(before=False)
        await closed(self._node)

    async def _life_after(self) -> Picture:
        answers = await self._live(before=True)
        place, mask = self.place, self.place.mask
        found = await picture(self._node, mask)
        await closed(self._node)
        found["told"] = {url: told_on(url, mask) for url in place.servers.redis_urls}
        found["answers"] = mask(json.dumps(answers))
        found["mails"] = sorted(one.read_text("utf-8", "replace") for one in place.servers.mails.glob("*.eml"))
        found["pushes"] = {one.name: one.read_text("utf-8") for one in sorted(place.servers.pushes.iterdir())}
        return found

    def _found(self) -> Picture:
        try:
            return asyncio.run(self._life_after())
        except Exception as error:
            # Whatever keeps the second life from its end is what this looks for.
            return {"fault": f"{type(error).__name__}: {error}"}

    def after(self) -> Picture:
        """Start the process anew, as a supervisor does, and ask again, as a client does; gives what is there then."""
        path = self.place.folder / "found.json"
        path.unlink(missing_ok=True)
        code = ended(forked(lambda: path.write_text(json.dumps(self._found()), "utf-8")))
        found: Picture = json.loads(path.read_text("utf-8")) if code == 0 else {"fault": f"ended with {code}"}
        return found

    def die_at(self, calls: str, number: int) -> bool:
        """Live anew and end at the n-th call; tell whether it died before it was done."""
        self.place.renew()
        self.marks[ANSWERED] = self.marks[DONE] = 0
        if calls in PLAIN:
            ended(forked(lambda: _dying_at(number, self._whole_life(), calls)))
        else:
            _under_strace(CALLS[calls], number, lambda: asyncio.run(self._whole_life()))
        return not self.marks[DONE]


async def closed(node: Node[Any]) -> None:
    """Close what a node holds open."""
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


def ended(child: int) -> int:
    """Wait for the end of a child; gives its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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


def _under_strace(calls: str, number: int, do: Callable[[], Any]) -> None:
    read, write = os.pipe()
    child = forked(do, read)
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
        ended(child)
