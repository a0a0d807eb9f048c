"""The cursor of a change feed: how far the stream of each institution was read; whoever keeps it need not read it."""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from shared.kit.errors import Invalid
from shared.kit.streams import START, Position

LONGEST = 16_000
_MOST_BYTES = 1024 * 1024
_POSITION = r"[0-9]{1,9}-[0-9]{1,18}"
_HEAD = re.compile(r"^1 ([a-z]+)$")
_LINE = re.compile(rf"^([a-z0-9-]{{2,40}}) ({_POSITION})(?: ({_POSITION}))?$")


@dataclass(frozen=True, slots=True)
class Place:
    """How far one stream was read; with `until`, the newest of each key up to there is being given."""

    at: Position = START
    until: Position | None = None


Places = Mapping[str, Place]
"""The places by institution; whoever is missing is read from the start."""


def write_cursor(service: str, places: Places) -> str:
    """Give the cursor of a service's feed; the same places give the same text."""
    lines = [f"1 {service}"]
    for institution, place in sorted(places.items()):
        if place != Place():
            lines.append(f"{institution} {place.at}" + (f" {place.until}" if place.until else ""))
    return urlsafe_b64encode(zlib.compress("\n".join(lines).encode(), 9)).decode().rstrip("=")


def read_cursor(text: str, service: str) -> dict[str, Place]:
    """Read a cursor; raises Invalid with `cursor_unreadable`, or `cursor_of_another_service`."""
    head, *lines = _unpacked(text).split("\n")
    found = _HEAD.match(head)
    if found is None:
        raise _unreadable()
    if found[1] != service:
        raise Invalid(f"this cursor belongs to the feed of {found[1]}", code="cursor_of_another_service")
    return dict(_place(line) for line in lines)


def _unpacked(text: str) -> str:
    try:
        packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(packed, _MOST_BYTES)
        # The end carries a checksum: a cursor that was cut off must not be read as an earlier or later one.
        if not unpacking.eof or unpacking.unused_data:
            raise _unreadable()
        return plain.decode()
    except (ValueError, zlib.error) as error:
        raise _unreadable() from error


def _place(line: str) -> tuple[str, Place]:
    found = _LINE.match(line)
    if found is None:
        raise _unreadable()
    return found[1], Place(Position.parse(found[2]), Position.parse(found[3]) if found[3] else None)


def _unreadable() -> Invalid:
    return Invalid("this is no cursor of a change feed; begin again without one", code="cursor_unreadable")
