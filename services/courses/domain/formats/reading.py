"""Every format in which a catalogue comes in, by its name; the name is the source that an import remembers."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import BinaryIO, Final, Literal, TypeAlias

from services.courses.domain.catalogue import Entry
from services.courses.domain.formats.csv_in import read_csv
from services.courses.domain.formats.ics_in import read_ics
from services.courses.domain.kufer import read_kufer

Format: TypeAlias = Literal["kufer", "ics", "csv"]
Reader: TypeAlias = Callable[[BinaryIO, str, datetime], Iterator[Entry]]

READERS: Final[Mapping[Format, Reader]] = MappingProxyType(
    {
        "kufer": lambda stream, institution, now: read_kufer(stream),
        "ics": lambda stream, institution, now: read_ics(stream, now),
        "csv": lambda stream, institution, now: read_csv(stream, institution),
    }
)


def read(form: Format, stream: BinaryIO, institution: str, now: datetime) -> tuple[Entry, ...]:
    """Read a whole file of a format; what cannot be read comes as a BrokenRow, nothing is raised."""
    return tuple(READERS[form](stream, institution, now))
