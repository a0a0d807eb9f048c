"""How the month's story has its nodes do something: in this program, or in a program of their own for each."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from inspect import isawaitable
from pathlib import Path
from typing import Any, Protocol

from deploy.chaos.space import BOTH, Space
from deploy.month.node import MonthNode
from deploy.month.place import Place
from shared.network.hub.streams import HubAway, HubStreams

COMMANDS = frozenset({"publish", "seal", "day", "trim", "far", "found"})


class Hand(Protocol):
    """A node as the story has it."""

    @property
    def slug(self) -> str:
        """Name its institution."""
        ...

    async def ask(self, what: str, *arguments: Any) -> Any:
        """Have the node do one of the COMMANDS; give its answer."""
        ...

    def cut(self) -> None:
        """Cut its line to the hub."""
        ...

    def mend(self) -> None:
        """Mend it."""
        ...


class Gate:
    """A line inside a program: while it is closed nothing that was asked of the hub is answered."""

    def __init__(self, hub: HubStreams) -> None:
        self._hub = hub
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        """Give a method of the hub, as it is through this line."""
        method = getattr(self._hub, name)

        def call(*arguments: Any) -> Any:
            answer = method(*arguments)
            return self._carried(answer) if isawaitable(answer) else answer

        return call

    async def _carried(self, answer: Any) -> Any:
        found = await answer
        if self.closed:
            raise HubAway("the line is cut")
        return found


class Here:
    """A node in this program."""

    def __init__(self, place: Place) -> None:
        self.slug = place.slug
        self._gates: list[Gate] = []
        self.node = MonthNode(place, self._gate)

    def _gate(self, hub: HubStreams) -> Gate:
        self._gates.append(Gate(hub))
        return self._gates[-1]

    async def ask(self, what: str, *arguments: Any) -> Any:
        """Have the node do something."""
        return await getattr(self.node, what)(*arguments)

    def cut(self) -> None:
        """Cut its line."""
        for gate in self._gates:
            gate.closed = True

    def mend(self) -> None:
        """Mend it."""
        for gate in self._gates:
            gate.closed = False


class Apart:
    """A node in a program of its own, in a network namespace of its own."""

    def __init__(self, place: Place, space: Space, hub_port: int) -> None:
        self.slug = place.slug
        self.space = space
        self._place, self._port = place, hub_port
        self._process: Process | None = None
        self._lock = asyncio.Lock()

    async def begin(self) -> None:
        """Start the program and wait until its node works."""
        words = (*self.space.within, sys.executable, "-m", "deploy.month.program", str(self._place.write()))
        with (Path(self._place.folder) / "node.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, stderr=log)
        await self._answer()

    async def ask(self, what: str, *arguments: Any) -> Any:
        """Have the node do something."""
        async with self._lock:
            assert self._process is not None  # noqa: S101 - begun
            assert self._process.stdin is not None  # noqa: S101 - as above
            self._process.stdin.write(json.dumps([what, *arguments]).encode() + b"\n")
            await self._process.stdin.drain()
            return await self._answer()

    async def _answer(self) -> Any:
        assert self._process is not None  # noqa: S101 - begun
        assert self._process.stdout is not None  # noqa: S101 - as above
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.slug} has ended: see {self._place.folder}/node.log")
        return json.loads(line)

    def cut(self) -> None:
        """Lose every packet between the node and the hub."""
        self.space.cut(self._port, BOTH)

    def mend(self) -> None:
        """Lose none any more."""
        self.space.mend()

    async def end(self) -> None:
        """End the program."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
