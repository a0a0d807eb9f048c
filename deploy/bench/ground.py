"""What a measurement stands on: a real Redis, and fresh databases with the schema of courses, of one kind."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import redis

from services.courses.app import service
from shared.embedded import which
from shared.embedded.origin import Origin
from shared.kit import migrate

KINDS = ("sqlite", "postgresql")


@dataclass
class Ground:
    """Servers of one run; every measurement gets databases of its own, copies of one that is migrated."""

    kind: str
    redis_url: str
    folder: Path
    postgres: which.AnyPostgres | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def wipe_redis(self) -> None:
        """Forget all streams."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def database(self) -> str:
        """Give the address of a fresh database with the schema of courses."""
        number = next(self._numbers)
        if self.postgres is not None:
            return self.postgres.create_database(f"bench_{number}", template="bench_template")
        path = self.folder / f"{number}.db"
        shutil.copy(self.folder / "template.db", path)
        return f"sqlite+aiosqlite:///{path}"

    def make_template(self) -> None:
        """Migrate the database of which all others are copies."""
        if self.postgres is not None:
            migrate.upgrade_now(service, self.postgres.create_database("bench_template"))
            return
        path = self.folder / "template.db"
        migrate.upgrade_now(service, f"sqlite+aiosqlite:///{path}")
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


@contextmanager
def standing(kinds: tuple[str, ...]) -> Iterator[tuple[list[Ground], dict[str, Origin]]]:
    """Start Redis and, where it is wanted, a PostgreSQL that keeps what it commits; give a ground for each kind."""
    folder = Path(tempfile.mkdtemp(prefix="album-bench-", dir="/tmp"))  # PostgreSQL's user must reach it
    folder.chmod(0o755)
    servers: list[which.AnyRedis | which.AnyPostgres] = []
    try:
        server = which.redis_server(folder / "redis")
        servers.append(server)
        server.start()
        origins = {"Redis": server.origin, "SQLite": Origin("SQLite", sqlite3.sqlite_version, "Python")}
        grounds = []
        for kind in kinds:
            postgres = None
            if kind == "postgresql":
                postgres = which.postgres_server(folder / "postgres")
                servers.append(postgres)
                postgres.start()
                origins["PostgreSQL"] = postgres.origin
            ground = Ground(kind, server.url, folder, postgres)
            ground.make_template()
            grounds.append(ground)
        yield grounds, origins
    finally:
        for each in servers:
            which.dispose(each)
        shutil.rmtree(folder, ignore_errors=True)
