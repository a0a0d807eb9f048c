"""What a letter says in one language: blocks of sentences, facts and links, before any layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.notifications.domain.letter import Appointment, Kind, Letter, Purpose
from shared.texts import Texts, cleaned, isolated

DATES_SHOWN = 4
DAYS_UNTIL_DELETED = 7
"""Days after which an unconfirmed registration is deleted (document 1: unconfirmed)."""

_LINK_ORDER: tuple[Purpose, ...] = ("accept", "decline", "confirm", "cancel", "again")


@dataclass(frozen=True)
class Fact:
    """A named fact; every line is ready to be read."""

    label: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Action:
    """A link with the sentence that says what it is for."""

    label: str
    url: str


@dataclass(frozen=True)
class Block:
    """The whole letter in one language; values are isolated, layout is not decided."""

    texts: Texts
    headline: str
    greeting: str
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]
    actions: tuple[Action, ...]
    notes: tuple[str, ...]
    closing: tuple[str, ...]


_Speech = Callable[[Texts, Letter], list[str]]

_HEADLINES: Mapping[Kind, str] = {
    Kind.enrolled: "You have a place",
    Kind.registered: "You are registered",
    Kind.waiting: "You are on the waiting list",
    Kind.seat_offered: "A place is free for you",
    Kind.offer_expired: "The time to answer is over",
    Kind.run_changed: "Something has changed in the course",
    Kind.run_cancelled: "The course is cancelled",
    Kind.meeting_changed: "Something has changed in the meeting",
    Kind.meeting_cancelled: "The meeting is cancelled",
    Kind.reminder: "Reminder",
    Kind.registration_confirm: "Please confirm your registration",
    Kind.referral_ended: "The referral has ended",
}

_FIELDS: Mapping[str, str] = {
    "name": "your name",
    "mail": "your mail address",
    "phone": "your phone number",
    "language": "your language",
    "skills": "your language levels",
    "schooling": "your schooling",
    "profession": "your profession",
    "goal": "your goal",
    "availability": "when you have time",
    "childcare": "whether you need childcare",
    "mobility": "how you get around",
    "languages": "the languages that you speak",
}

_ACTIONS: Mapping[Purpose, str] = {
    "accept": "Yes, I want the place",
    "decline": "No, I do not want the place",
    "confirm": "Yes, I want to take part",
    "cancel": "I cannot come",
    "again": "Yes, I still want a place",
}


def block(texts: Texts, letter: Letter) -> Block:
    """Return what the letter says in the language of these texts."""
    actions = _actions(texts, letter)
    return Block(
        texts=texts,
        headline=texts.say(_HEADLINES[letter.kind]),
        greeting=texts.say("Hello {name},", name=letter.name) if letter.name.strip() else texts.say("Hello,"),
        sentences=(*_SPEECHES[letter.kind](texts, letter), *_referred(texts, letter)),
        facts=_facts(texts, letter),
        actions=actions,
        notes=(texts.say("The link opens a page. Please press the button on that page."),) if actions else (),
        closing=(_whom_to_ask(texts, letter), texts.say("Best wishes"), isolated(_signature(letter))),
    )


def _either(texts: Texts, letter: Letter, run: str, meeting: str) -> str:
    return texts.say(run if letter.occasion.sort == "run" else meeting)


def _enrolled(texts: Texts, letter: Letter) -> list[str]:
    first = _either(texts, letter, "You have a place in this course.", "You have a place at this meeting.")
    return [first, texts.say("We look forward to seeing you.")]


def _registered(texts: Texts, letter: Letter) -> list[str]:
    first = _either(texts, letter, "You are registered for this course.", "You are registered for this meeting.")
    return [first, texts.say("We look forward to seeing you.")]


def _waiting(texts: Texts, letter: Letter) -> list[str]:
    return [
        _either(texts, letter, "This course is full at the moment.", "This meeting is full at the moment."),
        *_place_in_queue(texts, letter.place_in_queue),
        texts.say("When a place is free for you, we write to you at once."),
        texts.say("You do not need to do anything now."),
    ]


def _place_in_queue(texts: Texts, place: int | None) -> list[str]:
    if place is None:
        return []
    number = texts.say("You are number {place} on the waiting list.", place=place)
    if place <= 1:
        return [number, texts.say("You are the next one on the list.")]
    return [number, texts.count("{n} person is before you.", "{n} people are before you.", place - 1)]


def _seat_offered(texts: Texts, letter: Letter) -> list[str]:
    deadline = texts.when(letter.offered_until) if letter.offered_until else ""
    free = "A place is free for you in this course.", "A place is free for you at this meeting."
    return [
        _either(texts, letter, *free),
        texts.say("Do you want the place? Please answer before this time: {deadline}.", deadline=deadline),
        texts.say("If you do not answer, we offer the place to the next person."),
        texts.say(
            "If you say no, nothing changes for your other courses. You keep your places on other waiting lists."
        ),
    ]


def _offer_expired(texts: Texts, letter: Letter) -> list[str]:
    until = letter.offered_until
    over = [texts.say("You could answer until {deadline}.", deadline=texts.when(until))] if until else []
    return [
        texts.say("We offered you a place. We did not get an answer in time."),
        *over,
        texts.say("Another person can have the place now."),
    ]


def _changed(texts: Texts, letter: Letter) -> list[str]:
    changed = "Something has changed in this course.", "Something has changed in this meeting."
    return [
        _either(texts, letter, *changed),
        *_reason(texts, letter),
        texts.say("Below you see what is valid now."),
    ]


def _cancelled(texts: Texts, letter: Letter) -> list[str]:
    off = _either(texts, letter, "This course does not take place.", "This meeting does not take place.")
    return [off, *_reason(texts, letter), texts.say("Please do not come.")]


def _reason(texts: Texts, letter: Letter) -> list[str]:
    return [texts.say("Reason: {reason}", reason=letter.reason)] if letter.reason else []


def _referral_ended(texts: Texts, letter: Letter) -> list[str]:
    by = letter.referral.by if letter.referral else ""
    return [
        texts.say("{institution} has referred you to this course. That has ended.", institution=by),
        texts.say("You do not have a place in this course now."),
    ]


def _referred(texts: Texts, letter: Letter) -> list[str]:
    """Say who told what about the reader, and how it is deleted; or that it is."""
    if letter.referral is None:
        return []
    if letter.kind not in (Kind.seat_offered, Kind.waiting):
        return [texts.say("We delete what we were told about you.")] if letter.kind in _ENDS else []
    told = ", ".join(texts.say(_FIELDS[name]) for name in letter.referral.fields)
    return [
        texts.say(
            "{institution} has referred you to this course. You have agreed to that.", institution=letter.referral.by
        ),
        texts.say("This is what we were told about you: {fields}.", fields=told),
        texts.say("You do not want this? Say no with the link below. Then we delete what we were told about you."),
        texts.say("You can also ask us at any time to delete it."),
    ]


def _reminder(texts: Texts, letter: Letter) -> list[str]:
    first = _either(texts, letter, "Your course starts soon.", "Your meeting is soon.")
    return [first, texts.say("Please come on time.")]


def _registration_confirm(texts: Texts, letter: Letter) -> list[str]:
    was_it_you = (
        "Somebody signed up for this course with your mail address. Was it you?",
        "Somebody signed up for this meeting with your mail address. Was it you?",
    )
    return [
        _either(texts, letter, *was_it_you),
        texts.say("Then please use the link. Only then are you registered."),
        texts.count(
            "If you do not use the link, we delete everything after {n} day.",
            "If you do not use the link, we delete everything after {n} days.",
            DAYS_UNTIL_DELETED,
        ),
    ]


_SPEECHES: Mapping[Kind, _Speech] = {
    Kind.enrolled: _enrolled,
    Kind.registered: _registered,
    Kind.waiting: _waiting,
    Kind.seat_offered: _seat_offered,
    Kind.offer_expired: _offer_expired,
    Kind.run_changed: _changed,
    Kind.run_cancelled: _cancelled,
    Kind.meeting_changed: _changed,
    Kind.meeting_cancelled: _cancelled,
    Kind.reminder: _reminder,
    Kind.registration_confirm: _registration_confirm,
    Kind.referral_ended: _referral_ended,
}

_ENDS = frozenset({Kind.referral_ended, Kind.offer_expired, Kind.run_cancelled})


def _facts(texts: Texts, letter: Letter) -> tuple[Fact, ...]:
    occasion = letter.occasion
    coming = _still_to_come(letter)
    places = {cleaned(appointment.place) for appointment in coming}
    place = places.pop() if len(places) == 1 else ""
    return (
        Fact(_either(texts, letter, "Course", "Meeting"), (isolated(occasion.title),)),
        Fact(texts.say("Institution"), (isolated(occasion.institution_name),)),
        Fact(texts.say("Dates"), _dates(texts, coming, with_places=not place)),
        *([Fact(texts.say("Where"), (isolated(place),))] if place else []),
    )


def _dates(texts: Texts, coming: list[Appointment], with_places: bool) -> tuple[str, ...]:
    if not coming:
        return (texts.say("The dates come later."),)
    lines = [_date(texts, appointment, with_places) for appointment in coming[:DATES_SHOWN]]
    more = len(coming) - len(lines)
    return (*lines, texts.count("and {n} more date", "and {n} more dates", more)) if more else tuple(lines)


def _still_to_come(letter: Letter) -> list[Appointment]:
    by_time = sorted(letter.occasion.appointments, key=lambda appointment: appointment.starts)
    return [each for each in by_time if (each.ends or each.starts) >= letter.written_at] or by_time


def _date(texts: Texts, appointment: Appointment, with_place: bool) -> str:
    time = texts.times(appointment.starts, appointment.ends)
    if not with_place or not cleaned(appointment.place):
        return isolated(time)
    return texts.say("{time}, place: {place}", time=time, place=appointment.place)


def _actions(texts: Texts, letter: Letter) -> tuple[Action, ...]:
    there = [purpose for purpose in _LINK_ORDER if purpose in letter.links]
    return tuple(Action(texts.say(_label(purpose, letter)), letter.links[purpose]) for purpose in there)


def _label(purpose: Purpose, letter: Letter) -> str:
    if purpose == "cancel" and not letter.seated:
        return "I do not want to wait any longer"
    return _ACTIONS[purpose]


def _whom_to_ask(texts: Texts, letter: Letter) -> str:
    occasion = letter.occasion
    if not occasion.reply_to:
        return texts.say("Do you have questions? Please ask {institution}.", institution=occasion.institution_name)
    return texts.say(
        "Do you have questions? Please answer this mail or write to {institution}: {address}",
        institution=occasion.institution_name,
        address=occasion.reply_to,
    )


def _signature(letter: Letter) -> str:
    return letter.occasion.institution_name or letter.sender_name
