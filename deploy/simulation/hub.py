"""The hub in a simulated world: the memory hub with its walls, which can lose data, and an operator who can lie."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

from deploy.simulation.network import Caller, Network, Wire
from deploy.simulation.redis import at_once
from shared.kit.streams import START, Position
from shared.network.entries import SignedEntry
from shared.network.hub.in_memory import MemoryHub
from shared.network.hub.streams import HubAway

_WRITES = frozenset({"append", "keep_state", "beat", "trim", "remove"})


class SimHub(MemoryHub):
    """The hub with the list of all writes, which is what its append-only file is."""

    name = "hub"

    def __init__(self) -> None:
        self.down = False
        self.written: list[tuple[str, str, tuple[Any, ...]]] = []
        super().__init__()

    def lose(self, writes: int) -> None:
        """Come back without the last writes."""
        kept = self.written[: max(0, len(self.written) - writes)]
        self.wipe()
        self.written = []
        for user, method, arguments in kept:
            at_once(getattr(Door(self, user), method)(*arguments))
        self.wake()

    def lose_all(self) -> None:
        """Come back without anything that institutions wrote."""
        self.lose(len(self.written))

    def disconnect(self) -> None:
        """Let everybody go who waits."""
        self.wake()

    def forge(self, stream: str, forged: SignedEntry) -> None:
        """Write an entry past all walls, as who runs the hub can."""
        self.entries[stream].append(forged)
        self.ends[stream] = max(self.ends.get(stream, START), forged.position)
        self.wake()


class Door:
    """The hub as one user comes to it; what is written is noted."""

    away = HubAway

    def __init__(self, hub: SimHub, user: str) -> None:
        self.name = hub.name
        self._hub = hub
        self._user = user
        self._inside = hub.as_user(user)

    @property
    def down(self) -> bool:
        """Tell whether the hub is away."""
        return self._hub.down

    def __getattr__(self, method: str) -> Any:
        """Give a method of the hub."""
        return partial(self._done, method)

    async def _done(self, method: str, *arguments: Any) -> Any:
        answer = await getattr(self._inside, method)(*arguments)
        if method in _WRITES and (method != "append" or answer is not None):
            self._hub.written.append((self._user, method, arguments))
        return answer


class HubWire(Wire):
    """A process's connection to the hub as one of its users."""

    def __init__(self, network: Network, caller: Caller, hub: SimHub, user: str) -> None:
        super().__init__(network, caller, Door(hub, user))

    async def state_pages(self, stream: str) -> AsyncIterator[dict[str, SignedEntry]]:
        """Give the state, in pages of one key so that others act in between."""
        everything = await self.state(stream)
        for start in range(0, len(everything), 3):
            yield dict(list(everything.items())[start : start + 3])


def changed(entry: SignedEntry) -> SignedEntry:
    """Give an entry with one bit of its payload turned."""
    payload = bytearray(entry.payload)
    payload[len(payload) // 2] ^= 1
    return replace(entry, payload=bytes(payload))


def moved(entry: SignedEntry) -> SignedEntry:
    """Give an entry at the place behind its own."""
    return replace(entry, position=Position(entry.position.epoch, entry.position.seq + 1))
