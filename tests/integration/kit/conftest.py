"""The sample service on a fresh database of each kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from shared.kit import migrate
from shared.kit.clock import Ids
from shared.kit.database import Database
from shared.kit.settings import Settings
from shared.kit.work import Works
from tests.integration.kit.sample import SERVICE, Sample, SampleStore, SteadyClock, metadata


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[Sample]:
    database = Database(url)
    await migrate.upgrade(SERVICE, database)
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    clock = SteadyClock()
    works = Works(database, SampleStore, clock, Ids(Random(1), clock), Settings())
    yield Sample(database, works, clock)
    await database.close()


@pytest.fixture
async def sample(database_url: str) -> AsyncIterator[Sample]:
    """Give the sample service on a fresh database of each kind."""
    async with _open(database_url) as opened:
        yield opened


@pytest.fixture
async def on_postgres(postgres_url: str) -> AsyncIterator[Sample]:
    """Give the sample service where several transactions go on at once."""
    async with _open(postgres_url) as opened:
        yield opened
