"""The hub of the month: a real server with the office's rules, and the office, which signs its roster each day."""

from contextlib import AbstractContextManager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis

from deploy.month.place import ROOT, identity_of, roots
from shared.embedded.redis import RedisServer
from shared.network import changes
from shared.network.held import sign_roster
from shared.network.hub.access import OFFICE, Access, HubMember
from shared.network.hub.acl import acl_file
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.names import ROSTER
from shared.network.roster import Roster, Status
from shared.network.roster_document import document_of

PASSWORD = "opens the hub of a test"  # noqa: S105 - a network of one machine


class MonthHub(AbstractContextManager["MonthHub"]):
    """A hub for some institutions, in a folder; `reachable` from other namespaces."""

    def __init__(self, folder: Path, slugs: tuple[str, ...], *, reachable: bool = False) -> None:
        folder.mkdir(parents=True)
        members = tuple(HubMember(slug, Status.ACTIVE, identity_of(slug).password_sha256) for slug in slugs)
        rules = folder / "users.acl"
        rules.write_text(acl_file(Access(members, sha256(PASSWORD.encode()).digest())), "utf-8")
        open_ = ("--bind", "0.0.0.0", "--protected-mode", "no") if reachable else ()  # noqa: S104 - namespaces of this machine
        self.server = RedisServer(folder, settings=("--aclfile", str(rules), *open_))
        self._roster: Roster | None = None
        self._slugs = slugs

    def __enter__(self) -> Self:
        """Start it."""
        self.server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop it."""
        self.server.stop()

    async def sign(self, now: datetime) -> None:
        """Sign the roster for another day."""
        if self._roster is None:
            self._roster = changes.first_roster(self._slugs[0], roots(), now)
            for slug in self._slugs:
                self._roster = changes.admit(self._roster, slug, identity_of(slug).public)
        self._roster = changes.issue(self._roster, now)
        document = document_of(self._roster)
        fields: dict[Any, Any] = {"p": document, "s": sign_roster(document, [ROOT])}
        async with connect_hub(self.server.url, OFFICE, PASSWORD) as client:
            await _put(client, f"1-{self._roster.version}", fields)

    async def ends(self, streams: list[str]) -> list[int]:
        """Give how far each stream is on the hub."""
        async with connect_hub(self.server.url, OFFICE, PASSWORD) as client:
            return [head.seq for head in await RedisHub(client).heads(streams)]


async def _put(client: Redis, id_: str, fields: dict[Any, Any]) -> None:
    await client.xadd(ROSTER, fields, id=id_)
