"""The house of the members tests, on both databases."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.members.members_house import House, open_house


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """Give a members service on a fresh database."""
    async with open_house(database_url) as opened:
        yield opened
