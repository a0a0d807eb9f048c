"""The change feed: nothing is skipped, whatever happens to the streams between two pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest
import sqlalchemy as sa

from shared.contract import members
from shared.contract.envelope import Message, open_envelope
from shared.contract.words import FieldOfAction, ProjectState
from shared.kit import changes, migrate, tables
from shared.kit.changes import Change, Feed
from shared.kit.clock import Ids
from shared.kit.database import Database, insert
from shared.kit.errors import Invalid
from shared.kit.feed_cursor import Place, Places, read_cursor, write_cursor
from shared.kit.memory_streams import MemoryStreams
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.settings import Settings
from shared.kit.streams import START, Entry, Position, Streams
from shared.kit.work import Works
from tests.integration.kit.sample import PUB, SERVICE, Sample, SampleStore, SteadyClock, institution

LONG_AGO = timedelta(days=100)
NOWHERE: Places = {}


def project(number: int = 1, version: int = 1, owner: str = "awo") -> members.ProjectChanged:
    """Give a public message of an institution about one of its projects."""
    picture = members.ProjectPicture(
        project_id=f"project_{number:08d}",
        title=f"Garten ü {version}",
        state=ProjectState.PLANNED,
        field_of_action=FieldOfAction.DIALOGUE,
        starts_on=date(2027, 1, 1),
    )
    return members.ProjectChanged(institution=owner, version=version, picture=picture)


class Told:
    """A members service that tells, and its feed."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.streams = sample.streams
        self.relay = sample.relay()
        self.feed = Feed("members", "office", sample.database, sample.streams)

    async def publish(self) -> None:
        """Bring what was committed into the streams."""
        assert await self.sample.lease.hold()
        while await self.relay.step():
            pass

    async def tell(self, *messages: Message) -> None:
        """Commit messages and publish them."""
        await self.sample.tell(*messages)
        await self.publish()

    async def join(self, *slugs: str) -> None:
        """Have institutions be known."""
        rows = [{"slug": slug, "name": slug, "state": "active", "version": 1} for slug in slugs]
        async with self.sample.database.transaction() as connection:
            await connection.execute(insert(connection, tables.institution).values(rows).on_conflict_do_nothing())

    async def trim(self) -> None:
        """Have everything told so far be older than the retention."""
        self.sample.clock.time += LONG_AGO
        assert await self.sample.lease.hold()
        await self.relay.trim(timedelta(days=14), timedelta(days=90))

    async def all(self, since: Places = NOWHERE, limit: int = 100) -> tuple[list[Change], Places]:
        """Read page by page until there is no more."""
        found: list[Change] = []
        while True:
            # Through the text each time, as a caller does.
            page = await self.feed.page(read_cursor(write_cursor("members", since), "members"), limit)
            assert len(page.changes) <= limit
            found += page.changes
            since = page.places
            if not page.more:
                return found, since


@asynccontextmanager
async def opened(url: str, streams: Streams) -> AsyncIterator[Told]:
    """Open a service on a fresh database."""
    database = Database(url)
    await migrate.upgrade(SERVICE, database)
    clock = SteadyClock()
    works = Works(database, SampleStore, clock, Ids(Random(1), clock), Settings())
    told = Told(Sample(database, works, clock, streams))
    await told.join("awo", "amfn")
    yield told
    await database.close()


@pytest.fixture
async def told(sqlite_url: str) -> AsyncIterator[Told]:
    """Give a service with streams in memory."""
    async with opened(sqlite_url, MemoryStreams()) as service:
        yield service


def _seen(found: list[Change]) -> list[str]:
    return [f"{change.institution} {change.position}" for change in found]


async def test_the_start_is_the_newest_of_each_thing_and_then_every_message(told: Told) -> None:
    """Ten versions of one thing come as one; what is told afterwards comes message by message, the exact bytes."""
    await told.tell(*(institution("awo", n) for n in range(1, 11)), institution("amfn", 1))
    found, places = await told.all(limit=1)
    assert _seen(found) == ["office 1-10", "office 1-11"]
    await told.tell(institution("awo", 11), institution("awo", 12))
    behind, places = await told.all(places)
    assert _seen(behind) == ["office 1-12", "office 1-13"]
    entries = await told.streams.read(PUB, START, 99)
    assert [each.payload for each in behind] == [each.payload for each in entries[-2:]]
    assert await told.all(places) == ([], places)


async def test_a_message_that_is_committed_late_is_not_skipped(postgres_url: str) -> None:
    """Written first, committed last: it comes, though it lies before the serial that a naive feed would have kept."""
    async with opened(postgres_url, MemoryStreams()) as told:
        async with told.sample.works() as work:
            work.tell(institution("late", 1))
            await work.keep_told()
            await told.tell(institution("early", 1))
            seen, places = await told.all()
            serial = sa.select(sa.func.max(tables.outbox.c.id))
            async with told.sample.database.reading() as connection:
                highest = await connection.scalar(serial)
        await told.publish()
        late, _ = await told.all(places)
        async with told.sample.database.reading() as connection:
            naive = await connection.scalar(sa.select(sa.func.count()).where(tables.outbox.c.id > highest))
    assert (_seen(seen), _seen(late)) == (["office 1-1"], ["office 1-2"])
    assert b"late" in late[0].payload
    assert naive == 0  # the control: by serial it would be passed over for ever


async def test_a_place_before_the_trim_just_works(told: Told) -> None:
    """What was trimmed comes as the newest of each thing, what is left message by message."""
    await told.tell(*(institution(f"i{n}-x", 1) for n in range(5)))
    _, places = await told.all()
    await told.tell(*(institution("i1-x", n) for n in range(2, 9)), institution("i2-x", 2))
    await told.trim()
    await told.tell(institution("i3-x", 2), institution("i3-x", 3))
    found, behind = await told.all(places, limit=2)
    assert _seen(found) == ["office 1-12", "office 1-13", "office 1-15"]
    assert behind == {"office": Place(Position(1, 15))}


async def test_a_wiped_redis_is_read_on_from_the_same_places(sqlite_url: str, redis_url: str) -> None:
    """Nothing comes twice and nothing is lost, whether the cursor was in the middle of the state or behind it."""
    client = connect(redis_url)
    async with opened(sqlite_url, RedisStreams(client)) as told:
        await told.tell(*(institution(f"i{n}-x", 1) for n in range(6)))
        first = await told.feed.page({}, 3)
        whole, behind = await told.all()
        await client.flushdb()
        for places in (first.places, behind):
            page = await told.feed.page(places, 3)
            assert (page.changes, page.places, page.more) == ([], places, False)
        await told.relay.check()
        await told.tell(institution("i0-x", 2))
        rest, _ = await told.all(first.places, limit=2)
        assert _seen(rest) == [f"office 1-{n}" for n in (4, 5, 6, 7)]
        assert _seen((await told.all(behind))[0]) == ["office 1-7"]
        assert [each.payload for each in [*first.changes, *rest]][:6] == [each.payload for each in whole]
    await client.aclose()


async def test_a_lost_tail_is_waited_for_in_the_middle_of_the_state(told: Told) -> None:
    """Redis lost its last second: an older state must not stand for the one that the cursor was promised."""
    await told.tell(*(institution(f"i{n}-x", 1) for n in range(6)))
    saved = deepcopy(vars(told.streams))
    await told.tell(institution("i2-x", 2))
    page = await told.feed.page({}, 1)
    vars(told.streams).update(saved)
    assert await told.all(page.places) == ([], page.places)
    await told.relay.check()
    assert _seen((await told.all(page.places))[0]) == [f"office 1-{n}" for n in (2, 4, 5, 6, 7)]


async def test_who_joins_later_appears(told: Told) -> None:
    """An institution that a cursor does not know is read from the start."""
    await told.tell(institution("awo", 1))
    _, places = await told.all()
    await told.tell(project(owner="kargah"))
    assert await told.all(places) == ([], places)
    await told.join("kargah")
    assert _seen((await told.all(places))[0]) == ["kargah 1-1"]


async def test_only_what_is_wanted_comes_and_the_place_moves_behind_the_rest(told: Told) -> None:
    """By institution the others keep their places; by type what is passed over does not come again."""
    await told.tell(institution("awo", 1), project(1), project(2))
    _, places = await told.all()
    changed = institution("amfn", 1)
    admitted = members.InstitutionAdmitted(institution="office", version=1, picture=changed.picture)
    await told.tell(changed, admitted, changed, project(3))
    page = await told.feed.page(places, 9, "awo")
    assert (_seen(list(page.changes)), page.places["office"]) == (["awo 1-3"], places["office"])
    page = await told.feed.page(places, 9, types=["members.institution.admitted.v1"])
    assert _seen(list(page.changes)) == ["office 1-3"]
    assert page.places == {"office": Place(Position(1, 4)), "awo": Place(Position(1, 3))}


async def test_a_busy_institution_hides_no_other(told: Told) -> None:
    """One change a page: the quiet one comes while the busy one always has more."""
    await told.tell(institution("awo", 1), project(1))
    _, places = await told.all()
    await told.tell(*(project(n) for n in range(20)), institution("amfn", 1))
    for _ in range(2):
        page = await told.feed.page(places, 1)
        places = page.places
    assert places["office"] == Place(Position(1, 2))


async def test_a_hole_in_a_stream_is_filled_from_its_state(told: Told) -> None:
    """Somebody deleted entries: what they told comes all the same, as far as it is still the newest."""
    assert isinstance(told.streams, MemoryStreams)
    await told.tell(institution("awo", 1))
    _, places = await told.all()
    await told.tell(*(institution(f"i{n}-x", 1) for n in range(5)))
    del told.streams._entries[PUB][3:5]
    found, _ = await told.all(places)
    assert _seen(found) == [f"office 1-{n}" for n in (2, 3, 4, 5, 6)]


async def test_a_page_reads_only_so_much_for_what_is_rare(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be empty though there is more; the next ones find it."""
    monkeypatch.setattr(changes, "MOST_READ", 10)
    monkeypatch.setattr(changes, "CHUNK", 4)
    await told.tell(institution("awo", 1))
    _, places = await told.all()
    told.sample.clock.time += timedelta(seconds=1)
    rare = members.InstitutionLeft(institution="office", version=99, picture=institution("awo").picture)
    await told.tell(*(institution("awo", n) for n in range(2, 40)), rare)
    pages = []
    for _ in range(5):
        page = await told.feed.page(places, 5, types=[rare.type])
        places = page.places
        pages.append((len(page.changes), page.more))
    assert pages[0] == (0, True)
    assert (1, False) in pages


async def test_what_is_no_message_is_passed_over(told: Told) -> None:
    """A broken entry would break the answer for everybody; readers park it with its reason."""
    await told.tell(institution("awo", 1))
    _, places = await told.all()
    broken = Entry(Position(1, 2), b'{"no": "message"', bytes(32))
    await told.streams.append(PUB, Position(1, 1), [broken], {"x": broken})
    assert await told.all(places) == ([], {"office": Place(Position(1, 2))})


@pytest.mark.parametrize("checked", [True, False])
async def test_a_state_that_lost_keys_is_waited_for(told: Told, monkeypatch: pytest.MonkeyPatch, checked: bool) -> None:
    """The control: without the look at the writer's heartbeat the lost thing is passed over for ever."""
    await told.tell(institution("awo", 1), institution("amfn", 1))
    await told.join("kargah")
    await told.tell(project(1, owner="kargah"))
    await told.relay.check()
    assert isinstance(told.streams, MemoryStreams)
    lost = told.streams._state[PUB].pop("awo")
    if not checked:
        beat = await told.streams.heartbeat(PUB)
        assert beat is not None
        await told.streams.beat(PUB, replace(beat, keys=0, digest="", head=START))
    found, places = await told.all()
    told.streams._state[PUB]["awo"] = lost
    assert ("office" in places) is not checked
    assert "kargah 1-1" in _seen(found)
    again = _seen((await told.all(places))[0])
    assert again == (["office 1-1", "office 1-2"] if checked else [])


@pytest.mark.parametrize("seed", range(12))
async def test_a_follower_ends_with_the_newest_of_everything(sqlite_url: str, seed: int) -> None:
    """Messages, trims, wipes, lost tails, refills and pages in any order: places never go back, nothing is missing."""
    random = Random(seed)
    async with opened(sqlite_url, MemoryStreams()) as told:
        assert isinstance(told.streams, MemoryStreams)
        followed: dict[str, bytes] = {}
        versions: dict[str, int] = {}
        places: Places = {}
        reached = dict.fromkeys(("office", "awo", "amfn"), START)
        saved = deepcopy(vars(told.streams))
        for _ in range(80):
            step = random.choice([*["tell", "page"] * 3, "trim", "wipe", "save", "lose", "check"])
            if step == "tell":
                owner, number = random.choice(["awo", "amfn"]), random.randrange(6)
                key = f"{owner} {number}"
                versions[key] = versions.get(key, 0) + 1
                thing = project(number + (100 if owner == "awo" else 200), versions[key], owner)
                await told.tell(thing, institution(f"i{number}-x", versions[key]))
            elif step == "trim":
                await told.trim()
            elif step == "wipe":
                told.streams.wipe()
            elif step == "save":
                saved = deepcopy(vars(told.streams))
            elif step == "lose":
                vars(told.streams).update(deepcopy(saved))
            elif step == "check":
                await told.relay.check()
            else:
                places = await _follow(told, places, random.randrange(1, 5), followed, reached)
        await told.relay.check()
        more = True
        while more:
            before = places
            places = await _follow(told, places, 3, followed, reached)
            more = places != before
        wanted: dict[str, bytes] = {}
        for owner in reached:
            state = await told.streams.state(f"album:1:pub:{{{owner}}}:members")
            wanted |= {f"{owner} {key}": entry.payload for key, entry in state.items()}
    assert followed == wanted


async def _follow(
    told: Told, places: Places, limit: int, followed: dict[str, bytes], reached: dict[str, Position]
) -> Places:
    page = await told.feed.page(places, limit)
    for change in page.changes:
        assert change.position > reached[change.institution]
        reached[change.institution] = change.position
        subject = open_envelope(change.payload).subject
        followed[f"{change.institution} {subject}"] = change.payload
    return page.places


def test_a_cursor_comes_back_as_it_was_written() -> None:
    """The same places give the same text; the start is not written."""
    places = {"vhs-nord": Place(Position(2, 17)), "awo": Place(Position(1, 3), Position(1, 90)), "new": Place()}
    text = write_cursor("courses", places)
    assert text == write_cursor("courses", dict(reversed(places.items())))
    assert read_cursor(text, "courses") == {name: place for name, place in places.items() if name != "new"}


def test_a_cursor_that_was_changed_is_refused() -> None:
    """Cut off, turned round, of another service, too large when unpacked, or no cursor at all."""
    text = write_cursor("courses", {"awo": Place(Position(1, 70)), "kargah": Place(Position(1, 7))})
    bomb = write_cursor("courses", {f"i{n}": Place(Position(1, 70)) for n in range(100_000)})
    for wrong in (*(text[:n] for n in range(1, len(text))), text[::-1], text + "A", "ü", "x y", "eJw", bomb):
        with pytest.raises(Invalid) as refused:
            read_cursor(wrong, "courses")
        assert refused.value.code == "cursor_unreadable"
    with pytest.raises(Invalid) as refused:
        read_cursor(text, "events")
    assert refused.value.code == "cursor_of_another_service"
