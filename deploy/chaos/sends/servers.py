"""The servers around a process that is killed; they outlive it, and run in processes of their own."""

import http.server
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from shared.embedded.ports import HOST, free_port
from shared.embedded.postgres import PostgresServer
from shared.embedded.redis import RedisServer
from shared.embedded.smtp import Catcher


@dataclass
class Servers:
    """A Redis, a hub, a catcher of mails and one of pushes; a PostgreSQL where the databases are not SQLite files."""

    folder: Path
    redis: RedisServer
    hub: RedisServer
    postgres: PostgresServer | None
    mail_port: int
    push_port: int

    @property
    def redis_urls(self) -> tuple[str, str]:
        """Give where streams are: inside, and on the hub."""
        return self.redis.url, self.hub.url

    @property
    def mails(self) -> Path:
        """Give the folder of the mails that arrived."""
        return self.folder / "mails"

    @property
    def pushes(self) -> Path:
        """Give the folder of the pushes that arrived."""
        return self.folder / "pushes"

    def database_of(self, folder: Path, name: str) -> str:
        """Give the address of a case's database."""
        if self.postgres is not None:
            return self.postgres.url(name)
        return f"sqlite+aiosqlite:///{folder}/{name}/{{service}}.db"

    def begin(self, folder: Path) -> None:
        """Make an empty database and empty streams for a case that is to be prepared."""
        for url in self.redis_urls:
            with Redis.from_url(url) as client:
                client.flushall()
        if self.postgres is None:
            (folder / "now").mkdir(parents=True)
            return
        folder.mkdir(parents=True)
        for name in ("now", "first"):
            self.postgres.drop_database(name)
        self.postgres.create_database("now")

    def keep_first(self, folder: Path) -> None:
        """Keep a case's database as what every life begins with."""
        if self.postgres is None:
            shutil.move(folder / "now", folder / "first")
        else:
            self.postgres.create_database("first", "now")

    def renew(self, folder: Path) -> None:
        """Put the kept database in the place of what a life left."""
        if self.postgres is None:
            shutil.rmtree(folder / "now", ignore_errors=True)
            shutil.copytree(folder / "first", folder / "now")
        else:
            self.postgres.drop_database("now")
            self.postgres.create_database("now", "first")


@contextmanager
def servers(folder: Path, database: str) -> Iterator[Servers]:
    """Run the servers as long as the block lasts; `database` is sqlite or postgresql."""
    folder.chmod(0o755)  # PostgreSQL does not run as root
    (folder / "mails").mkdir()
    (folder / "pushes").mkdir()
    mail_port, push_port = free_port(), free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        hub = stack.enter_context(RedisServer(folder / "hub"))
        postgres = None
        if database == "postgresql":
            postgres = stack.enter_context(PostgresServer(folder / "postgres", durable=False))
        stack.enter_context(_aside(lambda: _catch_mails(folder / "mails", mail_port)))
        stack.enter_context(_aside(lambda: _catch_pushes(folder / "pushes", push_port)))
        yield Servers(folder, redis, hub, postgres, mail_port, push_port)


@contextmanager
def _aside(do: Callable[[], None]) -> Iterator[None]:
    """Do something in a process of its own: here nothing may have threads, because of the forks."""
    child = os.fork()
    if not child:
        try:
            do()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _catch_mails(folder: Path, port: int) -> None:
    Catcher(folder, port).start()
    threading.Event().wait()


def _catch_pushes(folder: Path, port: int) -> None:
    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(length := int(self.headers["content-length"]))
            if len(body) < length:
                return  # the sender died in the middle: nothing came
            # What comes again has the same name, and its second coming is counted.
            with (folder / self.headers["webhook-id"]).open("ab") as file:
                file.write(body + b"\n")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    http.server.ThreadingHTTPServer((HOST, port), Receiver).serve_forever()
