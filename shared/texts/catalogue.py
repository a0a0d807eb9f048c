"""Reads the gettext catalogues; a language is there as soon as its .po file is there."""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

SOURCE = "en"
"""The catalogue that lists every text; its msgids are the source sentences."""

ReviewState = Literal["machine", "reviewed"]

_LOCALES = Path(__file__).parent / "locales"
_REVIEWED = "state: reviewed"


class UnknownTextError(KeyError):
    """A text is asked for that the source catalogue does not list."""


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a catalogue, sorted."""
    return tuple(sorted(path.parent.parent.name for path in _LOCALES.glob("*/LC_MESSAGES/album.po")))


@cache
def catalogue(language: str) -> Catalog:
    """Return the catalogue of a language; raises FileNotFoundError if it has none."""
    with (_LOCALES / language / "LC_MESSAGES" / "album.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


@cache
def translations(language: str) -> Translations:
    """Return the catalogue compiled in memory, with the plural rule of its header."""
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return Translations(compiled)


class LackingTextError(KeyError):
    """A language lacks a text that must not be mixed in from another one."""


def known(msgid: str) -> str:
    """Return the msgid; raises UnknownTextError if the source catalogue does not list it."""
    if msgid not in _source_texts():
        raise UnknownTextError(msgid)
    return msgid


@cache
def _source_texts() -> frozenset[str]:
    return frozenset(_texts(SOURCE))


def missing(language: str) -> list[str]:
    """Return the source texts that a language lacks; a text marked fuzzy counts as lacking."""
    there = _texts(language) if language in languages() else {}
    return [msgid for msgid in _texts(SOURCE) if msgid not in there or not _is_whole(there[msgid])]


@cache
def lacking(language: str) -> frozenset[str]:
    """Return what `missing` lists, for looking up."""
    return frozenset(missing(language))


def review_state(language: str) -> dict[str, ReviewState]:
    """Return for each text of a language whether a person has reviewed it."""
    return {msgid: _state(message) for msgid, message in _texts(language).items()}


def _state(message: Message) -> ReviewState:
    return "reviewed" if _REVIEWED in message.user_comments else "machine"


def _texts(language: str) -> dict[str, Message]:
    return {_key(message): message for message in catalogue(language) if message.id}


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _is_whole(message: Message) -> bool:
    forms = (message.string,) if isinstance(message.string, str) else message.string
    return not message.fuzzy and bool(forms) and all(forms or ())
