"""What the office does with its hub: it puts together who may come in, has the hub read it, and has it judged."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from redis.asyncio import Redis

from shared.embedded.redis import RedisServer
from shared.kit.command import on_database, services
from shared.kit.database import Database
from shared.network.hub.access import OFFICE, Access, HubMember, access_of
from shared.network.hub.acl import acl_file
from shared.network.hub.acl_check import Judgement, check
from shared.network.hub.acl_load import read_rules
from shared.network.hub.hub import HubFolder, open_hub, write_acl
from shared.network.hub.on_redis import connect_hub
from shared.network.office.store import OfficeStore
from shared.network.roster import Status
from shared.network.roster_document import parse_roster

T = TypeVar("T")

# The members of 2021: a machine without a hub judges the rules of a network of this size.
THIRTEEN = (
    *("adv-nord", "amfn", "arbeit-und-leben", "awo", "bildungsverein", "can-arkadas", "kargah", "leine-vhs"),
    *("tolstoi", "vhs-calenberger-land", "vhs-hannover", "vhs-hannover-land", "vnb"),
)


def known_access(folder: HubFolder) -> Access:
    """Put together what the office's node has decided; before the first roster only who is invited comes in."""
    password = folder.password_sha256()

    async def read(database: Database) -> Access:
        return await stored_access(database, password, datetime.now(UTC))

    return on_database(services()["members"], read)


async def stored_access(database: Database, office_sha256: bytes, now: datetime) -> Access:
    """Read who may come in from the office's tables; invitations that have ended stay out."""
    async with database.reading() as connection:
        store = OfficeStore(connection)
        newest, accounts = await store.newest(), await store.accounts()
        invited = {one.slug: one.secret_sha256 for one in await store.invitations() if one.until > now}
    if newest is None:
        return Access((), office_sha256, invited)
    return access_of(parse_roster(newest.document), accounts, invited, office_sha256)


def load_rules(folder: HubFolder, address: str, ca: str, access: Access) -> bool:
    """Write the rules and have the hub read them; False where they were the same. They hold at once, for all."""
    changed = write_acl(folder, access)
    on_hub(folder, address, ca, read_rules)
    return changed


def judge_hub(folder: HubFolder, address: str, ca: str, access: Access) -> Judgement:
    """Ask the running hub."""
    return on_hub(folder, address, ca, lambda redis: check(redis, access))


def judge_thirteen() -> Judgement:
    """Start a server on the rules of thirteen institutions, one invited, one suspended, one gone, and ask that."""
    access = thirteen()

    async def ask(url: str) -> Judgement:
        redis = connect_hub(url, OFFICE, OFFICE)
        try:
            return await check(redis, access)
        finally:
            await redis.aclose()

    with tempfile.TemporaryDirectory(prefix="album-acl-") as place:
        rules = Path(place) / "users.acl"
        rules.write_text(acl_file(access), "utf-8")
        with RedisServer(Path(place) / "redis", settings=("--aclfile", str(rules))) as server:
            return asyncio.run(ask(server.url))


def thirteen() -> Access:
    """Give who comes to a hub of thirteen; each password is the user's name."""

    def member(slug: str, status: Status = Status.ACTIVE) -> HubMember:
        return HubMember(slug, status, _hash(slug))

    members = [*map(member, THIRTEEN), member("away", Status.SUSPENDED), member("gone", Status.LEFT)]
    return Access(tuple(members), _hash(OFFICE), {"invited": _hash("join-invited")})


def on_hub(folder: HubFolder, address: str, ca: str, do: Callable[[Redis], Awaitable[T]]) -> T:
    """Do something on the hub as the office."""

    async def run() -> T:
        redis = open_hub(folder, address, ca)
        try:
            return await do(redis)
        finally:
            await redis.aclose()

    return asyncio.run(run())


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()
