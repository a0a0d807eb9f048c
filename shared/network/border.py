"""The border of a node: what comes from the hub is checked here, in the order of the protocol, before it is read.

Pure: a page of entries and a roster go in, what may be taken comes out. A page ends at the first entry that is
refused; the stream waits there, until a newer roster brings the key or its writer goes on in a new epoch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.contract.envelope import source_of
from shared.kit.streams import GENESIS, Position
from shared.network import strict
from shared.network.beats import Beat, BeatRefused, read_beat
from shared.network.boxes import BoxRefused, outside_of
from shared.network.entries import SignedBeat, SignedEntry
from shared.network.names import HubStream, hub_stream
from shared.network.refusal import Refusal
from shared.network.roster import Roster, RosterKey
from shared.network.signing import beat_is_genuine, entry_is_genuine

Genuine = Callable[[bytes, str, SignedEntry], bool]
PUB_BYTES = 64 * 1024
BOX_BYTES = PUB_BYTES + 1024
FIRST = Position(1, 1)
_HASH_BYTES = 32
_A_ROSTER_MAY_HEAL = {"roster_expired", "unknown_institution", "unknown_key", "institution_not_active"}
_EXPIRED = Refusal("roster_expired", "the roster has expired; nothing new is taken until the office signs anew")


@dataclass(frozen=True)
class Checked:
    """What of a page may be taken, the first entry that may not, and the hash of the chain behind what was checked.

    `passed_over` holds what stays untaken for good, because its writer went on behind it in a new epoch.
    """

    accepted: list[SignedEntry]
    refused: SignedEntry | None = None
    code: str = ""
    reason: str = ""
    hash: bytes | None = None
    passed_over: list[tuple[SignedEntry, Refusal]] = field(default_factory=list)


@dataclass(frozen=True)
class CheckedState:
    """What of a state may be taken, and why the rest may not."""

    accepted: dict[str, SignedEntry]
    refused: dict[str, Refusal]


def check_page(
    roster: Roster,
    stream: str,
    previous: bytes | None,
    at: Position,
    entries: Sequence[SignedEntry],
    now: datetime,
    *,
    genuine: Genuine = entry_is_genuine,
) -> Checked:
    """Check the entries behind a position; `previous` is the hash of the chain there, None where it is not known.

    It is not known where nothing of the stream was taken yet, or its state was: the first entry is then taken with
    the hash it carries. Raises ValueError where `stream` is none of an institution.
    """
    border = _Border(roster, hub_stream(stream), stream, now, genuine)
    accepted: list[SignedEntry] = []
    passed: list[tuple[SignedEntry, Refusal]] = []
    index = 0
    while index < len(entries):
        entry = entries[index]
        refusal = border.refusal(previous, at, entry)
        if refusal is None:
            accepted.append(entry)
            index += 1
        else:
            ahead = border.new_epoch(entries, index, refusal)
            if ahead is None:
                return Checked(accepted, entry, refusal.code, refusal.reason, previous, passed)
            passed += [(one, refusal) for one in entries[index:ahead]]
            index = ahead
        previous, at = entries[index - 1].hash(stream), entries[index - 1].position
    return Checked(accepted, hash=previous, passed_over=passed)


def check_state(
    roster: Roster,
    stream: str,
    state: Mapping[str, SignedEntry],
    now: datetime,
    *,
    genuine: Genuine = entry_is_genuine,
) -> CheckedState:
    """Check the newest entry of every thing; an entry under another name than its own is refused."""
    border = _Border(roster, hub_stream(stream), stream, now, genuine)
    refused: dict[str, Refusal] = {}
    for name, entry in state.items():
        refusal = border.refusal_of_state(name, entry)
        if refusal is not None:
            refused[name] = refusal
    return CheckedState({name: entry for name, entry in state.items() if name not in refused}, refused)


def check_beat(roster: Roster, stream: str, beat: SignedBeat, now: datetime) -> Beat | Refusal:
    """Check a heartbeat: its key speaks at the position behind the head that it names."""
    if roster.expired(now):
        return _EXPIRED
    writer = hub_stream(stream).writer
    key = roster.known_key(writer, beat.kid)
    if isinstance(key, Refusal):
        return key
    if not beat_is_genuine(key.ed25519, stream, beat):
        return Refusal("not_genuine", "the signature is not the one of this key over this heartbeat")
    try:
        said = read_beat(beat.payload)
    except BeatRefused as error:
        return error.refusal
    if not key.speaks_at(stream, Position(said.head.epoch, said.head.seq + 1)):
        return Refusal("key_not_valid_here", f"the key {beat.kid} of '{writer}' does not speak behind {said.head}")
    return said


@dataclass(frozen=True)
class _Border:
    roster: Roster
    name: HubStream
    stream: str
    now: datetime
    genuine: Genuine

    def refusal(self, previous: bytes | None, at: Position, entry: SignedEntry) -> Refusal | None:
        """Say why an entry behind a place may not be taken, in the order of the protocol."""
        key = self._key(entry)
        if isinstance(key, Refusal):
            return key
        return _misplaced(previous, at, entry) or self._forged(key, entry) or self._unreadable(entry, None)

    def refusal_of_state(self, subject: str, entry: SignedEntry) -> Refusal | None:
        key = self._key(entry)
        if isinstance(key, Refusal):
            return key
        return self._forged(key, entry) or self._unreadable(entry, subject)

    def new_epoch(self, entries: Sequence[SignedEntry], refused: int, refusal: Refusal) -> int | None:
        """Find where the writer went on in a new epoch behind an entry that no newer roster will heal.

        Its first entry is signed and names the hash of all that was refused: its writer saw the very same.
        """
        if refusal.code in _A_ROSTER_MAY_HEAL or refusal.code == "gap":
            return None
        for index in range(refused + 1, len(entries)):
            before, entry = entries[index - 1], entries[index]
            if entry.position.epoch > before.position.epoch:
                return None if self.refusal(before.hash(self.stream), before.position, entry) else index
            if _misplaced(before.hash(self.stream), before.position, entry):
                return None
        return None

    def _key(self, entry: SignedEntry) -> RosterKey | Refusal:
        if self.roster.expired(self.now):
            return _EXPIRED
        return self.roster.key_for(self.name.writer, entry.kid, self.stream, entry.position)

    def _forged(self, key: RosterKey, entry: SignedEntry) -> Refusal | None:
        limit = PUB_BYTES if self.name.kind == "pub" else BOX_BYTES
        if len(entry.payload) > limit:
            return Refusal("too_large", f"the payload has {len(entry.payload)} bytes; {limit} is the limit")
        if not self.genuine(key.ed25519, self.stream, entry):
            return Refusal("not_genuine", "the signature is not the one of this key over this entry at this place")
        return None

    def _unreadable(self, entry: SignedEntry, subject: str | None) -> Refusal | None:
        try:
            if self.name.kind == "box":
                outside_of(entry.payload)
                return None
            event = strict.parse(entry.payload)
        except (strict.JsonRefused, BoxRefused) as error:
            return error.refusal
        return self._misattributed(event, subject)

    def _misattributed(self, event: object, subject: str | None) -> Refusal | None:
        source = source_of(self.name.writer, self.name.service or "")
        if not isinstance(event, dict) or event.get("source") != source:
            return Refusal("wrong_source", f"the message is no CloudEvent whose source is '{source}'")
        if subject is not None and event.get("subject") != subject:
            return Refusal("wrong_subject", "the state has a message under another name than its subject")
        return None


def _misplaced(previous: bytes | None, at: Position, entry: SignedEntry) -> Refusal | None:
    """Say why an entry does not stand right behind a place; without a hash, the first of a trimmed stream is."""
    if previous is None:
        fits = entry.position > at and entry.position.epoch >= 1 and entry.position.seq >= 1
        previous = GENESIS if entry.position == FIRST else entry.previous
    else:
        fits = entry.position.follows(at) and entry.position.epoch >= 1
    if not fits:
        return Refusal("gap", f"{entry.position} does not follow {at}")
    if entry.previous != previous or len(previous) != _HASH_BYTES:
        return Refusal("wrong_previous", f"{entry.position} names another hash of what came before it")
    return None
