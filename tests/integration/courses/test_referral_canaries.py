"""Canary strings in every personal field: where they may be read, and where never."""

import base64
import re
import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from services.courses import timers
from shared.kit import tables as kit
from shared.network import boxes
from tests.integration.courses.referral_network import (
    CANARIES,
    RECEIVER,
    SENDER,
    Network,
    consent,
    open_network,
)

THIRD = "amfn"
BOXES = re.compile(r"album:1:box:")


@pytest.fixture
async def network(database_url: str, tmp_path: Path) -> AsyncIterator[Network]:
    """Give the receiver on a database of each kind, the sender on SQLite, so that its file can be searched."""
    async with open_network(f"sqlite+aiosqlite:///{tmp_path}/sender.db", database_url) as opened:
        yield opened


def found_in(haystack: bytes) -> set[str]:
    """Name the canaries that somebody could read: as they are, escaped, in hexadecimal, in Base64."""
    decoded = [base64.b64decode(part[: len(part) // 4 * 4]) for part in re.findall(rb"[A-Za-z0-9+/]{60,}", haystack)]
    whole = b"\n".join([haystack, *decoded])
    forms = {
        name: {text.encode(), text.encode().hex().encode(), ascii(text)[1:-1].encode()}
        for name, text in CANARIES.items()
    }
    return {name for name, each in forms.items() if any(form in whole for form in each)}


async def _tables(network: Network, who: str, but: Iterable[str] = ()) -> bytes:
    """Give all rows of all tables as text."""
    house = network.houses[who]
    async with house.works.database.reading() as connection:
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        dumped = []
        for name in set(names) - set(but):
            dumped += [
                f"{name}: {tuple(map(_word, row))}"
                for row in await connection.execute(sa.text(f'SELECT * FROM "{name}"'))
            ]
    return "\n".join(dumped).encode()


def _word(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1").encode("latin-1").decode("utf-8", "replace")
    return str(value)


def _boxes(network: Network) -> bytes:
    """Give what stands in all boxes of all nodes, as Redis would dump it."""
    streams = {id(each): each for each in network.streams.values()}.values()
    entries = [e for one in streams for name, page in one._entries.items() if BOXES.match(name) for e in page]
    return b"\n".join(entry.payload for entry in entries)


async def _log_of_boxes(network: Network, who: str) -> bytes:
    async with network.houses[who].works.database.reading() as connection:
        rows = await connection.execute(
            sa.select(kit.outbox.c.payload).where(kit.outbox.c.stream.like("album:1:box:%"))
        )
        return b"\n".join(rows.scalars())


async def _sent(network: Network) -> str:
    """Bring a referral to where its content is sealed and on its way, and not read yet."""
    run_id, person = await network.run(), await network.person()
    referral_id = await network.refer(run_id, person)
    while (await network.referral(SENDER, referral_id))["state"] == "asked":
        await network.tell()
        await network.carry()
        await network.read()
    await network.tell()
    await network.carry()
    return referral_id


async def test_between_the_institutions_nobody_can_read_anything(network: Network) -> None:
    """Logs, boxes, the receiver's whole database, the sender's log of boxes: no canary, though the content is there."""
    with capture_logs() as logs:
        referral_id = await _sent(network)
        assert (await network.referral(SENDER, referral_id))["state"] == "sent"
        places = {
            "boxes": _boxes(network),
            "the sender's log": await _log_of_boxes(network, SENDER),
            "the receiver's tables": await _tables(network, RECEIVER),
            "the sender's referrals": await _tables(network, SENDER, but=("participant", "outbox")),
        }
        assert b"courses.referral.sent.v1" in places["boxes"]
        await network.flow()
    places["log lines"] = repr(logs).encode()
    found = {place: found_in(haystack) for place, haystack in places.items()}
    assert {place for place, canaries in found.items() if canaries} == set()
    assert (await network.states(referral_id)) == ("sent", "seat_held")


async def test_without_the_seal_every_canary_is_found(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same search, with content that is only encoded."""
    monkeypatch.setattr(boxes, "seal", lambda _public, _info, plaintext: plaintext)
    await _sent(network)
    assert found_in(_boxes(network)) == set(CANARIES)
    assert found_in(await _log_of_boxes(network, SENDER)) == set(CANARIES)


async def test_the_search_finds_what_the_receiver_may_read(network: Network) -> None:
    """The control for the receiver: once a seat is held, its database has everything."""
    await _sent(network)
    await network.flow()
    assert found_in(await _tables(network, RECEIVER)) == set(CANARIES)


def test_the_search_sees_through_encodings() -> None:
    """Plain, escaped, hexadecimal and Base64 within other text."""
    goal = CANARIES["profession"]
    for form in (goal, ascii(goal), goal.encode().hex(), base64.b64encode(f"{{{goal * 3}}}".encode()).decode()):
        assert found_in(f'x "{form}" y'.encode()) == {"profession"}


def _bytes_of_table(path: Path, table: str, condition: str) -> bytes:
    """Give the bytes of an SQLite file that holds these rows and nothing else."""
    copy = path.with_suffix(".copy")
    copy.unlink(missing_ok=True)
    with sqlite3.connect(path) as source:
        source.execute("ATTACH ? AS other", (str(copy),))
        source.execute(f"CREATE TABLE other.found AS SELECT * FROM {table} WHERE {condition}")
        source.commit()
    source.close()
    return copy.read_bytes()


async def test_the_senders_outbox_on_disk_holds_no_canary(network: Network, tmp_path: Path) -> None:
    """The rows of its boxes, as SQLite writes them: what a backup would carry away."""
    await _sent(network)
    raw = _bytes_of_table(tmp_path / "sender.db", "outbox", "stream LIKE 'album:1:box:%'")
    assert b"courses.referral.sent.v1" in raw
    assert found_in(raw) == set()


async def test_what_ended_is_blanked_in_the_senders_log_and_in_its_redis(network: Network) -> None:
    """As soon as the receiver has answered, not even the sealed content is left."""
    referral_id = await _sent(network)
    await network.flow()
    assert b'"sealed"' in _boxes(network)
    received = await network.referral(RECEIVER, referral_id)
    await network.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/accept")
    await network.flow()
    assert b'"sealed"' not in await _log_of_boxes(network, SENDER)
    there = network.streams_of(network.houses[SENDER])
    assert all(b'"sealed"' not in e.payload for name, page in there._entries.items() if BOXES.match(name) for e in page)


async def _decline(network: Network, referral_id: str) -> None:
    received = await network.referral(RECEIVER, referral_id)
    await network.ask(RECEIVER, "POST", f"enrolments/{received['enrolment_id']}/decline")


async def _expire(network: Network, _: str) -> None:
    network.turn(hours=49)
    await timers.expire_offers(network.houses[RECEIVER].node)


async def _recall(network: Network, referral_id: str) -> None:
    await network.ask(SENDER, "POST", f"referrals/{referral_id}/recall")


async def _erase(network: Network, referral_id: str) -> None:
    person = (await network.referral(SENDER, referral_id))["participant_id"]
    await network.ask(SENDER, "DELETE", f"participants/{person}")


@pytest.mark.parametrize("end", [_decline, _expire, _recall, _erase])
async def test_after_a_no_nothing_is_left_at_the_receivers(network: Network, end: Any, tmp_path: Path) -> None:
    """Declined, expired, recalled, erased: no row, no entry of a stream and no byte of the file holds a canary."""
    referral_id = await _sent(network)
    await network.flow()
    assert found_in(await _tables(network, RECEIVER)) == set(CANARIES)
    await end(network, referral_id)
    await network.flow()
    house = network.houses[RECEIVER]
    assert found_in(await _tables(network, RECEIVER)) == set()
    own = network.streams_of(house)._entries[f"album:1:own:{{{RECEIVER}}}:courses"]
    assert found_in(b"\n".join(entry.payload for entry in own)) == set()
    if house.works.database.is_sqlite:
        path = Path(sa.make_url(house.works.database.url).database or "")
        await house.works.database.checkpoint()
        files = [path, path.with_name(f"{path.name}-wal")]
        assert found_in(b"".join(file.read_bytes() for file in files if file.exists())) == set()


async def test_a_file_that_keeps_what_it_deletes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without overwriting, SQLite leaves deleted rows in its file, and the search finds them."""
    path = tmp_path / "plain.db"
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA secure_delete=OFF")
        plain.execute("CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)")
        plain.executemany("INSERT INTO person (name) VALUES (?)", [(CANARIES["name"],)] * 3)
        plain.commit()
        plain.execute("DELETE FROM person")
        plain.commit()
    plain.close()
    assert found_in(path.read_bytes()) == {"name"}


async def test_a_third_institution_on_the_line_gets_nothing(tmp_path: Path) -> None:
    """A third node that carries every stream of the others reads no box of theirs, and its database has no canary."""
    async with open_network(f"sqlite+aiosqlite:///{tmp_path}/both.db") as pair:
        referral_id = await _sent(pair)
        await pair.flow()
        assert (await pair.states(referral_id)) == ("sent", "seat_held")
        async with open_network(f"sqlite+aiosqlite:///{tmp_path}/third.db") as third:
            house = third.houses[SENDER]
            streams = pair.streams_of(pair.houses[SENDER])
            third.streams[id(house)] = streams
            hears = house.node.service.hears
            names = hears.streams([SENDER, RECEIVER, THIRD], "office", lambda slug: slug == THIRD)
            assert not [name for name in names if name.startswith(f"album:1:box:{{{RECEIVER}}}")]
            for name in sorted(names):
                await third.reader(house, name).catch_up()
            assert found_in(await _tables(third, SENDER)) == set()
    assert consent()["receiver"] == RECEIVER
