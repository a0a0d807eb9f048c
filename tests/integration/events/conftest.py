"""The house of the events tests, on both databases."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.events.events_house import House, open_house


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """Give an events service on a fresh database."""
    async with open_house(database_url) as opened:
        yield opened
