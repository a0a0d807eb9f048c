"""The streams on the hub, and who may write and who may read each."""

import re
from dataclasses import dataclass
from typing import Literal

from shared.contract.words import RESERVED_SLUG
from shared.kit.streams import Position

PREFIX = "album:1:"
ROSTER = "album:1:net:roster"
_SLUG = r"[a-z0-9-]{2,40}"
_PUB = re.compile(rf"album:1:pub:\{{({_SLUG})\}}:([a-z]+)")
_BOX = re.compile(rf"album:1:box:\{{({_SLUG})\}}:({_SLUG})")
_POSITION = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})")
# A user of the hub has the name of its institution.
_SLUGS = re.compile(rf"(?!({RESERVED_SLUG})$){_SLUG}")


@dataclass(frozen=True, slots=True)
class HubStream:
    """A stream of an institution on the hub, taken apart."""

    kind: Literal["pub", "box"]
    writer: str
    service: str | None = None
    to: str | None = None

    @property
    def name(self) -> str:
        """Give the name on the hub."""
        return pub_stream(self.writer, self.service or "") if self.to is None else box_stream(self.to, self.writer)


def pub_stream(institution: str, service: str) -> str:
    """Name the public stream of one service of an institution."""
    return f"album:1:pub:{{{institution}}}:{service}"


def box_stream(to: str, sender: str) -> str:
    """Name the stream of sealed messages from one institution to another."""
    return f"album:1:box:{{{to}}}:{sender}"


def join_hash(slug: str) -> str:
    """Name the hash in which an institution asks to join, or to change its keys."""
    return f"album:1:net:join:{{{slug}}}"


def join_user(slug: str) -> str:
    """Name the user as which somebody who is invited comes to the hub."""
    return f"join-{slug}"


def hub_stream(name: str) -> HubStream:
    """Take the name of an institution's stream apart; raises ValueError where it is none."""
    if found := _PUB.fullmatch(name):
        return HubStream("pub", writer=found[1], service=found[2])
    if found := _BOX.fullmatch(name):
        return HubStream("box", writer=found[2], to=found[1])
    raise ValueError(f"'{name[:100]}' is no stream of an institution on the hub")


def is_slug(text: str) -> bool:
    """Tell whether a text can be the short name of an institution, and the name of its user on the hub."""
    return _SLUGS.fullmatch(text) is not None


def read_position(text: str | bytes) -> Position:
    """Read a position that somebody else wrote, in its one form; raises ValueError for any other spelling."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    found = _POSITION.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:50]}' is no position")
    return Position(int(found[1]), int(found[2]))
