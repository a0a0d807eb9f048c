"""Bad messages of every kind, each with the code under which it must wait, and good ones to come behind them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.contract.envelope import MAX_BYTES, MAX_DEPTH, encode
from shared.contract.events import RegistrantContactRecorded
from shared.contract.streams import StreamName
from shared.contract.words import Audience

PLAIN = "Nadia"


@dataclass(frozen=True)
class Kind:
    """A way to be bad: how it is written for an institution and a person, and the code under which it waits."""

    name: str
    code: str
    write: Callable[[str, str], bytes]
    slow: bool = False


def stream_of(institution: str) -> str:
    """Give the stream in which the contacts of an institution travel."""
    return str(StreamName(Audience.INSTITUTION, institution, "events"))


def good(institution: str, person: str, name: str = PLAIN) -> bytes:
    """Give the bytes of a contact; the name tells a handler that misbehaves what to do."""
    message = RegistrantContactRecorded(
        institution=institution, version=1, participant_id=person, name=name, mail="nadia@bad.example", language="ar"
    )
    return encode(message, id=f"msg_{person}", time=datetime.now(UTC))


def _changed(was: bytes, becomes: Callable[[str], bytes]) -> Callable[[str, str], bytes]:
    return lambda institution, person: good(institution, person).replace(was, becomes(institution))


def _handled(name: str) -> Callable[[str, str], bytes]:
    return lambda institution, person: good(institution, person, name)


KINDS = (
    Kind("not_json", "not_json", lambda *_: b"{"),
    Kind("no_cloudevent", "not_cloudevent", lambda *_: b'["no event"]'),
    Kind("too_deep", "too_deep", lambda *_: b"[" * (MAX_DEPTH + 20) + b"]" * (MAX_DEPTH + 20)),
    Kind("too_large", "too_large", _changed(PLAIN.encode(), lambda _: b"N" * (MAX_BYTES + 1))),
    Kind("other_speaker", "wrong_institution", _changed(b'"source":"/', lambda _: b'"source":"/somebody-')),
    Kind("unknown_type", "unknown_type", _changed(b"contact_recorded.v1", lambda _: b"contact_sung.v7")),
    Kind("invalid_data", "invalid", _changed(b'"version":1', lambda _: b'"version":"many"')),
    Kind("handler_fails", "ValueError", _handled("fails")),
    Kind("handler_asks_for_too_much", "MemoryError", _handled("asks for too much")),
    Kind("handler_eats_memory", "never_ends", _handled("eats memory")),
    Kind("handler_ends_the_process", "never_ends", _handled("ends the process")),
    Kind("handler_hangs", "never_ends", _handled("hangs")),
    Kind("handler_spins", "never_ends", _handled("spins"), slow=True),
)
