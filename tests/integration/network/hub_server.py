"""A hub as a real server: who may come in, and clients for them."""

from dataclasses import dataclass, field
from hashlib import sha256

from redis.asyncio import Redis

from shared.embedded.redis import RedisServer
from shared.network.hub.access import Access, HubMember
from shared.network.hub.acl import acl_file
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.names import ROSTER
from shared.network.roster import Status
from tests.unit.network.network_sample import AWO, KARGAH, VHS, identity

TESTER = "tester"


def rules() -> str:
    """Write the access rules of three institutions, and of a tester who may do anything."""
    members = tuple(HubMember(slug, Status.ACTIVE, identity(slug).password_sha256) for slug in (AWO, VHS, KARGAH))
    hashed = sha256(TESTER.encode()).hexdigest()
    return acl_file(Access(members, bytes(32))) + f"user {TESTER} on #{hashed} ~* &* +@all\n"


@dataclass
class HubServer:
    """The server, and what the tests need of it."""

    server: RedisServer
    clients: list[Redis] = field(default_factory=list)

    def client(self, user: str, password: str) -> Redis:
        """Open a client that the caller need not close."""
        self.clients.append(connect_hub(self.server.url, user, password))
        return self.clients[-1]

    def as_user(self, slug: str) -> RedisHub:
        """Give the hub as an institution's user sees it."""
        return RedisHub(self.client(slug, identity(slug).password))

    async def put_roster(self, version: int, document: bytes, signatures: bytes) -> None:
        """Publish a roster, as the office does."""
        tester = self.client(TESTER, TESTER)
        await tester.xadd(ROSTER, {"p": document, "s": signatures}, id=f"1-{version}")

    async def wipe(self, *, rosters: bool = False) -> None:
        """Lose all that institutions wrote."""
        tester = self.client(TESTER, TESTER)
        names = [name for name in await tester.keys("album:1:*") if rosters or name != ROSTER.encode()]
        if names:
            await tester.delete(*names)

    async def close(self) -> None:
        """Close all clients."""
        for client in self.clients:
            await client.aclose()
        self.clients.clear()
