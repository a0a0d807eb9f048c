"""Entries, values of the state, and heartbeats in their bytes."""

from dataclasses import replace
from hashlib import sha256

import pytest

from shared.kit.streams import Position
from shared.network.beats import Beat, BeatRefused, beat_payload, hashes_of, read_beat, state_digest
from shared.network.entries import (
    SignedBeat,
    beat_fields,
    beat_of,
    entry_fields,
    entry_of,
    from_state_value,
    state_value,
)
from shared.network.names import HubStream, box_stream, hub_stream, pub_stream, read_position
from shared.network.packed import packed
from tests.unit.network.network_sample import AWO, NOW, STREAM, VHS, identity, written

ENTRY = written(identity(AWO), count=1)[0]


def test_an_entry_comes_back_from_its_fields_and_from_the_state() -> None:
    """Both forms hold everything, unchanged."""
    assert entry_of(ENTRY.position, entry_fields(ENTRY)) == ENTRY
    assert from_state_value(state_value(ENTRY)) == ENTRY
    assert state_value(ENTRY).startswith(packed("1-1", ENTRY.kid))


def test_an_entry_without_fields_is_an_entry_that_the_border_refuses() -> None:
    """Whatever lies on the hub, reading it raises nothing."""
    empty = entry_of(Position(1, 1), {})
    assert (empty.payload, empty.kid, empty.previous, empty.signature) == (b"", "", b"", b"")
    assert entry_of(Position(1, 1), {b"k": b"\xff\xfe"}).kid == "ÿþ"


@pytest.mark.parametrize(
    "value",
    [b"", state_value(ENTRY)[:-1], state_value(ENTRY) + b"x", packed("1_0-1", "k", b"", b"", b""), packed("1-1", "k")],
)
def test_a_broken_value_of_the_state_is_refused(value: bytes) -> None:
    """What is cut, longer, or has an odd position is no value."""
    with pytest.raises(ValueError, match=r"part|position"):
        from_state_value(value)


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "+1-1", "01-1", "1-01", "1_0-1", " 1-1", "1-1\n", "1-1-1", "١-1"]
)
def test_a_position_has_one_spelling(text: str) -> None:
    """Two spellings would be two names for one place; Python's own `int` reads several of them (the control)."""
    with pytest.raises(ValueError, match="position"):
        read_position(text)
    assert int("1_0") == int(" 10") == int("+10") == 10


def test_streams_are_taken_apart_and_put_together() -> None:
    """The writer of a public stream owns it; the writer of a box is named behind its receiver."""
    assert hub_stream(STREAM) == HubStream("pub", writer=AWO, service="courses")
    box = hub_stream(box_stream(VHS, AWO))
    assert (box.writer, box.to, box.name) == (AWO, VHS, box_stream(VHS, AWO))
    assert hub_stream(STREAM).name == STREAM == pub_stream(AWO, "courses")


@pytest.mark.parametrize(
    "name",
    [
        "album:1:net:roster",
        "album:1:own:{awo}:courses",
        STREAM + ":state",
        STREAM + "\n",
        "xalbum:1:pub:{awo}:courses",
        "album:1:pub:{a}:courses",
        "album:1:pub:awo:courses",
        "album:1:box:{awo}:",
    ],
)
def test_other_names_are_no_streams_of_institutions(name: str) -> None:
    """The link mirrors nothing else."""
    with pytest.raises(ValueError, match="no stream"):
        hub_stream(name)


def test_a_heartbeat_comes_back() -> None:
    """From its bytes and from its fields; an empty hash holds none."""
    beat = Beat(ENTRY.position, ENTRY.hash(STREAM), 1, "00", NOW)
    assert read_beat(beat_payload(beat)) == beat
    signed = SignedBeat(beat_payload(beat), "k" * 16, b"s" * 64)
    assert beat_of(beat_fields(signed)) == signed
    assert beat_of({}) is None


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", beat_payload(Beat(Position(1, 1), b"", 1, "", NOW)).replace(b"1,", b"true,"), b'{"head": 1}'],
)
def test_a_broken_heartbeat_is_refused(payload: bytes) -> None:
    """Every part has its form."""
    with pytest.raises(BeatRefused):
        read_beat(payload)


def test_the_digest_is_the_one_of_the_protocol_and_sees_every_change() -> None:
    """Names in the order of their bytes, each with its entry's chain hash; a missing, extra or changed one shows."""
    entries = written(identity(AWO), count=3)
    state = {"ä": entries[0], "z": entries[1], "a": entries[2]}
    lines = [name.encode() + b"\n" + state[name].hash(STREAM) for name in ("a", "z", "ä")]
    assert state_digest(STREAM, state) == sha256(b"".join(lines)).hexdigest()
    beat = Beat(Position(1, 3), b"", 3, state_digest(STREAM, state), NOW)
    assert beat.fits(hashes_of(STREAM, state))
    assert not beat.fits(hashes_of(STREAM, {**state, "b": entries[0]}))
    assert not beat.fits(hashes_of(STREAM, {name: state[name] for name in ("a", "z")}))
    assert not beat.fits(hashes_of(STREAM, {**state, "a": entries[1]}))
    assert not beat.fits(hashes_of(STREAM, {**state, "a": replace(entries[2], payload=b"{}")}))
