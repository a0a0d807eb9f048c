"""What happens between looking at what waits and numbering it, where these are two transactions."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit import numbering, outbox, tables
from shared.kit.lease import Lease
from shared.kit.numbering import number_waiting
from shared.kit.streams import Position
from tests.integration.kit.sample import PUB, Sample, institution

Happen = Callable[[], Awaitable[None]]
SECRET = "Petra Vogel"


class Interrupted:
    """A connection on which something happens right after the first look."""

    def __init__(self, connection: AsyncConnection, happen: Happen) -> None:
        self._connection = connection
        self._happen = happen
        self.dialect = connection.dialect

    async def execute(self, statement: Any, values: Any) -> Any:
        """Look, and let it happen."""
        found = await self._connection.execute(statement, values)
        await self._happen()
        return found

    async def exec_driver_sql(self, statement: str, values: Any) -> Any:
        """Number what was seen."""
        return await self._connection.exec_driver_sql(statement, values)


async def _number(sample: Sample, lease: Lease, happen: Happen) -> numbering.Numbered:
    async with sample.database.single_statements() as connection:
        interrupted: Any = Interrupted(connection, happen)
        return (await number_waiting(interrupted, lambda _: True, lease.held))[0]


async def _numbers(sample: Sample) -> list[tuple[int | None, int | None]]:
    async with sample.database.reading() as connection:
        rows = await connection.execute(sa.select(tables.outbox.c.epoch, tables.outbox.c.seq))
        return [(row.epoch, row.seq) for row in rows]


async def _blank(sample: Sample) -> None:
    """Take back what was told of the institution; what stands in its place has another type."""
    async with sample.database.transaction() as connection:
        await outbox.blank(connection, PUB, institution().key, "members.institution.left.v1", b"{}")


async def test_a_lease_that_was_taken_meanwhile_numbers_nothing(on_postgres: Sample) -> None:
    """The other copy numbers all of it, and the one that looked first publishes nothing."""
    await on_postgres.tell(institution())
    on_postgres.relay("one")
    lease, other = on_postgres.lease, Lease("relay", "two", on_postgres.database, on_postgres.clock)
    assert await lease.hold()

    async def take() -> None:
        await on_postgres.clock.sleep(60)
        assert await other.hold()

    assert await _number(on_postgres, lease, take) == {}
    assert await _numbers(on_postgres) == [(None, None)]
    assert list(await _number(on_postgres, other, _nothing)) == [PUB]
    assert await _numbers(on_postgres) == [(1, 1)]


async def _nothing() -> None:
    """Let nothing happen."""


async def test_what_was_blanked_meanwhile_is_numbered_as_it_is_now(on_postgres: Sample) -> None:
    """The bytes that were seen first are in no entry: they may be somebody's, and nobody would remove them again."""
    await on_postgres.tell(institution(name=SECRET))
    on_postgres.relay()
    assert await on_postgres.lease.hold()
    assert await _number(on_postgres, on_postgres.lease, lambda: _blank(on_postgres)) == {}
    numbered = await _number(on_postgres, on_postgres.lease, _nothing)
    assert [entry.payload for _, entry in numbered[PUB]] == [b"{}"]


async def test_without_looking_again_what_was_blanked_is_published(
    on_postgres: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a numbering that compares no types hands out the name."""
    plain = numbering._NUMBER_ALL.replace("USING (id, type)", "USING (id)")
    monkeypatch.setattr(numbering, "_NUMBER_ALL", plain)
    await on_postgres.tell(institution(name=SECRET))
    on_postgres.relay()
    assert await on_postgres.lease.hold()
    numbered = await _number(on_postgres, on_postgres.lease, lambda: _blank(on_postgres))
    assert SECRET.encode() in numbered[PUB][0][1].payload


async def test_positions_follow_the_head_of_each_stream(sample: Sample) -> None:
    """One page may hold several streams, and the next page goes on where it ended."""
    sample.relay()
    assert await sample.lease.hold()
    await sample.tell(institution(version=1), institution(version=2))
    first = await _number(sample, sample.lease, _nothing)
    await sample.tell(institution(version=3))
    second = await _number(sample, sample.lease, _nothing)
    assert [entry.position for _, entry in first[PUB]] == [Position(1, 1), Position(1, 2)]
    assert [entry.position for _, entry in second[PUB]] == [Position(1, 3)]
