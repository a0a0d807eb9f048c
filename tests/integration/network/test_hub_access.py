"""A real server with the files that `album hub init` writes: each institution does what it may, and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from typer.testing import CliRunner

from shared.embedded.ports import HOST, free_port
from shared.embedded.process import ServerProcess
from shared.embedded.redis import answers, find_binary
from shared.kit import migrate
from shared.kit.command import services
from shared.kit.database import Database
from shared.kit.streams import GENESIS, START, Position
from shared.network import changes
from shared.network.beats import Beat, beat_payload
from shared.network.commands import network as network_app
from shared.network.hub import acl_check, keeping
from shared.network.hub.access import OFFICE, Access, HubMember
from shared.network.hub.acl import acl_file
from shared.network.hub.acl_load import read_rules
from shared.network.hub.commands import hub as hub_app
from shared.network.hub.hub import HubFolder, make_hub, write_acl
from shared.network.hub.keeping import judge_thirteen
from shared.network.hub.on_redis import RedisHub, connect_hub
from shared.network.names import ROSTER, box_stream, join_hash, pub_stream
from shared.network.office.store import Invited, Issued, OfficeStore
from shared.network.roster import Status
from shared.network.signing import sign_beat, sign_entry
from tests.conftest import STARTED
from tests.unit.network.network_sample import AWO, KARGAH, NOW, STREAM, VHS, identity, network, signed, written

MEMBERS = (AWO, VHS, KARGAH)
NEWCOMER = "vnb"


@dataclass
class Hub:
    """A hub with three institutions and one invited, each with its name as its password."""

    folder: HubFolder
    access: Access
    server: ServerProcess
    url: str

    def client(self, user: str, password: str | None = None) -> Redis:
        """Connect as a user."""
        return connect_hub(self.url, user, user if password is None else password)

    async def load(self, access: Access) -> None:
        """Have the running hub read other rules."""
        write_acl(self.folder, access)
        async with self.client(OFFICE, self.folder.password()) as office:
            await read_rules(office)


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Start a server on the very settings and rules that are written for an office."""
    folder, port = HubFolder(tmp_path_factory.mktemp("hub") / "hub"), free_port()
    make_hub(folder, random=Random(1).randbytes, bind=HOST, port=port)
    members = tuple(HubMember(slug, Status.ACTIVE, _hash(slug)) for slug in MEMBERS)
    access = Access(members, folder.password_sha256(), {NEWCOMER: _hash(f"join-{NEWCOMER}")})
    write_acl(folder, access)
    binary = find_binary()
    STARTED["the hub"] = binary.origin
    process = ServerProcess([str(binary.path), str(folder.conf)], folder.path / "log", lambda: answers(HOST, port))
    process.start()
    yield Hub(folder, access, process, f"redis://{HOST}:{port}")
    process.stop()


@pytest.fixture
async def hub(server: Hub) -> Hub:
    """Give the hub with its first rules, whatever a test before did with them."""
    await server.load(server.access)
    return server


ENTRIES = written(identity(AWO))


async def test_an_institution_writes_its_own_streams(hub: Hub) -> None:
    """Append, state, heartbeat, trim and reading work as the link does them."""
    async with hub.client(AWO) as client:
        mine = RedisHub(client)
        state = {f"run_{entry.position.seq}": entry for entry in ENTRIES}
        assert await mine.append(STREAM, START, ENTRIES, state) == Position(1, 3)
        assert await mine.append(STREAM, START, ENTRIES, state) is None
        await mine.keep_state(STREAM, {"run_1": ENTRIES[0]})
        beat = sign_beat(identity(AWO), STREAM, beat_payload(Beat(Position(1, 3), b"", 3, "", NOW)))
        await mine.beat(STREAM, beat)
        await mine.trim(STREAM, Position(1, 2))
    async with hub.client(VHS) as client:
        theirs = RedisHub(client)
        assert await theirs.read(STREAM, START, 10) == ENTRIES[1:]
        assert await theirs.state(STREAM) == state
        assert await theirs.heartbeat(STREAM) == beat
        assert await theirs.heads([STREAM, pub_stream(KARGAH, "courses")]) == [Position(1, 3), START]


async def test_a_box_is_written_by_one_and_read_by_one(hub: Hub) -> None:
    """The sender appends, reads and removes; the receiver reads; the third institution sees nothing."""
    box = box_stream(VHS, AWO)
    entry = sign_entry(identity(AWO), box, Position(1, 1), GENESIS, b"sealed")
    async with hub.client(AWO) as client:
        assert await RedisHub(client).append(box, START, [entry], {}) == Position(1, 1)
        assert await RedisHub(client).read(box, START, 10) == [entry]
    async with hub.client(VHS) as client:
        both = {box: START, pub_stream(AWO, "members"): START, ROSTER: START}
        assert await RedisHub(client).read_many(both, 10, 10) == {box: [entry]}
        with pytest.raises(NoPermissionError):
            await client.xdel(box, "1-1")
    async with hub.client(KARGAH) as client:
        with pytest.raises(NoPermissionError):
            await client.xrange(box)
    async with hub.client(AWO) as client:
        await RedisHub(client).remove(box, [Position(1, 1)])
        assert await RedisHub(client).read(box, START, 10) == []


async def test_who_is_invited_leaves_a_request_and_the_office_answers(hub: Hub) -> None:
    """The newcomer sees its own hash and the roster; the office reads it, answers, and appends a roster."""
    async with hub.client(f"join-{NEWCOMER}") as newcomer, hub.client(OFFICE, hub.folder.password()) as office:
        await newcomer.hset(join_hash(NEWCOMER), "request", "{}")
        assert await office.hget(join_hash(NEWCOMER), "request") == b"{}"
        await office.hdel(join_hash(NEWCOMER), "request")
        await office.xadd(ROSTER, {"p": "{}", "s": "[]"}, id="1-1")
        assert await RedisHub(newcomer).rosters(0) == [(b"{}", b"[]")]
        for forbidden in (newcomer.xrange(STREAM), newcomer.hset(join_hash(AWO), "request", "{}")):
            with pytest.raises(NoPermissionError):
                await forbidden
    async with hub.client(AWO) as member:
        await member.hset(join_hash(AWO), "rotate", "{}")
        with pytest.raises(NoPermissionError):
            await member.hget(join_hash(NEWCOMER), "request")


FORBIDDEN: tuple[tuple[str, ...], ...] = (
    ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "{own}", ">"),
    ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "{their}", ">"),
    ("XGROUP", "CREATE", "{own}", "g", "0"),
    ("XADD", "{their}", "9-1", "p", "x"),
    ("XADD", "{their}", "MAXLEN", "0", "9-1", "p", "x"),
    ("XADD", "{to_me}", "9-1", "p", "x"),
    ("XADD", "{between}", "9-1", "p", "x"),
    ("XADD", ROSTER, "9-1", "p", "x"),
    ("XRANGE", "{between}", "-", "+"),
    ("XREAD", "STREAMS", "{their}", "{between}", "0", "0"),
    ("XTRIM", "{their}", "MAXLEN", "0"),
    ("XDEL", "{their}", "1-1"),
    ("XDEL", "{own}", "1-1"),
    ("XSETID", "{own}", "99-1"),
    ("HSET", "{their}:state", "x", "x"),
    ("HSET", "{their}:heartbeat", "p", "x"),
    ("WATCH", "{their}"),
    ("DEL", "{own}"),
    ("DEL", "{their}"),
    ("UNLINK", "{own}"),
    ("EXPIRE", "{own}", "1"),
    ("COPY", "{their}", "{own}:copy"),
    ("COPY", "{own}", "{their}", "REPLACE"),
    ("RENAME", "{own}", "{their}"),
    ("RENAME", "{their}", "{own}"),
    ("RESTORE", "{own}", "0", "x"),
    ("SET", "{own}", "x"),
    ("GET", "{own}"),
    ("TYPE", "{own}"),
    ("OBJECT", "ENCODING", "{own}"),
    ("SORT", "{own}", "STORE", "{own}"),
    ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "{own}"),
    ("EVAL", "return redis.call('FLUSHALL')", "0"),
    ("FUNCTION", "LIST"),
    ("SCRIPT", "FLUSH"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("SELECT", "1"),
    ("SWAPDB", "0", "1"),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "aclfile", "x"),
    ("ACL", "LIST"),
    ("ACL", "LOAD"),
    ("ACL", "SAVE"),
    ("ACL", "SETUSER", "awo", "+@all"),
    ("ACL", "GETUSER", "awo"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "LIST"),
    ("CLIENT", "PAUSE", "1000"),
    ("SUBSCRIBE", "x"),
    ("PSUBSCRIBE", "*"),
    ("PUBLISH", "x", "y"),
    ("MONITOR",),
    ("SHUTDOWN", "NOSAVE"),
    ("SAVE",),
    ("BGREWRITEAOF",),
    ("REPLICAOF", "NO", "ONE"),
    ("MODULE", "LIST"),
    ("MIGRATE", "127.0.0.1", "1", "{own}", "0", "1"),
    ("INFO",),
    ("SLOWLOG", "GET"),
)


@pytest.mark.parametrize("who", MEMBERS)
async def test_every_institution_is_refused_what_it_may_not_do(hub: Hub, who: str) -> None:
    """Each command of the list, on its own things and on those of others, one by one."""
    other, third = [slug for slug in MEMBERS if slug != who]
    names = {
        "{own}": pub_stream(who, "courses"),
        "{their}": pub_stream(other, "courses"),
        "{to_me}": box_stream(who, other),
        "{between}": box_stream(other, third),
    }
    async with hub.client(who) as client:
        for command in FORBIDDEN:
            words = [_filled(word, names) for word in command]
            with pytest.raises(NoPermissionError):
                await _call(client, *words)
        assert await client.ping()


def _filled(word: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word


async def _call(client: Redis, *words: str) -> Any:
    return await client.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py has no types for it


async def test_nobody_comes_in_without_a_name_or_with_another_ones_password(hub: Hub) -> None:
    """The user `default` is closed, and so is one whose invitation is another's."""
    async with Redis.from_url(hub.url) as nobody:
        with pytest.raises(AuthenticationError):
            await nobody.ping()
    for user, password in ((AWO, VHS), ("default", ""), (f"join-{NEWCOMER}", "x"), ("nobody", "x")):
        async with hub.client(user, password) as client:
            with pytest.raises(RedisError):
                await client.ping()


async def test_a_suspended_institution_is_out_at_once_and_comes_back(hub: Hub) -> None:
    """Also a connection that is open already does nothing more; without loading the rules it would (the control)."""
    closed = (replace(hub.access.members[0], status=Status.SUSPENDED), *hub.access.members[1:])
    async with hub.client(AWO) as client:
        assert await client.xlen(STREAM) >= 0
        write_acl(hub.folder, replace(hub.access, members=closed))
        assert await client.xlen(STREAM) >= 0
        await hub.load(replace(hub.access, members=closed))
        with pytest.raises(RedisError):
            await client.xlen(STREAM)
        with pytest.raises(RedisError):
            await client.ping()
        await hub.load(hub.access)
        assert await client.xlen(STREAM) >= 0


async def test_rules_that_cannot_be_read_change_nothing(hub: Hub) -> None:
    """A damaged file is refused whole; everybody goes on with the rules from before."""
    kept = hub.folder.acl.read_text("utf-8")
    hub.folder.acl.write_text(kept + "user kargah on +nonsense\n", "utf-8")
    async with hub.client(OFFICE, hub.folder.password()) as office, hub.client(KARGAH) as client:
        with pytest.raises(RedisError):
            await read_rules(office)
        assert await client.ping()
    hub.folder.acl.write_text(kept, "utf-8")


async def test_what_was_written_is_there_when_the_hub_starts_again(hub: Hub) -> None:
    """Data and users survive, though the user `default`, as which a server reads its files, is closed."""
    stream = pub_stream(KARGAH, "members")
    entry = sign_entry(identity(KARGAH), stream, Position(1, 1), GENESIS, b"{}")
    async with hub.client(KARGAH) as client:
        await RedisHub(client).append(stream, START, [entry], {"x": entry})
    await asyncio.to_thread(hub.server.stop)
    await asyncio.to_thread(hub.server.start)
    async with hub.client(AWO) as client:
        assert await RedisHub(client).read(stream, START, 10) == [entry]
        assert await RedisHub(client).state(stream) == {"x": entry}


async def test_the_server_judges_its_rules_and_finds_none_too_wide_or_too_narrow(hub: Hub) -> None:
    """All users x keys x commands, in both directions."""
    async with hub.client(OFFICE, hub.folder.password()) as office:
        judgement = await acl_check.check(office, hub.access)
    assert (judgement.wrong, judgement.violations) == (0, [])
    assert judgement.checks > 5_000


@pytest.mark.parametrize(
    ("rule", "instead", "found"),
    [
        (
            "%R~album:1:box:{awo}:* ",
            "%R~album:1:box:* ",
            "awo: XREAD on album:1:box:{vhs-hannover}:kargah must be refused",
        ),
        (
            "%RW~album:1:pub:{awo}:* ",
            "%RW~album:1:pub:{awo* ",
            "awo: XADD on album:1:pub:{awox}:courses must be refused",
        ),
        ("%RW~album:1:net:join:{awo} ", "%RW~album:1:net:* ", "awo: HSET on album:1:net:roster must be refused"),
        (
            "+xadd +xtrim +hset",
            "+xadd +xtrim +hset +xreadgroup",
            "awo: XREADGROUP on album:1:pub:{awo}:courses must be refused",
        ),
        ("+unwatch", "+unwatch +@connection", "awo: CLIENT KILL TYPE normal must be refused"),
        (" %RW~album:1:box:{kargah}:awo ", " ", "awo: XADD on album:1:box:{kargah}:awo must be allowed"),
        ("user default off", "user default on", "default: must be closed, is open"),
        (" +hdel +watch", " +watch", "awo: HDEL on album:1:pub:{awo}:courses must be allowed"),
    ],
)
async def test_the_judgement_finds_a_rule_that_is_too_wide_or_too_narrow(
    hub: Hub, rule: str, instead: str, found: str
) -> None:
    """The control: one pattern or command changed in one line is found and named."""
    lines = acl_file(hub.access).splitlines()
    one = ("user awo ", "user default ")
    changed = [line.replace(rule, instead) if line.startswith(one) else line for line in lines]
    assert changed != lines
    hub.folder.acl.write_text("\n".join(changed) + "\n", "utf-8")
    async with hub.client(OFFICE, hub.folder.password()) as office:
        await read_rules(office)
        judgement = await acl_check.check(office, hub.access)
    assert judgement.wrong > 0
    assert any(violation.startswith(found) for violation in judgement.violations), judgement.violations[:10]


def test_the_rules_of_thirteen_are_judged_in_tens_of_thousands_of_questions() -> None:
    """What `album network acl --check` does on a machine without a hub."""
    judgement = judge_thirteen()
    assert (judgement.wrong, judgement.violations) == (0, [])
    assert judgement.checks > 84_500


def test_the_office_makes_its_hub_with_one_command(tmp_path: Path) -> None:
    """`album hub init --tls` writes all files; a second time it refuses, and half a certificate is refused."""
    run, folder = CliRunner(), tmp_path / "hub"
    made = run.invoke(hub_app, ["init", "--dir", str(folder), "--tls", "--host", "hub.example", "--roots", "3"])
    assert made.exit_code == 0, made.output
    assert json.loads((folder / "office" / "account.json").read_text("utf-8"))["user"] == OFFICE
    assert len(HubFolder(folder).root_seeds()) == 3
    assert "tls-port 6380" in HubFolder(folder).conf.read_text("utf-8")
    assert run.invoke(hub_app, ["init", "--dir", str(folder)]).exit_code == 2
    before = HubFolder(folder).root_seeds()
    kept = run.invoke(hub_app, ["init", "--dir", str(folder), "--keep", "--tls", "--host", "hub.example"])
    assert (kept.exit_code, HubFolder(folder).root_seeds()) == (0, before)
    nameless = run.invoke(hub_app, ["init", "--dir", str(tmp_path / "x"), "--tls", "--host", ""])
    assert (nameless.exit_code, (tmp_path / "x").exists()) == (2, False)
    ca = str(folder / "server" / "tls" / "ca.crt")
    assert run.invoke(hub_app, ["init", "--dir", str(tmp_path / "x"), "--tls", "--ca", ca]).exit_code == 2
    assert not (tmp_path / "x").exists()


def test_the_rules_follow_what_the_office_decided(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`album hub acl` reads the office's tables, writes the rules, and the hub lets in exactly who is named there."""
    hub = server
    monkeypatch.setenv("ALBUM_DATABASE", f"sqlite+aiosqlite:///{tmp_path}/{{service}}.db")
    members = services()["members"]
    url = members.settings().database_of("members")
    migrate.upgrade_now(members, url)
    run, where = CliRunner(), ["--dir", str(hub.folder.path), "--hub", hub.url, "--json"]
    assert json.loads(run.invoke(hub_app, ["acl", *where]).output) == {"users": 1, "changed": True}
    asyncio.run(_decide(url))
    assert json.loads(run.invoke(hub_app, ["acl", *where]).output) == {"users": 4, "changed": True}
    assert json.loads(run.invoke(hub_app, ["acl", *where]).output) == {"users": 4, "changed": False}
    assert asyncio.run(_let_in(hub)) == {AWO: True, VHS: False, KARGAH: False, "join-amfn": True, "join-vnb": False}
    judged = json.loads(run.invoke(hub_app, ["check", *where]).output)
    assert (judged["violations"], judged["asked"]) == ([], f"the hub at {hub.url.partition('://')[2]}")
    assert "user awo on" in run.invoke(network_app, ["acl", "--dir", str(hub.folder.path)]).output
    unreached = run.invoke(hub_app, ["check", "--dir", str(hub.folder.path), "--hub", "redis://127.0.0.1:1"])
    assert (unreached.exit_code, unreached.stdout) == (1, "")


def test_who_judged_the_rules_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hub here nobody may believe that the hub of the network was asked."""
    monkeypatch.setattr(keeping, "judge_thirteen", lambda: acl_check.Judgement(3, 0, []))
    answer = CliRunner().invoke(network_app, ["acl", "--check"])
    assert (answer.exit_code, "Asked: no hub, for ALBUM_HUB_DIR is not set" in answer.stdout) == (0, True)
    for wrong in (["--hub", "foo"], ["--ca", "/nonexistent"]):
        assert CliRunner().invoke(network_app, ["acl", "--check", *wrong]).exit_code == 2


async def _decide(url: str) -> None:
    """Keep what an office decides: one active with a password, one suspended, invitations open and ended."""
    database = Database(url)
    roster = changes.suspend(network(AWO, VHS), VHS, {})
    try:
        async with database.transaction() as connection:
            store = OfficeStore(connection)
            await store.issue(Issued(1, *signed(roster), NOW, "the network begins"))
            for slug in (AWO, VHS):
                await store.keep_account(slug, _hash(slug))
            await store.keep_invitation(Invited("amfn", _hash("join-amfn"), datetime.now(UTC) + timedelta(days=1)))
            await store.keep_invitation(Invited("vnb", _hash("join-vnb"), datetime.now(UTC) - timedelta(days=1)))
    finally:
        await database.close()


async def _let_in(hub: Hub) -> dict[str, bool]:
    found = {}
    for user in (AWO, VHS, KARGAH, "join-amfn", "join-vnb"):
        async with hub.client(user) as client:
            try:
                found[user] = bool(await client.ping())
            except RedisError:
                found[user] = False
    return found
