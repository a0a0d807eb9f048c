"""What the link keeps, on both databases."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.kit import migrate
from shared.kit.database import Database
from shared.kit.lease import Lease
from shared.kit.streams import GENESIS, Position
from shared.network import changes
from shared.network.entries import SignedEntry
from shared.network.held import Held
from shared.network.link.fence import NotLeading
from shared.network.link.rows import Down, Sent, Up
from shared.network.link.store import LinkStore
from shared.network.refusal import Refusal
from tests.integration.kit.sample import SteadyClock
from tests.integration.network.link_world import BOX, PUB, SERVICE, Always
from tests.unit.network.network_sample import AWO, NOW, holding, network


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Give a migrated database of each kind."""
    database = Database(database_url)
    await migrate.upgrade(SERVICE, database)
    yield database
    await database.close()


def _sent(seq: int, subject: str | None = "a", size: int = 3, epoch: int = 1) -> Sent:
    entry = SignedEntry(Position(epoch, seq), b"\x00" * size, "ab" * 8, bytes([seq]) * 32, bytes(64))
    return Sent(entry, subject, bytes([seq + 1]) * 32, bytes([seq]) * 32)


def _up(seq: int, epoch: int = 1) -> Up:
    return Up(Position(epoch, seq), bytes([seq + 1]) * 32, bytes([seq]) * 32, Position(1, 1))


async def test_a_roster_is_kept_and_never_an_older_one(database: Database) -> None:
    """Roots may be pinned before the first; a higher version that another copy kept stays."""
    store = LinkStore(database, Always())
    assert await store.held() is None
    first = network(AWO)
    assert await store.keep_held(Held(first.roots))
    assert await store.held() == Held(first.roots)
    older, newer = holding(first), holding(changes.issue(first, NOW))
    assert await store.keep_held(newer)
    assert not await store.keep_held(older)
    assert await store.held() == newer


async def test_what_was_signed_is_found_again_in_order_and_by_key(database: Database) -> None:
    """Pages end before they are large; the newest of each key; a repeat changes nothing."""
    store = LinkStore(database, Always())
    sent = [_sent(1), _sent(2, "b"), _sent(3), _sent(1, "c", epoch=2)]
    await store.keep_signed(PUB, sent, _up(1, 2), NOW)
    await store.keep_signed(PUB, sent[:1], _up(1, 2), NOW)
    assert await store.ups() == {PUB: _up(1, 2)}
    assert await store.sent_after(PUB, Position(1, 1)) == sent[1:]
    assert await store.sent_at(PUB, Position(1, 2)) == sent[1]
    assert await store.sent_at(PUB, Position(1, 9)) is None
    assert await store.last_sent(PUB, Position(1, 9)) == sent[2]
    assert {key: place for key, (place, _) in (await store.newest_hashes(PUB)).items()} == {
        "a": Position(1, 3),
        "b": Position(1, 2),
        "c": Position(2, 1),
    }
    assert list(await store.newest_after(PUB, "a")) == ["b", "c"]
    await store.keep_signed(BOX, [_sent(n, None, 600_000) for n in (1, 2, 3)], _up(3), NOW)
    assert len(await store.sent_after(BOX, Position(0, 0))) == 1
    await store.forget_signed(PUB, Position(1, 2), _up(2))
    assert (await store.sent_after(PUB, Position(0, 0)), (await store.ups())[PUB]) == (sent[:2], _up(2))


async def test_trimming_keeps_the_newest_of_each_key_and_the_end(database: Database) -> None:
    """What is left begins at the floor."""
    store = LinkStore(database, Always())
    await store.keep_signed(PUB, [_sent(1), _sent(2, "b"), _sent(3)], _up(3), NOW)
    later = NOW + timedelta(days=1)
    assert await store.trim_signed(PUB, NOW) is None
    assert await store.trim_signed(PUB, later) == Position(1, 3)
    assert [s.entry.position.seq for s in await store.sent_after(PUB, Position(0, 0))] == [2, 3]
    assert (await store.ups())[PUB].floor == Position(1, 3)


async def test_of_a_box_that_goes_which_was_taken_or_is_too_old(database: Database) -> None:
    """It is counted how many entries nobody took; the floor never goes back."""
    store = LinkStore(database, Always())
    await store.keep_signed(BOX, [_sent(n, None) for n in range(1, 5)], _up(4), NOW)
    assert await store.trim_taken(BOX, None, NOW) == (None, 0)
    assert await store.trim_taken(BOX, Position(1, 2), NOW) == (Position(1, 3), 0)
    assert [s.entry.position.seq for s in await store.sent_after(BOX, Position(0, 0))] == [3, 4]
    assert await store.trim_taken(BOX, Position(1, 3), NOW + timedelta(days=1)) == (Position(1, 5), 1)
    assert await store.sent_after(BOX, Position(0, 0)) == []
    assert (await store.ups())[BOX].floor == Position(1, 5)


async def test_since_when_a_box_is_taken_is_kept_and_never_goes_back(database: Database) -> None:
    """The position of a moment is the last one known before it."""
    store = LinkStore(database, Always())
    days = [NOW + timedelta(days=number) for number in range(5)]
    for day, taken in zip(days, (0, 2, 1, 2, 4), strict=True):
        await store.mark_taken(BOX, Position(1, taken) if taken else Position(0, 0), day)
    assert await store.passed_before(BOX, days[1]) is None
    assert await store.passed_before(BOX, days[4]) == Position(1, 2)
    assert await store.passed_before(BOX, days[4] + timedelta(seconds=1)) == Position(1, 4)


async def test_a_refused_entry_waits_until_its_stream_has_passed_it(database: Database) -> None:
    """It counts how often it was tried; what anybody may write into an entry is kept without harm."""
    store = LinkStore(database, Always())
    bad = SignedEntry(Position(2**64 - 1, 2**64 - 1), b"\x00", "\x00\xff" * 60, b"x" * 100, b"y" * 500)
    await store.put_aside(PUB, bad, Refusal("unknown_key", "no key \x00"), NOW, waits=True)
    await store.put_aside(PUB, _sent(5).entry, Refusal("not_genuine", "forged"), NOW, waits=True)
    await store.put_aside(PUB, _sent(5).entry, Refusal("gap", "again"), NOW + timedelta(1), waits=True)
    await store.put_aside(BOX, _sent(1).entry, Refusal("key_gone", "gone"), NOW, waits=False)
    waiting = await store.waiting()
    assert list(waiting) == [PUB]
    first = waiting[PUB]
    assert (first.position, first.code, first.attempts, first.since) == (Position(1, 5), "gap", 2, NOW)
    await store.keep_down(PUB, Down(Position(1, 5), GENESIS, Position(1, 5), None))
    assert (await store.waiting())[PUB].reason == "no key ?"
    await store.forget_quarantine(NOW + timedelta(days=2))
    assert await store.downs() == {PUB: Down(Position(1, 5), GENESIS, Position(1, 5), None)}


async def test_marks_tell_where_a_stream_stood(database: Database) -> None:
    """The last mark before a moment counts; older ones go."""
    store = LinkStore(database, Always())
    for day in range(3):
        await store.keep_down(PUB, Down(Position(1, day + 1), None, Position(1, day + 1), None))
        await store.mark_downs(NOW + timedelta(days=day))
    await store.mark_downs(NOW + timedelta(days=2))
    assert await store.passed_before(PUB, NOW) is None
    assert await store.passed_before(PUB, NOW + timedelta(days=1, hours=1)) == Position(1, 2)
    assert await store.passed_before(PUB, NOW + timedelta(hours=1)) is None


async def test_what_is_to_be_erased_stays_asked_for_until_it_is_done(database: Database) -> None:
    """Asking twice is asking once; the kept bytes go."""
    store = LinkStore(database, Always())
    await store.keep_signed(BOX, [_sent(1, None), _sent(2, None)], _up(2), NOW)
    for _ in range(2):
        await store.ask_removal(BOX, [Position(1, 1)], NOW)
    await store.ask_removal(BOX, [], NOW)
    assert await store.removals() == await store.removals(BOX) == {BOX: [Position(1, 1)]}
    await store.forget_sealed(BOX, [Position(1, 1)])
    await store.removed(BOX, [Position(1, 1)], NOW)
    assert await store.removals() == {}
    assert [s.entry.position.seq for s in await store.sent_after(BOX, Position(0, 0))] == [2]


async def test_a_copy_that_lost_its_lease_keeps_nothing(database: Database) -> None:
    """The lease's row is asked in the very transaction that writes."""
    clock = SteadyClock()
    one, two = Lease("link", "one", database, clock), Lease("link", "two", database, clock)
    await one.hold()
    clock.time += timedelta(minutes=1)
    await two.hold()
    with pytest.raises(NotLeading):
        await LinkStore(database, one).keep_signed(PUB, [_sent(1)], _up(1), NOW)
    await LinkStore(database, two).keep_signed(PUB, [_sent(1)], _up(1), NOW)
    assert await LinkStore(database, one).ups() == {PUB: _up(1)}
