"""The names of the streams; the braces are the hash tag of Redis Cluster."""

import re
from dataclasses import dataclass

from shared.contract.envelope import Message, service_of
from shared.contract.words import Audience

_PATTERN = re.compile(r"^album:1:(pub|own):\{([a-z0-9-]{2,40})\}:([a-z]+)$")
_SPACE = {Audience.NETWORK: "pub", Audience.INSTITUTION: "own"}


@dataclass(frozen=True)
class StreamName:
    """A stream's name taken apart."""

    audience: Audience
    institution: str
    service: str

    def __str__(self) -> str:
        return f"album:1:{_SPACE[self.audience]}:{{{self.institution}}}:{self.service}"


def parse_stream(name: str) -> StreamName:
    """Take a stream's name apart; raises ValueError where it is none of ours."""
    found = _PATTERN.match(name)
    if found is None:
        raise ValueError(f"'{name}' is no stream of the network")
    audience = Audience.NETWORK if found[1] == "pub" else Audience.INSTITUTION
    return StreamName(audience, found[2], found[3])


def stream_for(message: Message) -> str:
    """Name the stream on which a message travels."""
    return str(StreamName(message.audience, message.institution, service_of(type(message))))
