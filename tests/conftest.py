"""Servers for every test that asks for one; the end of the run says what ran on what."""

import os
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from shared.embedded import which
from shared.embedded.origin import Origin
from shared.embedded.redis import RedisServer
from shared.embedded.smtp import Catcher

# Other work shares the machine: how long an example takes says nothing.
hypothesis.settings.register_profile(
    "album", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("album")

STARTED: dict[str, Origin] = {}


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Give a folder every user can enter, because PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="album-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[which.AnyRedis]:
    """Give the one Redis of this run; a test that kills or changes it takes `own_redis` instead."""
    server = which.redis_server(server_folder / "redis")
    server.start()
    STARTED["Redis"] = server.origin
    yield server
    which.dispose(server)


@pytest.fixture
def redis_url(redis_server: which.AnyRedis) -> str:
    """Give the address of the run's Redis, emptied."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
    return redis_server.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis that belongs to one test, which may kill, wipe and configure it."""
    with RedisServer(tmp_path / "redis") as server:
        STARTED.setdefault("Redis of one test", server.origin)
        yield server


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[which.AnyPostgres]:
    """Give the one PostgreSQL of this run; its data need not survive the machine."""
    server = which.postgres_server(server_folder / "postgres", durable=False)
    server.start()
    STARTED["PostgreSQL"] = server.origin
    yield server
    which.dispose(server)


@pytest.fixture
def postgres_url(postgres_server: which.AnyPostgres) -> Iterator[str]:
    """Give a fresh empty PostgreSQL database, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the address of an SQLite file that does not exist yet."""
    STARTED.setdefault("SQLite", Origin("SQLite", sqlite3.sqlite_version, "Python"))
    return f"sqlite+aiosqlite:///{tmp_path}/x.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give a fresh empty database, once of each kind."""
    kind = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(kind)
    return url


# Where no redis-cli is installed, this one takes the same arguments and sends the same command by redis-py.
REDIS_CLI = f"""#!{sys.executable}
import sys, redis
def say(value):
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, (list, tuple)):
        for part in value:
            say(part)
    else:
        print(value)
assert sys.argv[1] == "-u"
say(redis.Redis.from_url(sys.argv[2], decode_responses=True).execute_command(*sys.argv[3:]))
"""


@pytest.fixture
def path_with_redis_cli(tmp_path: Path) -> str:
    """Give a PATH on which there is a redis-cli: the machine's own, or a stand-in."""
    path = os.environ["PATH"]
    if shutil.which("redis-cli"):
        STARTED.setdefault("redis-cli", Origin("redis-cli", "", "PATH"))
        return path
    STARTED.setdefault("redis-cli", Origin("a stand-in", redis.__version__, "redis-py"))
    stand_in = tmp_path / "redis-cli"
    stand_in.write_text(REDIS_CLI, "utf-8")
    stand_in.chmod(0o755)
    return f"{tmp_path}{os.pathsep}{path}"


@pytest.fixture
def smtp_catcher() -> Iterator[Catcher]:
    """Give a server that takes every mail; set its `script` to have it answer otherwise."""
    with Catcher() as catcher:
        yield catcher


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what ran on what."""
    terminalreporter.write_sep("-", "ran on")
    terminalreporter.write_line(which.summary(STARTED))
