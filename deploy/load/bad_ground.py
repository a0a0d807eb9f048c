"""Where bad messages are read: a Redis, a migrated database of notifications, and its process under a supervisor."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.load.misbehaving import ATTEMPTS
from deploy.load.supervisor import Supervised
from services.notifications.app import service
from shared.embedded import which
from shared.embedded.ports import free_port
from shared.kit import migrate


@dataclass(frozen=True)
class Ground:
    """A Redis and a database, by their addresses, and a folder for what is written beside them."""

    redis: str
    database: str
    folder: Path

    def process(self, kind: str) -> Supervised:
        """Give the process that reads, not started yet."""
        port = free_port()
        environment = {
            **os.environ,
            "ALBUM_DATABASE": self.database,
            "ALBUM_REDIS": self.redis,
            "ALBUM_SECRET": secrets.token_hex(16),
            "ALBUM_PORT": str(port),
            ATTEMPTS: str(self._attempts(kind)),
        }
        command = [sys.executable, "-m", "deploy.load.misbehaving"]
        return Supervised(command, environment, port, self.folder / f"{kind}.log")

    def attempts(self, kind: str, place: str) -> int:
        """Count the attempts at an entry, `stream position`."""
        return self._attempts(kind).read_text("utf-8").splitlines().count(place)

    def _attempts(self, kind: str) -> Path:
        return self.folder / f"{kind}.attempts"


@contextmanager
def standing(database: str) -> Iterator[Ground]:
    """Start Redis and, where it is wanted, a PostgreSQL that keeps what it commits; what fails leaves its folder."""
    folder = Path(tempfile.mkdtemp(prefix="album-bad-messages-", dir="/tmp"))  # PostgreSQL's user must reach it
    folder.chmod(0o755)
    servers: list[which.AnyRedis | which.AnyPostgres] = []
    try:
        redis = which.redis_server(folder / "redis")
        servers.append(redis)
        redis.start()
        url = f"sqlite+aiosqlite:///{folder}/notifications.db"
        if database == "postgresql":
            postgres = which.postgres_server(folder / "postgres")
            servers.append(postgres)
            postgres.start()
            url = postgres.create_database("notifications")
        migrate.upgrade_now(service, url)
        yield Ground(redis.url, url, folder)
    finally:
        for server in servers:
            which.dispose(server)
    shutil.rmtree(folder)
