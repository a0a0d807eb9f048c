"""The house of the courses tests, on both databases."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.courses.courses_house import House, open_house


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """Give a courses service on a fresh database."""
    async with open_house(database_url) as opened:
        yield opened
