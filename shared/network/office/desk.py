"""The office's desk and a joining node's counter, on the hub."""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from shared.kit.streams import Position
from shared.network.hub.access import Access, access_of
from shared.network.hub.acl_load import read_rules
from shared.network.hub.hub import HubFolder, write_acl
from shared.network.hub.on_redis import RedisHub, from_hub
from shared.network.names import ROSTER, join_hash
from shared.network.office.store import Invited
from shared.network.roster import Roster


class RedisDesk:
    """What the office's user does on the hub; its rules lie in a file that the hub reads."""

    def __init__(self, client: Redis, folder: HubFolder) -> None:
        self._redis: Any = client
        self._hub = RedisHub(client)
        self._folder = folder
        self._loaded: Access | None = None

    async def version(self) -> int:
        """Give the version of the last roster on the hub; 0 for none."""
        [head] = await self._hub.heads([ROSTER])
        return head.seq

    async def put_roster(self, version: int, document: bytes, signatures: bytes) -> None:
        """Append a roster; one of an earlier or the same version is refused by the hub."""
        await self._redis.xadd(ROSTER, {"p": document, "s": signatures}, id=f"1-{version}")

    async def asked(self, slug: str) -> Mapping[str, bytes]:
        """Give what an institution asks: the fields of its hash."""
        fields = ("request", "rotate", "retire")
        found = {field: await from_hub(self._redis.hget(join_hash(slug), field)) for field in fields}
        return {field: value for field, value in found.items() if value is not None}

    async def answered(self, slug: str, field: str) -> None:
        """Take away what has been answered."""
        await from_hub(self._redis.hdel(join_hash(slug), field))

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the last position of each stream."""
        return await self._hub.heads(streams)

    async def load_accounts(self, roster: Roster, invited: Sequence[Invited], accounts: Mapping[str, bytes]) -> None:
        """Write who may do what on the hub, and have the hub read it."""
        secrets = {one.slug: one.secret_sha256 for one in invited}
        access = access_of(roster, accounts, secrets, self._folder.password_sha256())
        if access == self._loaded:
            return
        write_acl(self._folder, access)
        await read_rules(self._redis)
        self._loaded = access


class RedisCounter:
    """What a node does on the hub before it is admitted, and to change its keys."""

    def __init__(self, client: Redis) -> None:
        self._redis: Any = client
        self._hub = RedisHub(client)

    async def ask(self, slug: str, field: str, document: bytes) -> None:
        """Write what the node asks."""
        await from_hub(self._redis.hset(join_hash(slug), field, document))

    async def rosters(self, after_version: int) -> list[tuple[bytes, bytes]]:
        """Give rosters behind a version, in order."""
        return await self._hub.rosters(after_version)
