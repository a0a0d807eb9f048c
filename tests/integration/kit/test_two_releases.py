"""An old and a new release side by side: what the old one does not know waits, and is used by the one that does."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.contract.catalogue import CATALOGUE
from shared.contract.envelope import Message
from shared.kit.memory_streams import MemoryStreams
from shared.kit.settings import Settings
from shared.kit.streams import Position
from shared.kit.subscriptions import Subscriptions
from tests.integration.kit.sample import OWN, Sample, api_key, keeps_all

NEW = "members.key.issued.v1"


async def _told(sample: Sample, *messages: Message) -> None:
    """Have messages told by the new release of the other service."""
    await sample.tell(*messages)
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass


async def _starts(sample: Sample) -> Subscriptions:
    """Have a release of the reading service start."""

    async def connect() -> None:
        return None

    broker: Any = SimpleNamespace(connect=connect)
    make = sample.reader
    streams = MemoryStreams()
    settings = Settings()
    started = Subscriptions(broker, streams, sample.database, keeps_all(), settings, sample.clock, make)
    await started.start()
    return started


async def _old_release_reads(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.delitem(CATALOGUE, NEW)
        await _starts(sample)
        stream = sample.reader(OWN)
        await stream.take(await sample.streams.read(OWN, Position(0, 0), 100))


async def test_what_an_old_release_does_not_know_is_used_after_the_upgrade(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, in its order, without an operator's hand; until then it stands there with its reason."""
    await _told(sample, *(api_key(number % 3, number) for number in range(1, 31)))
    await _old_release_reads(sample, monkeypatch)
    assert await sample.heard() == []
    assert {code for _, code, _ in await sample.parked()} == {"unknown_type"}
    await _starts(sample)
    await sample.reader(OWN).retry_parked()
    by_thing = [[v for key, v in await sample.heard() if key == f"key_{n:08d}"] for n in range(3)]
    assert by_thing == [[*range(3, 31, 3)], [*range(1, 31, 3)], [*range(2, 31, 3)]]
    assert {state for _, _, state in await sample.parked()} == {"used"}


async def test_what_an_old_copy_sets_aside_behind_the_start_of_the_new_one_is_used(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While releases change both work: the new one looks at each turn, and by itself tries a message this once."""
    beside = await _starts(sample)
    await _told(sample, api_key(1, 1), api_key(1, 2))
    await _old_release_reads(sample, monkeypatch)
    assert await sample.heard() == []
    await beside._look_after()
    await sample.reader(OWN).retry_parked()
    assert [version for _, version in await sample.heard()] == [1, 2]
    await beside._look_after()
    assert {(code, state) for _, code, state in await sample.parked()} == {("known_now", "used")}


async def test_without_the_look_at_the_start_it_would_wait_for_ever(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a release that knows the type but does not look at what is parked uses nothing of it."""
    await _told(sample, api_key(1, 1))
    await _old_release_reads(sample, monkeypatch)
    await sample.reader(OWN).retry_parked()
    assert await sample.heard() == []
