"""Writes schema.org as JSON-LD: what search engines and portals read."""

import json
from typing import Any

from services.courses.domain.formats.writing import Heading, Shown, address
from shared.contract.words import Place, RunState, Session


class JsonLdWriter:
    """A graph of Course nodes, each with one CourseInstance; runs of one offer share the Course's @id."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._first = True

    def begin(self) -> str:
        """Give the context and the beginning of the graph."""
        return '{"@context": "https://schema.org", "@graph": [\n'

    def add(self, shown: Shown) -> str:
        """Give one run within its course."""
        comma, self._first = "" if self._first else ",\n", False
        return comma + _json(self._course(shown))

    def end(self) -> str:
        """Give the end of the graph."""
        return "\n]}\n"

    def _course(self, shown: Shown) -> dict[str, Any]:
        run = shown.picture
        return {
            "@type": "Course",
            "@id": f"{self._heading.base}/runs#{run.offer_id}",
            "name": run.title,
            "description": run.description or run.title,
            "provider": _organization(shown),
            "hasCourseInstance": self._instance(shown),
        }

    def _instance(self, shown: Shown) -> dict[str, Any]:
        run = shown.picture
        place = _place(run.place)
        cancelled = run.state is RunState.CANCELLED
        return _filled(
            {
                "@type": "CourseInstance",
                "@id": address(self._heading, run.run_id),
                "url": address(self._heading, run.run_id),
                "identifier": run.number,
                "name": run.title,
                "courseMode": "onsite",
                "educationalLevel": " - ".join(dict.fromkeys(filter(None, (run.from_level, run.to_level)))),
                "startDate": _first(shown),
                "endDate": _last(shown),
                "eventStatus": f"https://schema.org/{'EventCancelled' if cancelled else 'EventScheduled'}",
                "location": place,
                "organizer": _organization(shown),
                "maximumAttendeeCapacity": run.capacity or None,
                "remainingAttendeeCapacity": run.availability.free,
                "timeRequired": f"PT{run.ue * 45}M" if run.ue else None,
                "subEvent": [_event(each, shown, place) for each in run.sessions],
            }
        )


def _event(session: Session, shown: Shown, place: dict[str, Any]) -> dict[str, Any]:
    where = {**(place or {"@type": "Place"}), "name": session.room} if session.room else place
    cancelled = shown.picture.state is RunState.CANCELLED
    return _filled(
        {
            "@type": "Event",
            "name": shown.picture.title,
            "startDate": session.starts.isoformat(),
            "endDate": session.ends.isoformat(),
            "eventStatus": f"https://schema.org/{'EventCancelled' if cancelled else 'EventScheduled'}",
            "location": where,
        }
    )


def _organization(shown: Shown) -> dict[str, Any]:
    return {"@type": "Organization", "name": shown.name, "identifier": shown.institution}


def _place(place: Place) -> dict[str, Any]:
    parts = {"streetAddress": place.street, "postalCode": place.postcode, "addressLocality": place.town}
    address = _filled({"@type": "PostalAddress", **parts, "addressCountry": "DE"}) if any(parts.values()) else None
    name = ", ".join(filter(None, (place.name, place.room)))
    return _filled({"@type": "Place", "name": name, "address": address}) if name or address else {}


def _first(shown: Shown) -> str | None:
    run = shown.picture
    if run.sessions:
        return run.sessions[0].starts.isoformat()
    return run.starts_on.isoformat() if run.starts_on else None


def _last(shown: Shown) -> str | None:
    run = shown.picture
    if run.sessions:
        return max(each.ends for each in run.sessions).isoformat()
    return run.ends_on.isoformat() if run.ends_on else None


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _json(value: object) -> str:
    # Pages carry this text in a script element, which a title could otherwise close.
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
