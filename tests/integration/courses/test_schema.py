"""The migrations and the tables of the courses service say the same."""

from services.courses.app import service
from shared.kit import migrate
from tests.integration.courses.courses_house import House


async def test_the_migrated_schema_is_the_one_the_code_believes_in(house: House) -> None:
    """Nothing differs between a migrated database and the tables."""
    assert await migrate.differences(service, house.works.database) == []
