"""How own entries are signed, and those of a box sealed, for the hub."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from shared.kit.clock import Clock
from shared.kit.streams import Entry, Position, Streams
from shared.network.boxes import box_payload
from shared.network.entries import SignedEntry
from shared.network.hub.streams import HubStreams
from shared.network.identity import Identity
from shared.network.link.rows import Sent
from shared.network.link.store import LinkStore
from shared.network.names import hub_stream
from shared.network.refusal import Refusal
from shared.network.roster import Roster, RosterKey
from shared.network.signing import entry_is_genuine, sign_entry

Backfill = Callable[[str, Position, int], Awaitable[list[Entry]]]


class Stopped(Exception):  # noqa: N818 - a state of the stream, told to the operator
    """An own stream is not sent on: what lies here and what lies there do not fit, or no key may sign."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.refusal = Refusal(code, reason)


@dataclass(frozen=True)
class Around:
    """What a stream of the link works with."""

    hub: HubStreams
    local: Streams
    store: LinkStore
    clock: Clock
    roster: Callable[[], Roster | None]
    identities: Sequence[Identity]
    backfill: Backfill


class Signing:
    """Signs the entries of one own stream with the key that speaks at each place."""

    def __init__(self, stream: str, around: Around) -> None:
        self._stream = stream
        self._name = hub_stream(stream)
        self._around = around

    def signed(self, entry: Entry, previous: bytes) -> Sent:
        """Give an entry of the stream inside as it goes to the hub, behind a hash."""
        identity = self.identity_at(entry.position)
        payload = entry.payload if self._name.to is None else self._sealed(self._name.to, entry)
        signed = sign_entry(identity, self._stream, entry.position, previous, payload)
        return Sent(signed, self.subject_of(entry.payload), signed.hash(self._stream), entry.hash)

    def identity_at(self, position: Position) -> Identity:
        """Give the newest of our keys that speaks at a position, by the roster."""
        roster = self._around.roster()
        if roster is None:
            raise Stopped("no_roster", "no roster is held yet")
        why = Refusal("no_key", "there are no keys of this institution here")
        for identity in self._around.identities:
            key = roster.key_for(self._name.writer, identity.kid, self._stream, position)
            if isinstance(key, RosterKey):
                return identity
            why = key
        raise Stopped(why.code, why.reason)

    def _sealed(self, to: str, entry: Entry) -> bytes:
        roster = self._around.roster()
        member = roster.member(to) if roster else None
        key = member.box_key if member else None
        if key is None:
            raise Stopped("no_box_key", f"the roster has no key to seal messages for '{to}'")
        type_word = str(_event(entry.payload).get("type", ""))
        return box_payload(key.x25519, key.kid, to, self._name.writer, entry.position, type_word, entry.payload)

    def subject_of(self, payload: bytes) -> str | None:
        """Give the key of the thing that a message is about; None in a box."""
        return None if self._name.kind == "box" else str(_event(payload).get("subject", ""))

    def is_genuine(self, entry: SignedEntry) -> bool:
        """Tell whether an entry on the hub was signed with one of our keys."""
        roster = self._around.roster()
        member = roster.member(self._name.writer) if roster else None
        key = member.key(entry.kid) if member else None
        return key is not None and entry_is_genuine(key.ed25519, self._stream, entry)


def _event(payload: bytes) -> dict[str, Any]:
    """Read a message of ours; one that is none stops its own stream: others would not take it, and wait behind it."""
    try:
        event = from_json(payload)
    except ValueError as error:
        raise Stopped("not_json", f"a message inside is not JSON: {error}") from error
    if not isinstance(event, dict):
        raise Stopped("not_cloudevent", "a message inside is no CloudEvent")
    return event
