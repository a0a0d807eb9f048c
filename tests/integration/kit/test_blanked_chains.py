"""What was blanked in the log keeps its place in the chain of hashes: nobody is stopped by a content that is gone."""

import pytest
import sqlalchemy as sa

from shared.contract.courses import ParticipantErased
from shared.contract.envelope import encode
from shared.kit import outbox
from shared.kit.database import upsert
from shared.kit.errors import Transient
from shared.kit.memory_streams import MemoryStreams
from shared.kit.reader import StreamReader
from shared.kit.streams import START, Entry, Position
from shared.kit.tables import blanked, stream_head
from shared.kit.tables import outbox as rows
from tests.integration.kit.restoring import publish
from tests.integration.kit.sample import OWN, Sample, api_key

TOMBSTONE = ParticipantErased(institution="office", version=1, participant_id="participant_00000001")


async def _blank(sample: Sample, number: int) -> None:
    """Blank what was told of a key in the log."""
    payload = encode(TOMBSTONE, id="msg_1", time=sample.clock.now())
    async with sample.database.transaction() as connection:
        await outbox.blank(connection, OWN, api_key(number).key, TOMBSTONE.type, payload)


async def _with_a_blank(sample: Sample) -> MemoryStreams:
    """Have four messages told, the third of them blanked, and Redis filled again from the log."""
    for number in range(4):
        await sample.tell(api_key(number))
        await publish(sample, sample.relay())
    await _blank(sample, 2)
    async with sample.database.transaction() as connection:
        # Redis had lost the content already when it lost everything.
        await connection.execute(sa.delete(blanked))
    streams = MemoryStreams()
    sample.streams = streams
    relay = sample.relay()
    await sample.lease.hold()
    await relay._reconcile(OWN, START, Position(1, 4))
    there = await streams.read(OWN, START, 9)
    assert [b"erased" in entry.payload for entry in there] == [False, False, True, False]
    return streams


async def _restore(sample: Sample, seq: int) -> None:
    async with sample.database.transaction() as connection:
        hash_ = await outbox.hash_at(connection, OWN, Position(1, seq))
        await connection.execute(sa.delete(rows).where(rows.c.stream == OWN, rows.c.seq > seq))
        await upsert(connection, stream_head, [{"stream": OWN, "epoch": 1, "seq": seq, "hash": hash_}], newer=None)


async def test_a_blank_among_what_a_restored_backup_takes_back_stops_nothing(sample: Sample) -> None:
    """It comes back as the blank that it is, and the next message begins an epoch behind all of it."""
    streams = await _with_a_blank(sample)
    await _restore(sample, 1)
    relay = sample.relay()
    await sample.tell(api_key(9))
    await publish(sample, relay)
    assert relay.stopped == {}
    assert [str(entry.position) for entry in await streams.read(OWN, START, 9)] == ["1-1", "1-2", "1-3", "1-4", "2-1"]


async def test_another_content_in_the_place_of_a_message_still_stops_the_stream(sample: Sample) -> None:
    """Control: only a blank may differ from its hash; anything else is a second writer."""
    streams = await _with_a_blank(sample)
    streams._entries[OWN][2] = streams._entries[OWN][2]._replace(payload=b"{}")
    await _restore(sample, 1)
    relay = sample.relay()
    await sample.tell(api_key(9))
    await publish(sample, relay)
    assert "two writers" in relay.stopped[OWN]


async def _epoch_with_a_blank_first(sample: Sample, payload: bytes | None = None) -> StreamReader:
    """Have a reader at the end of an epoch, and a blank as the first message of the next one."""
    await sample.tell(api_key(1))
    await publish(sample, sample.relay())

    async def log(stream: str, after: Position, count: int) -> list[Entry]:
        async with sample.database.reading() as connection:
            page = await outbox.log_after(connection, stream, after, count)
        return [one._replace(payload=payload) if payload and one.position == Position(2, 1) else one for one in page]

    reader = sample.reader(OWN, backfill=log)
    await reader.catch_up()
    async with sample.database.transaction() as connection:
        hash_ = await outbox.hash_at(connection, OWN, Position(1, 1))
        await outbox.begin_epoch(connection, OWN, 2, hash_)
    await sample.tell(api_key(2), api_key(3))
    relay = sample.relay()
    await publish(sample, relay)
    await _blank(sample, 2)
    await publish(sample, relay)
    return reader


async def test_a_reader_goes_on_over_a_blank_that_begins_an_epoch(sample: Sample) -> None:
    """Its hash cannot be made from a content that is gone; the log says that nothing lies before it."""
    reader = await _epoch_with_a_blank_first(sample)
    await reader.catch_up()
    assert reader.position == Position(2, 2)


async def test_a_reader_waits_before_any_other_content_that_does_not_fit(sample: Sample) -> None:
    """Control: a message that begins an epoch and continues another history is not read."""
    reader = await _epoch_with_a_blank_first(sample, b"{}")
    with pytest.raises(Transient):
        await reader.catch_up()
    assert reader.position == Position(1, 1)
