"""What each page says: callers name a purpose and an outcome, the sentences are here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.pages.links import Purpose
from shared.texts import Texts, isolated, written_for

Outcome = Literal["done", "already_done", "too_late", "full", "unknown_link", "expired_link", "not_now"]
Label = Literal[
    "Course",
    "Meeting",
    "Institution",
    "When",
    "Where",
    "Please answer before",
    "Your number on the waiting list",
    "Referred by",
]
Fact = tuple[Label, str | datetime]
"""A label, said in each language, and its value; a moment is aware and said in each language as well."""


@dataclass(frozen=True)
class Page:
    """A page in one language; `status` is the HTTP status, `german` the same page in simple German to stand below."""

    language: str
    heading: str
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    button: str | None
    status: int
    german: "Page | None" = None


@dataclass(frozen=True)
class _Wording:
    heading: str
    sentences: tuple[str, ...]
    button: str | None = None


_OTHER_COURSES = "Nothing changes for your other courses. You keep your places on other waiting lists."
_BY_MISTAKE = "You opened this page by mistake? Then close it. Nothing changes."
_NOTHING_TO_DO = "You do not need to do anything."
_WHOM_TO_ASK = "Do you have questions? Please ask where you signed up."
_MAIL_WITH_DATES = "We will send you a mail with all dates."
_NEXT_IS_ASKED = "We offer the place to the next person."
_WE_WRITE = "When a place is free for you, we write to you at once."
_TIME_IS_OVER = "The time to answer is over."
_FULL = "All places are taken"
_TOO_LATE = "It is too late"

_QUESTIONS: Mapping[Purpose, _Wording] = {
    "accept": _Wording(
        "Do you want this place?",
        ("Please press the button. Then the place is yours.", _BY_MISTAKE),
        "Yes, I want the place",
    ),
    "decline": _Wording(
        "Do you want to give this place back?",
        ("Please press the button. Then we offer the place to the next person.", _OTHER_COURSES, _BY_MISTAKE),
        "No, I do not want the place",
    ),
    "cancel": _Wording(
        "Do you want to cancel?",
        ("Please press the button. Then another person can have your place.", _BY_MISTAKE),
        "Yes, I cancel",
    ),
    "confirm": _Wording(
        "Do you want to take part?",
        ("Please press the button. Only then are you registered.", _BY_MISTAKE),
        "Yes, I want to take part",
    ),
    "again": _Wording(
        "Do you still want a place?",
        ("Please press the button. Then you are on the waiting list again.", _BY_MISTAKE),
        "Yes, I still want a place",
    ),
}

_ANSWERS: Mapping[tuple[Purpose, Outcome], _Wording] = {
    ("accept", "done"): _Wording("The place is yours", (_MAIL_WITH_DATES,)),
    ("accept", "already_done"): _Wording("You already have this place", (_NOTHING_TO_DO,)),
    ("accept", "too_late"): _Wording(_TOO_LATE, (_TIME_IS_OVER, "You do not have a place now.", _WHOM_TO_ASK)),
    ("accept", "full"): _Wording(_FULL, ("You do not have a place now.", _WHOM_TO_ASK)),
    ("decline", "done"): _Wording("Thank you for your answer", (_NEXT_IS_ASKED, _OTHER_COURSES)),
    ("decline", "already_done"): _Wording("You already said no", (_NOTHING_TO_DO,)),
    ("decline", "too_late"): _Wording(_TOO_LATE, (_TIME_IS_OVER, _NOTHING_TO_DO)),
    ("decline", "full"): _Wording(_FULL, (_NOTHING_TO_DO,)),
    ("cancel", "done"): _Wording(
        "You have cancelled", ("Thank you for telling us.", "Another person can have the place now.")
    ),
    ("cancel", "already_done"): _Wording("You have already cancelled", (_NOTHING_TO_DO,)),
    ("cancel", "too_late"): _Wording(_TOO_LATE, ("You can no longer cancel here.", _WHOM_TO_ASK)),
    ("cancel", "full"): _Wording(_FULL, (_NOTHING_TO_DO,)),
    ("confirm", "done"): _Wording("You are registered now", (_MAIL_WITH_DATES,)),
    ("confirm", "already_done"): _Wording("You are already registered", (_NOTHING_TO_DO,)),
    ("confirm", "too_late"): _Wording(
        _TOO_LATE,
        (
            "The time to confirm is over. You are not registered.",
            "Do you still want to take part? Then please sign up again.",
        ),
    ),
    ("confirm", "full"): _Wording(_FULL, ("You are on the waiting list now.", _WE_WRITE)),
    ("again", "done"): _Wording("You are on the waiting list", (_WE_WRITE,)),
    ("again", "already_done"): _Wording("You are already on the waiting list", (_WE_WRITE,)),
    ("again", "too_late"): _Wording(_TOO_LATE, ("You can no longer sign up here.", _WHOM_TO_ASK)),
    ("again", "full"): _Wording(_FULL, ("You can no longer sign up here.", _WHOM_TO_ASK)),
}

_LINK_ANSWERS: Mapping[Outcome, _Wording] = {
    "unknown_link": _Wording(
        "This link does not work",
        ("Perhaps a part of the link is missing. Please open the link in our mail once more.", _WHOM_TO_ASK),
    ),
    "expired_link": _Wording(
        "This link is too old",
        ("Please look for a newer mail from us.", _WHOM_TO_ASK),
    ),
    "not_now": _Wording(
        "This is not possible at the moment",
        ("Please open the link in our mail once more in a few minutes.",),
    ),
}

_STATUS: Mapping[Outcome, int] = {
    "done": 200,
    "already_done": 200,
    "too_late": 410,
    "full": 409,
    "unknown_link": 404,
    "expired_link": 410,
    "not_now": 503,
}
# Whoever confirms and has to wait has done what was asked: that is no refusal.
_STATUS_OF: Mapping[tuple[Purpose | None, Outcome], int] = {("confirm", "full"): 200}


def question(purpose: Purpose, language: str, facts: Sequence[Fact] = ()) -> Page:
    """Return the page that asks before anything is done, with one button."""
    return _in_both_languages(_QUESTIONS[purpose], language, facts, 200)


def answer(purpose: Purpose | None, outcome: Outcome, language: str, facts: Sequence[Fact] = ()) -> Page:
    """Return the page that tells what came of it; the purpose is not asked for where the link itself is the matter."""
    wording = _LINK_ANSWERS.get(outcome)
    if wording is None:
        if purpose is None:
            raise ValueError(f"the outcome {outcome} needs a purpose")
        wording = _ANSWERS[purpose, outcome]
    status = _STATUS_OF.get((purpose, outcome), _STATUS[outcome])
    return _in_both_languages(wording, language, facts, status)


def _in_both_languages(wording: _Wording, language: str, facts: Sequence[Fact], status: int) -> Page:
    first, *below = written_for(language, lambda texts: _page(texts, wording, facts, status))
    return replace(first, german=below[0]) if below else first


def _page(texts: Texts, wording: _Wording, facts: Sequence[Fact], status: int) -> Page:
    return Page(
        language=texts.language,
        heading=texts.say(wording.heading),
        sentences=tuple(texts.say(sentence) for sentence in wording.sentences),
        facts=tuple((texts.say(label), _value(texts, value)) for label, value in facts),
        button=texts.say(wording.button) if wording.button else None,
        status=status,
    )


def _value(texts: Texts, value: str | datetime) -> str:
    return isolated(texts.when(value) if isinstance(value, datetime) else value)
