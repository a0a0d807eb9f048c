"""The calendar part of a letter: dates that enter a participant's calendar, move, and leave it again."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, Literal

from icalendar import Calendar, Component, Event, Timezone, vCalAddress, vText

from services.notifications.domain.letter import Appointment, Kind, Letter, Occasion
from shared.contract.zone import BERLIN, BERLIN_RULE
from shared.texts import cleaned

Method = Literal["REQUEST", "CANCEL"]

METHODS: Final[Mapping[Kind, Method]] = {
    Kind.enrolled: "REQUEST",
    Kind.registered: "REQUEST",
    Kind.run_changed: "REQUEST",
    Kind.meeting_changed: "REQUEST",
    Kind.run_cancelled: "CANCEL",
    Kind.meeting_cancelled: "CANCEL",
}


def method_of(letter: Letter) -> Method | None:
    """Return what the calendar of a letter does; None if it carries no calendar.

    Who only waits hears of changes as well, and gets none of the dates as if they were theirs.
    """
    method = METHODS.get(letter.kind) if letter.occasion.appointments else None
    return None if method == "REQUEST" and not letter.seated else method


def calendar(letter: Letter) -> bytes | None:
    """Return the iCalendar object (RFC 5545, 5546) of a letter with one VEVENT per date, or None."""
    method = method_of(letter)
    if method is None:
        return None
    whole = Calendar()
    whole.add("prodid", "-//ALBuM//Netzwerk Hannover//DE")
    whole.add("version", "2.0")
    whole.add("method", method)
    whole.add_component(_berlin())
    for position, appointment in enumerate(sorted(letter.occasion.appointments, key=lambda each: each.starts)):
        whole.add_component(_event(letter, method, appointment, uid(letter.occasion, appointment, position)))
    return bytes(whole.to_ical())


@cache
def _berlin() -> Component:
    return Timezone.from_ical(BERLIN_RULE)


def uid(occasion: Occasion, appointment: Appointment, position: int) -> str:
    """Return the lasting name of a date: its number, else its position among the dates.

    A date that is put off keeps its name, so that its entry moves; named by its start it would stand twice.
    """
    name = f"p{position}" if appointment.number is None else f"n{appointment.number}"
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', occasion.id)}-{name}@album"


def _event(letter: Letter, method: Method, appointment: Appointment, name: str) -> Event:
    event = Event()
    event.add("uid", name)
    event.add("sequence", letter.occasion.version)
    event.add("dtstamp", letter.written_at)
    event.add("dtstart", appointment.starts.astimezone(BERLIN))
    if appointment.ends is not None:
        event.add("dtend", appointment.ends.astimezone(BERLIN))
    event.add("summary", cleaned(letter.occasion.title))
    event.add("location", cleaned(appointment.place))
    event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    event.add("organizer", _organizer(letter))
    event.add("attendee", _attendee(letter))
    return event


def _organizer(letter: Letter) -> vCalAddress:
    organizer = vCalAddress(f"mailto:{letter.occasion.reply_to or letter.sender_address}")
    organizer.params["CN"] = vText(parameter(letter.occasion.institution_name))
    return organizer


def _attendee(letter: Letter) -> vCalAddress:
    attendee = vCalAddress(f"mailto:{letter.address}")
    attendee.params["CN"] = vText(parameter(letter.name))
    attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
    # The seat is given by the institution and given back by a link: a calendar program must not ask for an answer.
    attendee.params["PARTSTAT"] = vText("ACCEPTED")
    attendee.params["RSVP"] = vText("FALSE")
    return attendee


def parameter(value: str) -> str:
    """Return a name that can stand in a header or a calendar parameter without quoting tricks."""
    return cleaned(re.sub(r'["<>@,;:\\()\[\]^]', " ", cleaned(value)))
