"""Writes open-Q-cat 1.1, the format of KURSNET, the course portal of the Bundesagentur für Arbeit.

Element names and their order follow public generators; the XSD was not to be had.
"""

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Final
from xml.sax.saxutils import escape

from services.courses.domain.catalogue import CatalogueSession
from services.courses.domain.formats.csv_sessions import write_sessions
from services.courses.domain.formats.writing import Heading, Shown, is_open, times_of
from shared.contract.courses import RunPicture
from shared.contract.words import Place
from shared.contract.zone import BERLIN

_SCHEMA: Final = (
    'version="1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:noNamespaceSchemaLocation="openQ-cat.V1.1.xsd"'
)
_KINDS: Final = (
    '<EXTENDED_INFO><INSTITUTION type="115">115</INSTITUTION><INSTRUCTION_FORM type="1">1</INSTRUCTION_FORM>'
    '<EDUCATION_TYPE type="130">130</EDUCATION_TYPE></EXTENDED_INFO>'
)
_MOST_REMARKS: Final = 1_000


class OpenQcatWriter:
    """Each offer as one SERVICE, and each of its runs that somebody could still join as another that points at it."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._offers: set[str] = set()

    def begin(self) -> str:
        """Give the catalogue and its supplier: the institution, or the network for all."""
        now = self._heading.now.astimezone(BERLIN)
        supplier = self._heading.institution or "album"
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<OPENQCAT {_SCHEMA}>\n<HEADER>'
            f"<GENERATOR_INFO>ALBuM</GENERATOR_INFO><CATALOG><LANGUAGE>deu</LANGUAGE>"
            f"{_tag('CATALOG_ID', supplier)}<CATALOG_VERSION>001.001</CATALOG_VERSION>"
            f"{_tag('CATALOG_NAME', self._heading.title)}<GENERATION_DATE>{now:%Y-%m-%dT%H:%M:%S}</GENERATION_DATE>"
            f'<CURRENCY>EUR</CURRENCY></CATALOG><SUPPLIER><SUPPLIER_ID type="supplier_specific">{escape(supplier)}'
            f"</SUPPLIER_ID>{_tag('SUPPLIER_NAME', self._heading.title)}<ADDRESS>{_tag('NAME', self._heading.title)}"
            f"<COUNTRY>Deutschland</COUNTRY></ADDRESS></SUPPLIER></HEADER>\n"
            f'<NEW_CATALOG FULLCATALOG="true">\n'
        )

    def add(self, shown: Shown) -> str:
        """Give a run, and its offer where it is the first of it; one that is over is not listed."""
        run = shown.picture
        if not is_open(shown, self._heading.now):
            return ""
        name = f"{shown.institution}/{run.offer_id}"
        known = name in self._offers
        self._offers.add(name)
        return ("" if known else _offer(shown)) + _run(shown)

    def end(self) -> str:
        """Give the end of the catalogue."""
        return "</NEW_CATALOG>\n</OPENQCAT>\n"


def _offer(shown: Shown) -> str:
    run = shown.picture
    title = f"<DEGREE_TITLE>{escape(run.to_level or '')}</DEGREE_TITLE>" if run.to_level else ""
    course = (
        f"<MODULE_COURSE>{_people(run)}{_location(run.place)}"
        '<DURATION type="0"/><FLEXIBLE_START>false</FLEXIBLE_START>'
        '<EXTENDED_INFO><SEGMENT_TYPE type="0"/></EXTENDED_INFO></MODULE_COURSE>'
    )
    education = (
        f'<EDUCATION type="true">{_tag("COURSE_ID", run.offer_id)}<DEGREE type="0">{title}</DEGREE><SUBSIDY/>'
        f"{_KINDS}{course}</EDUCATION>"
    )
    return _service(run.offer_id, run, f"{_described(run)}<SERVICE_MODULE>{education}</SERVICE_MODULE>")


def _run(shown: Shown) -> str:
    run = shown.picture
    course = f"<MODULE_COURSE>{_people(run)}{_location(run.place)}</MODULE_COURSE>"
    education = f'<EDUCATION type="false">{_tag("COURSE_ID", run.offer_id)}{course}</EDUCATION>'
    details = f"{_dates(shown)}<SERVICE_MODULE>{education}</SERVICE_MODULE>"
    return _service(run.run_id, run, details)


def _service(product: str, run: RunPicture, details: str) -> str:
    inside = f"{_tag('TITLE', run.title)}{details}"
    return f"<SERVICE>{_tag('PRODUCT_ID', product)}<SERVICE_DETAILS>{inside}</SERVICE_DETAILS></SERVICE>\n"


def _described(run: RunPicture) -> str:
    return _tag("DESCRIPTION_LONG", run.description) if run.description else ""


def _dates(shown: Shown) -> str:
    """Give when the run takes place, and from when to when it is announced."""
    run = shown.picture
    first, last = times_of(shown)
    if first is None:
        return ""
    sessions = write_sessions(CatalogueSession(each.starts, each.ends) for each in run.sessions)
    short = sessions if len(sessions) <= _MOST_REMARKS else f"{sessions[:_MOST_REMARKS].rsplit(' | ', 1)[0]} | ..."
    remarks = _tag("DATE_REMARKS", short) if short else ""
    days = f"{_moment('START_DATE', first)}{_moment('END_DATE', last or first)}{remarks}"
    announced = f"{_day('START_DATE', shown.seen_at.astimezone(BERLIN).date())}{_day('END_DATE', _date(last or first))}"
    return f"<SERVICE_DATE>{days}</SERVICE_DATE><ANNOUNCEMENT>{announced}</ANNOUNCEMENT>"


def _people(run: RunPicture) -> str:
    least = _tag("MIN_PARTICIPANTS", str(run.minimum)) if run.minimum else ""
    return least + (_tag("MAX_PARTICIPANTS", str(run.capacity)) if run.capacity else "")


def _location(place: Place) -> str:
    parts = (("NAME", place.name), ("STREET", place.street), ("ZIP", place.postcode), ("CITY", place.town))
    return f"<LOCATION>{_tags(parts)}<COUNTRY>Deutschland</COUNTRY></LOCATION>"


def _tags(parts: Iterable[tuple[str, str | None]]) -> str:
    return "".join(_tag(name, value) for name, value in parts if value)


def _date(moment: datetime) -> date:
    return moment.astimezone(BERLIN).date()


def _moment(name: str, moment: datetime) -> str:
    return f"<{name}>{moment.astimezone(BERLIN):%Y-%m-%dT%H:%M:%S}</{name}>"


def _day(name: str, day: date) -> str:
    offset = f"{datetime.combine(day, time(12), BERLIN):%z}"
    return f"<{name}>{day.isoformat()}{offset[:3]}:{offset[3:]}</{name}>"


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(_allowed(text))}</{name}>"


def _allowed(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return "".join(
        letter for letter in text if letter in "\t\n" or (ord(letter) >= 32 and ord(letter) not in (0xFFFE, 0xFFFF))
    )
