"""The roster as a document: JSON that is signed as it stands, and read strictly."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.kit.streams import Position
from shared.network import strict
from shared.network.identity import PublicKeys
from shared.network.names import is_slug, read_position
from shared.network.refusal import Refused
from shared.network.roster import Member, Positions, RootKey, Roots, Roster, RosterKey, Status
from shared.network.signing import ed25519_is_sound, keys_are_sound

MAX_BYTES = 1024 * 1024


class RosterRefused(Refused):
    """A roster that is not taken; the one before stays."""


def document_of(roster: Roster) -> bytes:
    """Write a roster; the bytes are what is signed."""
    said = {
        "version": roster.version,
        "issued": _moment(roster.issued),
        "expires": _moment(roster.expires),
        "office": roster.office,
        "roots": {
            "threshold": roster.roots.threshold,
            "keys": [{"kid": key.kid, "ed25519": key.ed25519.hex()} for key in roster.roots.keys],
        },
        "institutions": [_member(one) for one in roster.institutions],
    }
    return json.dumps(said, separators=(",", ":")).encode()


def _member(member: Member) -> dict[str, Any]:
    keys = [_key(key) for key in member.keys]
    return {"slug": member.slug, "status": member.status.value, "cut": _positions(member.cut), "keys": keys}


def _key(key: RosterKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "ed25519": key.ed25519.hex(),
        "x25519": key.x25519.hex(),
        "from": _positions(key.begins),
        "revoked_from": None if key.revoked_from is None else _positions(key.revoked_from),
    }


def _positions(positions: Positions) -> dict[str, str]:
    return {stream: str(position) for stream, position in sorted(positions.items())}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_roster(document: bytes) -> Roster:
    """Read a roster; raises RosterRefused for anything that is not exactly of the form of the protocol.

    Names that this version does not know are passed over, so that a later one can add some.
    """
    try:
        said = strict.parse(document, max_bytes=MAX_BYTES)
        roster = _roster(said)
    except strict.JsonRefused as error:
        raise RosterRefused(error.code, f"the roster: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, RosterRefused):
            raise
        raise RosterRefused("not_a_roster", f"a part of it is missing or of another form: {error}") from error
    _check_names(roster)
    return roster


def _roster(said: Any) -> Roster:
    return Roster(
        version=_count(said["version"]),
        issued=_read_moment(said["issued"]),
        expires=_read_moment(said["expires"]),
        office=_slug(said["office"]),
        roots=_read_roots(said["roots"]),
        institutions=tuple(_read_member(one) for one in _list(said["institutions"])),
    )


def _read_roots(said: Any) -> Roots:
    keys = tuple(_read_root(one) for one in _list(said["keys"]))
    threshold = _count(said["threshold"])
    if threshold > len({key.kid for key in keys}) or len({key.kid for key in keys}) != len(keys):
        raise RosterRefused("wrong_roots", f"{threshold} signatures of {len(keys)} root keys cannot be asked for")
    return Roots(threshold, keys)


def _read_root(said: Any) -> RootKey:
    key = RootKey(bytes.fromhex(_text(said["ed25519"])))
    if not ed25519_is_sound(key.ed25519):
        raise RosterRefused("unsound_key", f"the root key {key.kid} is none that honest generation gives")
    _check_kid(said["kid"], key.kid)
    return key


def _read_member(said: Any) -> Member:
    slug, status = _slug(said["slug"]), said["status"]
    if status not in {one.value for one in Status}:
        raise RosterRefused("unknown_status", f"the status of '{slug}' is none of this protocol")
    keys = tuple(_read_key(one) for one in _list(said["keys"]))
    return Member(slug, Status(status), keys, _read_positions(said["cut"]))


def _read_key(said: Any) -> RosterKey:
    keys = PublicKeys(bytes.fromhex(_text(said["ed25519"])), bytes.fromhex(_text(said["x25519"])))
    if not keys_are_sound(keys):
        raise RosterRefused("unsound_key", f"the key {keys.kid} is none that honest generation gives")
    _check_kid(said["kid"], keys.kid)
    revoked = said["revoked_from"]
    return RosterKey(keys, _read_positions(said["from"]), None if revoked is None else _read_positions(revoked))


def _check_kid(said: Any, kid: str) -> None:
    if said != kid:
        raise RosterRefused("wrong_key_id", f"a key is called otherwise than {kid}")


def _check_names(roster: Roster) -> None:
    slugs = [one.slug for one in roster.institutions]
    kids = [key.kid for one in roster.institutions for key in one.keys]
    if len(set(slugs)) != len(slugs) or len(set(kids)) != len(kids):
        raise RosterRefused("named_twice", "an institution or a key stands in the roster twice")
    if roster.expires <= roster.issued:
        raise RosterRefused("not_a_roster", "it expires before it is issued")


def _read_positions(said: Any) -> dict[str, Position]:
    if not isinstance(said, Mapping):
        raise TypeError("positions are an object")
    return {stream: read_position(_text(position)) for stream, position in said.items()}


def _read_moment(said: Any) -> datetime:
    moment = datetime.fromisoformat(_text(said))
    if moment.tzinfo is None:
        raise ValueError("a moment has no time zone")
    return moment.astimezone(UTC)


def _count(said: Any) -> int:
    if type(said) is not int or said < 1:
        raise TypeError("a version and a threshold are whole numbers from 1")
    return said


def _slug(said: Any) -> str:
    if not is_slug(_text(said)):
        raise ValueError("a short name has other signs")
    return str(said)


def _list(said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise TypeError("a list is of another form")
    return said


def _text(said: Any) -> str:
    if not isinstance(said, str):
        raise TypeError("a text is of another form")
    return said
