"""Every format in which the network's runs go out, by its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from services.courses.domain.formats.csv_out import CsvWriter
from services.courses.domain.formats.ics_out import IcsWriter
from services.courses.domain.formats.jsonld import JsonLdWriter
from services.courses.domain.formats.moochub import MoocHubWriter
from services.courses.domain.formats.openqcat import OpenQcatWriter
from services.courses.domain.formats.writing import Heading, Writer

ExportName: TypeAlias = Literal["ics", "jsonld", "moochub", "csv", "openqcat"]
Suffix: TypeAlias = Literal["ics", "jsonld", "moochub.json", "csv", "openqcat.xml"]


@dataclass(frozen=True, slots=True)
class Export:
    """A format: how the file ends, what HTTP calls it, and who writes it."""

    suffix: Suffix
    media_type: str
    writer: Callable[[Heading], Writer]


EXPORTS: Final[Mapping[ExportName, Export]] = MappingProxyType(
    {
        "ics": Export("ics", "text/calendar; charset=utf-8", IcsWriter),
        "jsonld": Export("jsonld", "application/ld+json", JsonLdWriter),
        "moochub": Export("moochub.json", "application/vnd.api+json", MoocHubWriter),
        "csv": Export("csv", "text/csv; charset=utf-8; header=present", CsvWriter),
        "openqcat": Export("openqcat.xml", "application/xml; charset=utf-8", OpenQcatWriter),
    }
)
BY_SUFFIX: Final[Mapping[Suffix, Export]] = MappingProxyType({each.suffix: each for each in EXPORTS.values()})
