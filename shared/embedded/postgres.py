"""A real PostgreSQL server of one's own, for tests and measurements."""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.embedded.origin import Origin
from shared.embedded.ports import HOST, free_port, is_free
from shared.embedded.postgres_admin import Admin
from shared.embedded.postgres_binary import PostgresBinary, find_binary
from shared.embedded.process import ServerProcess, identity

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""What a database may forget whose data nobody wants after the run."""


class PostgresServer(Admin):
    """A server on 127.0.0.1 in a folder; with `durable=False` a crash of the machine may destroy its data."""

    def __init__(
        self, folder: Path, port: int | None = None, *, durable: bool = True, binary: PostgresBinary | None = None
    ) -> None:
        self.folder, self.port, self.durable = folder.resolve(), port or free_port(), durable
        self.binary = binary or find_binary()
        self.user = _user_instead_of_root()
        self.process: ServerProcess | None = None

    @property
    def origin(self) -> Origin:
        """What runs, and where it came from."""
        return self.binary.origin

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as `postgresql+asyncpg://...`."""
        password = (self.folder / "password").read_text()
        return f"postgresql+asyncpg://postgres:{password}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Make the folder a database cluster if it is none, start the server and wait until it answers."""
        if self.process and self.process.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        binaries = self.binary.reachable_by(self.user, self.folder / "programs") if self.user else self.binary.folder
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._init(binaries)
        if not is_free(self.port):
            raise RuntimeError(f"port {self.port} is in use by another program")
        log = self.folder / "postgres.log"
        self.process = ServerProcess(self._command(binaries / "postgres"), log, self.answers, user=self.user)
        self.process.start()

    def stop(self) -> None:
        """End every connection and the server, cleanly."""
        if self.process:
            self.process.stop(signal.SIGINT)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self.process:
            self.process.kill()

    def restart(self) -> None:
        """Stop and start again: same folder, same port, same data."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Lose every database: end the server, delete its files, start it empty if it ran."""
        ran = self.process is not None and self.process.running
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        if ran:
            self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _init(self, binaries: Path) -> None:
        data, password = self.folder / "data", self.folder / "password"
        password.write_text(secrets.token_hex(16))
        password.chmod(0o600)
        data.mkdir(exist_ok=True)
        data.chmod(0o700)
        if self.user:
            _require_reachable(self.folder, self.user)
            for owned in (data, password):
                shutil.chown(owned, self.user, pwd.getpwnam(self.user).pw_gid)
        command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={password}"]
        command += ["--auth=password", "--encoding=UTF8", "--locale=C", *([] if self.durable else ["--no-sync"])]
        made = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **identity(self.user))  # noqa: S603 - put together here, never from input
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr or made.stdout}")

    def _command(self, postgres: Path) -> list[str]:
        given = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            **({} if self.durable else FAST),
        }
        pairs = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        return [str(postgres), "-D", str(self.folder / "data"), "-p", str(self.port), *pairs]


def _user_instead_of_root() -> str | None:
    """Name the user the server runs as: PostgreSQL refuses root, and anyone else runs it himself."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _require_reachable(folder: Path, user: str) -> None:
    blocked = [place for place in (folder, *folder.parents) if not re.search(r"[1357]$", oct(place.stat().st_mode))]
    if blocked:
        raise RuntimeError(f"the user {user} cannot enter {blocked[-1]}: take a folder under /tmp or /dev/shm")
