"""The small pages behind signed links: a question before, an answer after, both in the reader's language."""

from shared.pages.links import Link, LinkExpired, LinkInvalid, Links, Purpose
from shared.pages.page import SECURITY_HEADERS, render, render_answer, render_question
from shared.pages.wording import Fact, Label, Outcome, Page, answer, question

__all__ = [
    "SECURITY_HEADERS",
    "Fact",
    "Label",
    "Link",
    "LinkExpired",
    "LinkInvalid",
    "Links",
    "Outcome",
    "Page",
    "Purpose",
    "answer",
    "question",
    "render",
    "render_answer",
    "render_question",
]
