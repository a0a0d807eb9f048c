"""The network between processes and servers: it loses, repeats, delays and cuts, as the seed says."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import partial
from random import Random
from typing import Any, Protocol

from deploy.simulation.trace import Trace
from shared.kit.errors import Transient
from shared.kit.streams import Position

# These change something at the server: to do them twice or too late is what a fault of the network can do.
WRITES = frozenset({"append", "keep_state", "beat", "trim", "remove"})


class Cut(StrEnum):
    """Which way is cut between a process's machine and a server."""

    BOTH = "both"
    REQUESTS = "requests"
    ANSWERS = "answers"


@dataclass(frozen=True)
class Rates:
    """How probable each fault of a single call is, from 0 to 1."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    late_request: float = 0.0
    repeated: float = 0.0
    slow: float = 0.0
    crash_before: float = 0.0
    crash_after: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> "Rates":
        """Draw how bad the network is: some kinds of faults are absent, some frequent."""
        rates = {each.name: random.choice((0.0, 0.02, 0.1)) for each in fields(cls)}
        rates["lost_request"] = random.choice((0.0, 0.02, 0.1, 0.3))
        rates["repeated"] = random.choice((0.0, 0.05, 0.2, 0.5))
        for name in ("crash_before", "crash_after"):
            rates[name] = random.choice((0.0, 0.0, 0.002, 0.01))
        return replace(cls(), **rates)


class Caller(Protocol):
    """The process that calls."""

    name: str
    place: str

    async def awake(self) -> None:
        """Wait while the process is stopped; raises CancelledError where it is dead."""
        ...

    def crash(self) -> None:
        """Die."""
        ...


class Network:
    """Carries calls to servers."""

    def __init__(self, random: Random, trace: Trace, rates: Rates) -> None:
        self.rates = rates
        self.cuts: dict[tuple[str, str], Cut] = {}
        self._random = random
        self._trace = trace
        self._under_way: defaultdict[str, list[asyncio.TimerHandle]] = defaultdict(list)

    def calm(self) -> None:
        """Stop doing harm."""
        self.rates = Rates()
        self.cuts.clear()

    def drop_late(self, place: str) -> None:
        """Drop what is still under way from a machine: to restore a backup takes longer than any request."""
        for late in self._under_way.pop(place, []):
            late.cancel()

    def mend(self, place: str, server: str) -> None:
        """Connect a machine to a server again."""
        self.cuts.pop((place, server), None)

    async def call(self, caller: Caller, server: Any, method: str, *arguments: Any) -> Any:
        """Call a method of a server; raises Transient where no answer comes, though it may have been done."""
        await self._travel()
        await caller.awake()
        fate = self._fate(method)
        away: type[Transient] = getattr(server, "away", Transient)
        cut = self.cuts.get((caller.place, server.name))
        line = f"{caller.name} {server.name}.{method} {_word(arguments)}"
        if cut in (Cut.BOTH, Cut.REQUESTS) or server.down or fate == "lost_request":
            return await self._no_answer(
                caller, away, "lost_request" if fate == "lost_request" else "cut_request", line
            )
        if fate == "late_request":
            delay = self._random.uniform(0.1, 10.0)
            late = partial(self._late, server, method, arguments, line)
            self._under_way[caller.place].append(asyncio.get_running_loop().call_later(delay, late))
            return await self._no_answer(caller, away, fate, line)
        if fate == "crash_before":
            self._die(caller, fate, line)
        answer = await self._effect(server, method, arguments)
        self._trace.note(f"{line} = {_short(answer)}")
        if fate == "repeated":
            self._trace.fault(fate, line)
            answer = await self._effect(server, method, arguments)
        if fate == "crash_after":
            self._die(caller, fate, line)
        if cut is Cut.ANSWERS or fate == "lost_answer":
            return await self._no_answer(caller, away, "lost_answer" if fate == "lost_answer" else "cut_answer", line)
        await self._travel()
        await caller.awake()
        return answer

    async def _effect(self, server: Any, method: str, arguments: tuple[Any, ...]) -> Any:
        return await getattr(server, method)(*arguments)

    async def _travel(self) -> None:
        slow = self._random.random() < self.rates.slow
        await asyncio.sleep(self._random.uniform(0.2, 3.0) if slow else self._random.uniform(0.0002, 0.02))

    async def _no_answer(self, caller: Caller, away: type[Transient], kind: str, line: str) -> None:
        self._trace.fault(kind, line)
        await asyncio.sleep(self._random.uniform(0.05, 1.0))
        await caller.awake()
        raise away(f"no answer: {kind}")

    def _die(self, caller: Caller, kind: str, line: str) -> None:
        self._trace.fault(kind, line)
        caller.crash()
        raise asyncio.CancelledError

    def _late(self, server: Any, method: str, arguments: tuple[Any, ...], line: str) -> None:
        if server.down:
            return
        doing = getattr(server, method)(*arguments)
        try:
            doing.send(None)
        except StopIteration as end:
            self._trace.note(f"late {line} = {_short(end.value)}")

    def _fate(self, method: str) -> str | None:
        drawn, rates = self._random.random(), self.rates
        for name in ("lost_request", "lost_answer", "late_request", "repeated", "crash_before", "crash_after"):
            drawn -= getattr(rates, name)
            if drawn < 0:
                return name if method in WRITES or name not in ("late_request", "repeated") else None
        return None


class Wire:
    """One process's connection to a server: the server's methods, carried by the network."""

    def __init__(self, network: Network, caller: Caller, server: Any) -> None:
        self._network = network
        self._caller = caller
        self._server = server

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the ends of streams; of none without asking anybody, as an empty pipeline of redis-py does."""
        if not streams:
            return []
        found: list[Position] = await self._network.call(self._caller, self._server, "heads", streams)
        return found

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Give a method of the server, to be called through the network."""
        return partial(self._network.call, self._caller, self._server, method)


def _word(arguments: tuple[Any, ...]) -> str:
    return " ".join(str(one) for one in arguments if isinstance(one, str | tuple | int))


def _short(answer: Any) -> str:
    if isinstance(answer, list | dict):
        return f"{len(answer)}"
    return str(answer) if answer is None or isinstance(answer, tuple | int) else type(answer).__name__
