"""Strings in every personal field that can hold one, and the places where they are looked for."""

import base64
import re
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis import Redis

from shared.embedded.redis import RedisServer

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}")


def canaries_of(number: int) -> dict[str, str]:
    """Give what may be read of one person at their institutions only; the skills' canary is the day of the test."""
    return {
        "name": f"Kanarienvogel Nummer{number}",
        "mail": f"kanarienpost{number}@canary.example.org",
        "phone": f"0511 777712345{number}",
        "skills": (datetime.now(UTC).date() - timedelta(days=90 + number)).isoformat(),
        "schooling": f"Kanarienschule Izmir {number}",
        "profession": f"Kanarienzüchterin {number}",
        "goal": f"Kanarienziel Pflegeberuf {number}",
        "mobility": f"Kanarienrad ohne Licht {number}",
    }


def file_of(number: int) -> dict[str, Any]:
    """Give a whole participant file of one person, as it is sent to courses."""
    said = canaries_of(number)
    skills = {name: {"level": "B1", "on": said["skills"]} for name in ("listening", "reading", "speaking", "writing")}
    more = {"language": "tr", "contact_consent": True, "availability": ["morning"], "childcare": True}
    return {**said, "skills": skills, "languages": ["tr", "ku"], **more}


def found_in(haystack: bytes, numbers: Iterable[int] = (1, 2, 3)) -> set[str]:
    """Name what somebody could read there: as it is, escaped, in a link, in hexadecimal, in Base64."""
    whole = haystack + b"\n" + b"\n".join(_decoded(part) for part in _BASE64.findall(haystack))
    found = set()
    for number in numbers:
        for name, text in canaries_of(number).items():
            raw = text.encode()
            forms = (raw, raw.hex().encode(), ascii(text)[1:-1].encode(), quote(text).encode())
            if any(form in whole for form in forms):
                found.add(f"{name} {number}")
    return found


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part[: len(part) // 4 * 4].replace(b"+", b"-").replace(b"/", b"_"))


def all_of(numbers: Iterable[int]) -> set[str]:
    """Name every canary of some persons."""
    return {f"{name} {number}" for number in numbers for name in canaries_of(number)}


def raw_files(folder: Path, *patterns: str) -> bytes:
    """Give the bytes of files, as a disk that was stolen would show them."""
    return b"\n".join(path.read_bytes() for pattern in patterns for path in sorted(folder.glob(pattern)))


def redis_now(redis: Redis) -> bytes:
    """Give everything that a Redis holds: names, streams, hashes."""
    parts: list[bytes] = []
    for key in redis.scan_iter(count=1000):
        kind = redis.type(key)
        found: Any = redis.xrange(key) if kind == b"stream" else redis.hgetall(key) if kind == b"hash" else None
        parts += [key, *_flat(found if found is not None else redis.dump(key))]
    return b"\n".join(parts)


def _flat(value: Any) -> Iterable[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from (part for pair in value.items() for part in pair)
    else:
        for item in value:
            yield from _flat(item)


def redis_from(data: Path, folder: Path) -> bytes:
    """Give what a Redis holds that starts on a copy of another one's files; into the hub itself nobody can look."""
    shutil.copytree(data / "appendonlydir", folder / "appendonlydir")
    with RedisServer(folder) as server, Redis.from_url(server.url) as redis:
        return redis_now(redis)


def backup_of(database: Path, to: Path) -> Path:
    """Copy an SQLite database as an operator does, while its service runs."""
    with sqlite3.connect(database) as source, sqlite3.connect(to) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    return to


def rows_of(database: Path, but: Mapping[str, str] | None = None) -> bytes:
    """Give all rows of all tables; `but` names tables of which rows are left out, with the condition for those."""
    with sqlite3.connect(database) as opened:
        names = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        parts: list[bytes] = []
        for name in names:
            without = (but or {}).get(name, "0")
            query = f'SELECT * FROM "{name}" WHERE NOT ({without})'
            parts += [_row(row) for row in opened.execute(query)]
    opened.close()
    return b"\n".join(parts)


def _row(row: tuple[Any, ...]) -> bytes:
    return b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row)


def emptied_log(database: Path) -> None:
    """Have SQLite write its log into the file, as each service does once an hour."""
    with sqlite3.connect(database, timeout=10) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.close()
