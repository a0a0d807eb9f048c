"""What a restored backup lost is handed to its service; what the service has no use for stops no start."""

from collections.abc import Sequence
from typing import Any

import pytest

from shared.contract.envelope import Message
from shared.kit.errors import Transient
from shared.kit.numbering import number_waiting
from shared.kit.outbox import log_after
from shared.kit.recovering import recovery
from shared.kit.streams import START, Entry
from shared.kit.work import Work
from tests.integration.kit.sample import PUB, Sample, institution

KEYS = ("good-one", "bad-one", "good-two")


async def _entries(sample: Sample) -> list[Entry]:
    await sample.tell(*(institution(key) for key in KEYS))
    async with sample.database.transaction() as connection:
        await number_waiting(connection, lambda _: True)
        return await log_after(connection, PUB, START)


async def _taken_back(sample: Sample, fault: Exception) -> None:
    async def do(messages: Sequence[Message], work: Work[Any]) -> None:
        for message in messages:
            await work.store.keep(message)
            if message.key == "bad-one":
                raise fault

    entries = await _entries(sample)
    async with sample.database.transaction() as connection:
        await recovery(sample.works, do, None)(connection, entries)


async def test_one_that_cannot_be_taken_back_stops_no_other(sample: Sample) -> None:
    """It leaves nothing behind, each other one is taken once, and the start goes on."""
    await _taken_back(sample, ValueError("a fault of the service"))
    assert await sample.heard() == [("good-one", 1), ("good-two", 1)]


async def test_what_may_pass_is_tried_again_with_all_others(sample: Sample) -> None:
    """A lock or a lost connection is no fault of a message: nothing is kept, and the next attempt begins anew."""
    with pytest.raises(Transient):
        await _taken_back(sample, Transient("the database is away"))
    assert await sample.heard() == []
