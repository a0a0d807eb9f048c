"""Boxes and blanked messages: what one institution writes to one other, and what is taken back of it."""

from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.contract.referrals import ReferralAsked, ReferralBlanked, ReferralField, ReferralMessage, ReferralOpened
from shared.kit import outbox
from shared.kit.hears import Hears
from shared.kit.settings import Settings
from shared.kit.streams import START, Entry, Position
from shared.kit.subscriptions import Subscriptions
from shared.kit.work import Work
from tests.integration.kit.sample import Sample, SampleStore

BOX = "album:1:box:{vhs}:awo"


def _asked(number: int) -> ReferralAsked:
    about = {"institution": "awo", "to": "vhs", "version": number, "referral_id": f"referral_{number:08}"}
    fields = (ReferralField.NAME,)
    return ReferralAsked(**about, run_id="run_00000001", fields=fields, purpose="Kurs", expires_on="2027-02-28")


def _blank(number: int) -> ReferralBlanked:
    return ReferralBlanked(institution="awo", to="vhs", version=number, referral_id=f"referral_{number:08}")


def _hears() -> Hears:
    hears = Hears()

    async def keep(message: ReferralMessage, work: Work[SampleStore]) -> None:
        await work.store.keep(message)

    hears.each(ReferralAsked, ReferralOpened)(keep)
    return hears


async def _publish(sample: Sample) -> None:
    relay = sample.relay()
    assert await sample.lease.hold()
    await relay.check()
    while await relay.step():
        pass
    await relay.check()


def _log(sample: Sample) -> Any:
    async def log(stream: str, after: Position, count: int) -> list[Entry]:
        async with sample.database.reading() as connection:
            return await outbox.log_after(connection, stream, after, count)

    return log


async def _blank_second(sample: Sample) -> None:
    async with sample.works() as work:
        await work.blank(_blank(2))


async def test_what_is_blanked_leaves_the_log_and_redis_and_stops_no_reader(sample: Sample) -> None:
    """A reader that has not come so far finds the blank in the log, in the place of what was there."""
    await sample.tell(_asked(1), _asked(2), _asked(3))
    await _publish(sample)
    await _blank_second(sample)
    await _publish(sample)
    left = await sample.streams.read(BOX, START, 9)
    assert [entry.position.seq for entry in left] == [1, 3]
    await sample.reader(BOX, _hears(), _log(sample)).catch_up()
    assert [version for _, version in await sample.heard()] == [1, 3]
    assert await sample.parked() == []


async def test_a_redis_that_was_wiped_does_not_get_back_what_was_blanked(sample: Sample) -> None:
    """The same places and hashes are refilled, the content is not."""
    await sample.tell(_asked(1), _asked(2))
    await _publish(sample)
    before = await sample.streams.read(BOX, START, 9)
    await _blank_second(sample)
    cast("Any", sample.streams).wipe()
    await _publish(sample)
    after = await sample.streams.read(BOX, START, 9)
    assert [(e.position, e.hash) for e in after] == [(e.position, e.hash) for e in before]
    assert b"referral.asked" not in after[1].payload
    assert b"referral.blanked" in after[1].payload


async def test_what_is_blanked_before_it_got_a_number_is_never_published(sample: Sample) -> None:
    """The relay finds the blank alone."""
    await sample.tell(_asked(1), _asked(2))
    await _blank_second(sample)
    await _publish(sample)
    found = await sample.streams.read(BOX, START, 9)
    assert [b"referral.blanked" in entry.payload for entry in found] == [False, True]


async def test_blanking_twice_changes_nothing(sample: Sample) -> None:
    """The bytes of the first blank stay."""
    await sample.tell(_asked(2))
    await _blank_second(sample)
    first = await _payloads(sample)
    await _blank_second(sample)
    assert await _payloads(sample) == first


async def _payloads(sample: Sample) -> list[bytes]:
    await _publish(sample)
    return [entry.payload for entry in await sample.streams.read(BOX, START, 9)]


async def test_boxes_are_trimmed_after_thirty_days(sample: Sample) -> None:
    """Own streams go after 14 days, boxes after 30; nothing of a box is kept for late joiners."""
    await sample.tell(_asked(1))
    await _publish(sample)
    assert await sample.streams.state(BOX) == {}
    for days, left in ((29, 1), (2, 0)):
        sample.clock.time += timedelta(days=days)
        await sample.relay().trim(timedelta(days=14), timedelta(days=90))
        assert len(await sample.streams.read(BOX, START, 9)) == left


async def test_a_reader_that_was_cut_off_for_longer_goes_on_behind_the_retention(sample: Sample) -> None:
    """It waits for a Redis that is being filled again; then it goes on with what there still is."""
    await sample.tell(*(_asked(number) for number in range(1, 6)))
    await _publish(sample)
    reader = sample.reader(BOX, _hears())
    await reader.take(await sample.streams.read(BOX, START, 1))
    await sample.streams.trim(BOX, Position(1, 4))
    for _ in range(2):
        with pytest.raises(Exception, match="gap"):
            await reader.catch_up()
        sample.clock.time += timedelta(minutes=5, seconds=1)
    await reader.catch_up()
    assert [version for _, version in await sample.heard()] == [1, 4, 5]


async def test_a_box_gets_a_reader_once_something_is_in_it(sample: Sample) -> None:
    """A subscriber costs a connection, and most pairs of institutions never write to each other."""
    await sample.tell(_asked(1))
    await _publish(sample)
    subscriptions = Subscriptions(
        cast("Any", SimpleNamespace()), sample.streams, sample.database, _hears(), Settings(), sample.clock,
        cast("Any", Random),
    )  # fmt: skip
    names = ["album:1:pub:{vhs}:courses", BOX, *(f"album:1:box:{{vhs}}:i{number:03}" for number in range(450))]
    found: set[str] = set()
    for _ in range(3):
        found |= set(await subscriptions._to_open(names))
    assert found == {"album:1:pub:{vhs}:courses", BOX}
