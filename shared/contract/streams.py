"""The names of the streams; the braces are the hash tag of Redis Cluster."""

import re
from dataclasses import dataclass, replace

from shared.contract.envelope import Message, SealedMessage, service_of
from shared.contract.words import Audience

_SLUG = "[a-z0-9-]{2,40}"
_PATTERN = re.compile(rf"^album:1:(?:(pub|own):\{{({_SLUG})\}}:([a-z]+)|box:\{{({_SLUG})\}}:({_SLUG}))$")
_SPACE = {Audience.NETWORK: "pub", Audience.INSTITUTION: "own", Audience.SEALED: "box"}

BOX_SERVICE = "courses"
"""The service that writes and reads all boxes of an institution."""


@dataclass(frozen=True)
class StreamName:
    """A stream's name taken apart; a box is named by its addressee, and `sender` is who writes it."""

    audience: Audience
    institution: str
    service: str
    sender: str | None = None

    @property
    def speaker(self) -> str:
        """Give the institution that writes the stream."""
        return self.sender or self.institution

    def __str__(self) -> str:
        return f"album:1:{_SPACE[self.audience]}:{{{self.institution}}}:{self.sender or self.service}"


def box(to: str, sender: str) -> StreamName:
    """Name the stream in which one institution writes to another."""
    return StreamName(Audience.SEALED, to, BOX_SERVICE, sender)


def parse_stream(name: str) -> StreamName:
    """Take a stream's name apart; raises ValueError where it is none of ours."""
    found = _PATTERN.match(name)
    if found is None:
        raise ValueError(f"'{name}' is no stream of the network")
    if found[1] is None:
        return box(found[4], found[5])
    audience = Audience.NETWORK if found[1] == "pub" else Audience.INSTITUTION
    return StreamName(audience, found[2], found[3])


def public_beside(stream: str) -> str | None:
    """Name the public stream that tells of the things of which an own stream tells people; None beside others."""
    name = parse_stream(stream)
    own = name.audience is Audience.INSTITUTION
    return str(replace(name, audience=Audience.NETWORK)) if own else None


def stream_for(message: Message) -> str:
    """Name the stream on which a message travels."""
    if isinstance(message, SealedMessage):
        return str(box(message.to, message.institution))
    return str(StreamName(message.audience, message.institution, service_of(type(message))))
