"""Migrations: each service's own beside the kit's, in one database, under a lock, before the service starts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from shared.kit import tables
from shared.kit.database import Database
from shared.kit.node import Service

_KIT = Path(__file__).with_name("migrations")
_LOCK = 0x414C4275  # one number for all of the network's migrations on a PostgreSQL server


def _script(service: Service) -> ScriptDirectory:
    folders = (_KIT, service.migrations, *(part.migrations for part in service.parts))
    config = Config()
    config.set_main_option("script_location", str(_KIT))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", ":".join(map(str, folders)))
    return ScriptDirectory.from_config(config)


async def upgrade(service: Service, database: Database) -> Sequence[str]:
    """Bring a database to the newest schema; give the names of the steps that were made."""
    async with database.engine.connect() as connection:
        done = await connection.run_sync(lambda sync: _upgrade(_script(service), sync))
        await connection.commit()
    return done


def _upgrade(script: ScriptDirectory, connection: sa.Connection) -> Sequence[str]:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    done: list[str] = []

    def steps(revision: Any, _: MigrationContext) -> list[Any]:
        found = script._upgrade_revs("heads", revision)  # what alembic's own `upgrade` command calls
        done.extend(str(step.doc) for step in found)
        return list(found)

    environment = EnvironmentContext(Config(), script)
    environment.configure(
        connection=connection, target_metadata=None, fn=steps, render_as_batch=True, transactional_ddl=True
    )
    environment.run_migrations()
    return done


async def pending(service: Service, database: Database) -> bool:
    """Tell whether the database is not at the newest schema."""
    heads = set(_script(service).get_heads())
    async with database.reading() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_heads())
    return set(current) != heads


async def ready(service: Service, database: Database) -> bool:
    """Tell whether the database is at the newest schema; an SQLite file that is new gets it at once."""
    if not await pending(service, database):
        return True
    if not database.is_sqlite:
        return False
    async with database.reading() as connection:
        if await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()):
            return False
    await upgrade(service, database)
    return True


def is_made(url: str) -> bool:
    """Tell whether a database may be there: an SQLite file that is not, opening it would make."""
    if not url.startswith("sqlite"):
        return True
    path = sa.make_url(url).database
    return not path or path == ":memory:" or Path(path).exists()


async def differences(service: Service, database: Database) -> list[object]:
    """Give how a migrated database differs from the tables that the code believes in; a test demands none."""

    def compare(connection: sa.Connection) -> list[object]:
        parts = [part.tables for part in service.parts]
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, [tables.metadata, service.tables, *parts]))  # type: ignore[arg-type]

    async with database.engine.connect() as connection:
        return await connection.run_sync(compare)


def upgrade_now(service: Service, url: str) -> Sequence[str]:
    """Bring a database to the newest schema, from a place that is not asynchronous."""

    async def run() -> Sequence[str]:
        database = Database(url)
        try:
            return await upgrade(service, database)
        finally:
            await database.close()

    return asyncio.run(run())
