"""Writes the MOOChub format 3.0.1 (github.com/MOOChub/schema): what course portals of universities collect."""

import html
import json
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from services.courses.domain.formats.writing import Heading, Shown, address, is_open, times_of
from shared.contract.words import Place, RunKind

_COURSE: Final = {
    "identifier": "https://w3id.org/kim/hcrt/course",
    "type": "Concept",
    "inScheme": "https://w3id.org/kim/hcrt/scheme",
}


class MoocHubWriter:
    """Every run that somebody could still join, as one Course."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._first = True

    def begin(self) -> str:
        """Give the links: all courses are on one page."""
        links = json.dumps(dict.fromkeys(("self", "first", "last"), self._heading.url))
        return f'{{"links": {links}, "data": [\n'

    def add(self, shown: Shown) -> str:
        """Give one run; one that is over is not listed."""
        if not is_open(shown, self._heading.now):
            return ""
        comma, self._first = "" if self._first else ",\n", False
        run_id = f"{shown.institution}/{shown.picture.run_id}"
        course = {"id": str(uuid5(NAMESPACE_URL, run_id)), "type": "Course", "attributes": self._attributes(shown)}
        return comma + json.dumps(course, ensure_ascii=False).replace("<", "\\u003c")

    def end(self) -> str:
        """Give the end of the list."""
        return "\n]}\n"

    def _attributes(self, shown: Shown) -> dict[str, Any]:
        run = shown.picture
        organization = {"name": shown.name, "type": "Organization", "url": None}
        first, last = times_of(shown)
        return {
            "name": run.title,
            "courseCode": run.number,
            "learningResourceType": _COURSE,
            "courseMode": ["onsite", "synchronous"],
            "description": _paragraphs(run.description),
            # A language course is given in German; of all others nobody has said in which language.
            "inLanguage": None if run.kind is RunKind.OTHER else ["de"],
            "startDate": [first.isoformat()] if first else None,
            "endDate": [last.isoformat()] if last else None,
            "url": address(self._heading, run.run_id),
            "license": [{"identifier": "proprietary", "url": None}],
            "publisher": organization,
            "creator": [organization],
            "keywords": list(dict.fromkeys(filter(None, (run.from_level, run.to_level)))) or None,
            "contentLocation": _location(run.place),
            "dateModified": shown.seen_at.isoformat(),
            **({"duration": f"PT{run.ue * 45}M"} if run.ue else {}),
        }


def _paragraphs(text: str | None) -> str | None:
    lines = [html.escape(line) for line in (text or "").splitlines() if line.strip()]
    return "".join(f"<p>{line}</p>" for line in lines) or None


def _location(place: Place) -> dict[str, Any]:
    parts = {
        "streetAddress": place.street,
        "postalCode": place.postcode,
        "city": place.town,
        "description": place.room,
    }
    known = {name: value for name, value in parts.items() if value}
    address = {"address": {"addressCountry": "DE", **known}} if known else {}
    return {"name": place.name, **address}
