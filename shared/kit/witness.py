"""Who knows what this node published before: its own Redis, and beyond the node the network's hub."""

import base64
from dataclasses import dataclass
from typing import Protocol

import httpx

from shared.kit.errors import Transient
from shared.kit.streams import START, Entry, Position, Streams


@dataclass(frozen=True)
class Head:
    """Where a witness saw a stream end; no hash where it cannot compare what it holds with our log."""

    position: Position
    hash: bytes | None


class WitnessRefuses(Exception):  # noqa: N818 - an answer: waiting does not change it
    """A witness says nothing of a stream, however long it is waited for: the hub does not let its institution in."""


class Witness(Protocol):
    """Somebody who holds what a stream's writer may have lost."""

    async def head(self, stream: str) -> Head | None:
        """Give the end of a stream as far as the witness knows; None while it can say nothing, or WitnessRefuses."""
        ...

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position."""
        ...


class StreamsWitness:
    """The Redis of the node: it may hold more than a database that came from a backup."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def head(self, stream: str) -> Head | None:
        """Give the end of a stream; its hash is gone where the entry is trimmed."""
        [position] = await self._streams.heads([stream])
        if position == START:
            return Head(START, None)
        last = await self._streams.read(stream, Position(position.epoch, position.seq - 1), 1)
        return Head(position, last[0].hash if last and last[0].position == position else None)

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position."""
        return await self._streams.read(stream, after, count)


class HubWitness:
    """The network's hub, as the node's link sees it; asked through the service members."""

    def __init__(self, members: str, key: str, http: httpx.AsyncClient) -> None:
        self._url = members
        self._headers = {"Authorization": f"Bearer {key}"}
        self._http = http

    async def head(self, stream: str) -> Head | None:
        """Give the end of a stream on the hub; None while members or the hub cannot be reached, or WitnessRefuses."""
        try:
            answer = await self._http.get(f"{self._url}/hub/head", params={"stream": stream}, headers=self._headers)
            answer.raise_for_status()
        except httpx.HTTPError:
            return None
        body = answer.json()
        if body.get("refused"):
            raise WitnessRefuses(f"the hub tells nothing of {stream}")
        if not body["reached"]:
            return None
        return Head(Position.parse(body["head"]), bytes.fromhex(body["hash"]) if body.get("hash") else None)

    async def read(self, stream: str, after: Position, count: int) -> list[Entry]:
        """Give up to `count` entries behind a position; raises Transient where the hub does not answer."""
        query = {"stream": stream, "after": str(after), "count": str(count)}
        try:
            answer = await self._http.get(f"{self._url}/hub/log", params=query, headers=self._headers)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Transient(f"the hub's log of {stream} does not answer: {type(error).__name__}") from error
        return [
            Entry(Position.parse(one["id"]), base64.b64decode(one["p"]), bytes.fromhex(one["h"]))
            for one in answer.json()["entries"]
        ]

    async def remove(self, stream: str, positions: list[Position]) -> None:
        """Have entries of a box erased on the hub; raises Transient where members does not answer."""
        body = {"stream": stream, "positions": [str(position) for position in positions]}
        try:
            answer = await self._http.post(f"{self._url}/hub/removals", json=body, headers=self._headers)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Transient(f"entries of {stream} are not erased on the hub yet: {type(error).__name__}") from error

    async def key_of(self, institution: str, kid: str) -> bytes | None:
        """Give the key that verifies what an institution signed; None where the roster held here does not know it."""
        query = {"institution": institution, "kid": kid}
        try:
            answer = await self._http.get(f"{self._url}/hub/key", params=query, headers=self._headers)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Transient(f"members does not tell keys at the moment: {type(error).__name__}") from error
        found = answer.json()["ed25519"]
        return bytes.fromhex(found) if found else None
