"""What keeps a command or a service from its work and lies outside the program, in one line for whoever runs it."""

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import ValidationError
from pydantic_core import to_jsonable_python
from pydantic_settings import SettingsError
from redis.exceptions import RedisError

from shared.kit.applying import is_transient
from shared.kit.errors import Transient, words_of
from shared.kit.settings import Settings

# Connection, authorisation, no such database, resources, intervention, system (PostgreSQL, appendix A).
_OUTSIDE = {"08", "28", "3D", "53", "57", "58"}
_OUTSIDE_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


class Unable(Exception):  # noqa: N818 - no fault of the program: its text says what is missing and what to do
    """Something cannot be done for a reason outside the program; the text is for the person who can act."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """End the process with 1 and one line on what lies outside the program; a fault of its own keeps its traceback."""
    try:
        yield
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        sys.stderr.write(" ".join(sentence.split()) + "\n")
        raise SystemExit(1) from error


@contextmanager
def database_named(service: str, url: str) -> Iterator[None]:
    """Say which database is meant where one cannot be opened; raises Unable. The password is not said."""
    try:
        yield
    except Exception as error:
        word = _outside(error)
        if word is None:
            raise
        place = place_of(url)
        raise Unable(f"the database of {service} cannot be opened ({word}); ALBUM_DATABASE names {place}") from error


def sentence_of(error: Exception) -> str | None:
    """Say what is wrong outside the program and what to do; None for a fault of the program."""
    if isinstance(error, Unable):
        return str(error)
    if isinstance(error, SettingsError) or (isinstance(error, ValidationError) and error.title == Settings.__name__):
        return _of_settings(error)
    if isinstance(error, Transient | RedisError):
        return _of_redis(error)
    if isinstance(error, sa.exc.DBAPIError):
        return f"the database does not answer ({_outside(error)}); try again" if is_transient(error) else None
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error) or type(error).__name__
    return None


def place_of(url: str) -> str:
    """Give an address without what is secret in it."""
    if url.startswith("sqlite"):
        return url.partition(":///")[2]
    found = urlsplit(url)
    return f"{found.hostname or ''}{f':{found.port}' if found.port else ''}{found.path}"


def _of_redis(error: Exception) -> str:
    said = str(error) if isinstance(error, Transient) else f"Redis refuses: {words_of(error)}"
    if not said.startswith("Redis"):
        return said
    return f"{said}; is it running? ALBUM_REDIS names {place_of(Settings().redis)}"


def _of_settings(error: SettingsError | ValidationError) -> str:
    if isinstance(error, SettingsError):
        found = re.search(r'field "(\w+)"', str(error))
        name = found[1] if found else ""
        return f"ALBUM_{name.upper()} is no JSON{_default(name)}"
    return "; ".join(
        _setting([str(part) for part in fault["loc"]], fault["msg"])
        for fault in error.errors(include_input=False, include_url=False)
    )


def _setting(path: list[str], said: str) -> str:
    inside = f" ({'.'.join(path[1:])})" if path[1:] else ""
    said = re.sub(r"^(Value error, |Input )", "", said)
    return f"ALBUM_{path[0].upper()}{inside} {said}{_default(path[0])}"


def _default(name: str) -> str:
    """Show how a good value looks: the one that holds where nothing is set."""
    field = Settings.model_fields.get(name)
    if field is None or not field.default:
        return ""
    return f"; left out it is {str(to_jsonable_python(field.default)).replace(chr(39), chr(34))}"


def _outside(error: Exception) -> str | None:
    """Name what keeps a database from being opened; None where it is a fault of the program."""
    cause: BaseException = (error.orig if isinstance(error, sa.exc.DBAPIError) else None) or error
    code = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None)
    if code is not None:
        return str(getattr(cause, "sqlite_errorname", code)) if code & 0xFF in _OUTSIDE_SQLITE else None
    if state is not None:
        return _word(cause) if state[:2] in _OUTSIDE else None
    return _word(cause) if is_transient(error) else None


def _word(cause: BaseException) -> str:
    return type(cause.__cause__ or cause).__name__
