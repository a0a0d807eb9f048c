"""Whether a database is at this release's schema, told without alembic: loading that costs a service 20 MB."""

import re
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from shared.kit.database import Database
from shared.kit.node import Service

_KIT = Path(__file__).with_name("migrations")
_REVISION = re.compile(r"^revision\s*(?::[^=]+)?=\s*[\"']([^\"']+)", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\s*(?::[^=]+)?=\s*[\"']([^\"']+)", re.MULTILINE)


def heads(folders: Iterable[Path]) -> set[str]:
    """Give the last steps of some folders of migrations: those that no other one follows."""
    texts = [path.read_text("utf-8") for folder in folders for path in sorted(folder.glob("*.py"))]
    return set(_found(_REVISION, texts)) - set(_found(_BEFORE, texts))


def _found(pattern: re.Pattern[str], texts: list[str]) -> list[str]:
    return [found[1] for text in texts if (found := pattern.search(text))]


async def is_newest(service: Service, database: Database) -> bool:
    """Tell whether the database is at this release's schema, or at that of a later one."""
    wanted = heads((_KIT, service.migrations, *(part.migrations for part in service.parts)))
    async with database.reading() as connection:
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        if "alembic_version" not in names:
            return not wanted
        found = await connection.execute(sa.text("SELECT version_num FROM alembic_version"))
        return covers(set(found.scalars()), wanted)


def covers(found: set[str], wanted: set[str]) -> bool:
    """Tell whether a database has all that this release wants of it; it may be of a later one.

    A release only adds to the tables of the one before: while releases change, a copy of the older one that is started
    anew, or put back, works on. Steps are named by their room and a number that grows: `courses_0003`.
    """
    newest: dict[str, str] = {}
    for room, number in sorted(one.rsplit("_", 1) for one in found):
        newest[room] = number
    return all(newest.get(room, "") >= number for room, number in (one.rsplit("_", 1) for one in wanted))
