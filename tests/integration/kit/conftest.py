"""The sample service on a fresh database of each kind."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from shared.kit import migrate
from shared.kit.clock import Ids
from shared.kit.database import Database
from shared.kit.settings import Settings
from shared.kit.work import Works
from tests.integration.kit.sample import SERVICE, Sample, SampleStore, SteadyClock, metadata


@pytest.fixture
async def sample(database_url: str) -> AsyncIterator[Sample]:
    """Give the sample service on a fresh database of each kind."""
    database = Database(database_url)
    await migrate.upgrade(SERVICE, database)
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    clock = SteadyClock()
    works = Works(database, SampleStore, clock, Ids(Random(1), clock), Settings())
    yield Sample(database, works, clock)
    await database.close()
