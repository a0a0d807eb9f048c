"""A Redis that loses the end of its file, or all of it, under a relay; `make chaos DEEP=1` does 200 rounds."""

from pathlib import Path

import pytest

from deploy.chaos.refill import refill_time, rounds
from shared.kit.relay import Relay
from shared.kit.streams import Position

SEED = 7


async def test_nothing_is_lost_whatever_the_server_loses(tmp_path: Path) -> None:
    """After each round stream and state are what the log says, byte for byte."""
    found = await rounds(tmp_path, 6, SEED)
    assert min(found["tail_cut"], found["deleted"], found["bytes_gone"]) > 0
    assert found["lost"] == 0


async def test_without_looking_where_the_stream_ends_messages_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a relay that believes what it published once leaves what the server lost behind."""

    async def believes(self: Relay, stream: str, head: Position, ours: Position) -> None:
        self._published[stream] = ours

    monkeypatch.setattr(Relay, "_reconcile", believes)
    assert (await rounds(tmp_path, 3, SEED))["lost"] > 0


async def test_thousands_of_messages_come_back(tmp_path: Path) -> None:
    """A deleted file under 3,000 messages: the next look of the relay brings all of them back."""
    found = await refill_time(tmp_path, 3_000, SEED)
    assert found["lost"] == 0
