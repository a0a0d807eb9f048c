import re
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pages import (
    SECURITY_HEADERS,
    Fact,
    Outcome,
    Page,
    Purpose,
    answer,
    question,
    render,
    render_answer,
    render_question,
)

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LANGUAGES = ["de", "en", "tr", "ar", "fa"]
FACTS: list[Fact] = [
    ("Course", "B2 Deutsch für den Beruf"),
    ("When", datetime(2026, 11, 23, 8, tzinfo=UTC)),
    ("Where", "Burgstraße 14"),
]
_VOID = {"meta", "br"}
_ELEMENTS = {"html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p"} | {
    *("dl", "dt", "dd", "bdi", "form", "button", "span")
}


class _Reader(HTMLParser):
    """Reads a page as a browser does: elements with attributes, text with its language, and whether all is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.style = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_question_has_one_button(purpose: Purpose, language: str) -> None:
    """The page asks in the reader's language and in German, and one form posts to its own address."""
    read = _Reader(render_question(purpose, language, FACTS))
    assert read.all("form") == [{"method": "post"}]
    assert len(read.all("button")) == 1
    assert len(read.all("h1")) == 1
    assert read.open == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_answer_is_said(purpose: Purpose, outcome: Outcome, language: str) -> None:
    """Each purpose has a page for each outcome, with a heading, a sentence on what to do next, and no button."""
    page = answer(purpose, outcome, language, FACTS)
    read = _Reader(render_answer(purpose, outcome, language, FACTS))
    assert page.heading
    assert page.sentences
    refused = {"full": 409, "too_late": 410, "expired_link": 410, "unknown_link": 404, "not_now": 503}
    # Whoever confirms and has to wait has done what was asked.
    assert page.status == (200 if (purpose, outcome) == ("confirm", "full") else refused.get(outcome, 200))
    assert read.all("form") == read.all("button") == []


def test_an_unreadable_link_needs_no_purpose() -> None:
    """A broken link tells no purpose; every other outcome needs one."""
    assert answer(None, "unknown_link", "ar").heading == "هذا الرابط لا يعمل"
    with pytest.raises(ValueError, match="needs a purpose"):
        answer(None, "done", "ar")


def test_arabic_above_german() -> None:
    """The page is Arabic from right to left, the same in German from left to right stands below it."""
    html = render_question("accept", "ar", FACTS)
    read = _Reader(html)
    assert read.all("html") == [{"lang": "ar", "dir": "rtl"}]
    assert read.all("section") == [{"lang": "de", "dir": "ltr"}]
    assert html.index("هل تريد هذا المقعد؟") < html.index("Möchten Sie diesen Platz?")
    assert "<bdi>الاثنين، 23 نوفمبر 2026، 09:00</bdi>" in html
    assert "<bdi>Montag, 23. November 2026, 09:00</bdi>" in html


def test_the_button_says_it_in_german_too() -> None:
    """Who reads the German part finds the one button by its German words, marked as German."""
    html = render_question("accept", "tr", FACTS)
    assert '<span class="below" lang="de" dir="ltr">Ja, ich möchte den Platz</span></button>' in html


def test_german_readers_get_german_only() -> None:
    """Nothing is said twice to those who read German."""
    page = question("cancel", "de", FACTS)
    assert page.german is None
    assert _Reader(render(page)).all("section") == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_runs_and_nothing_is_loaded(language: str) -> None:
    """No script, no handler, no style attribute, no address of anything else."""
    read = _Reader(render_question("confirm", language, FACTS))
    names = {name for name, _ in read.elements}
    assert names <= _ELEMENTS
    attributes = {attribute for _, given in read.elements for attribute in given}
    assert attributes <= {"lang", "dir", "charset", "name", "content", "class", "method", "type"}


def test_the_policy_allows_exactly_this_style() -> None:
    """The hash in the policy is that of the style in the page, and one more blank would not be allowed."""
    style = _Reader(render_question("accept", "ar", FACTS)).style
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert f"style-src 'sha256-{_hash(style)}'" in policy
    assert _hash(style + " ") not in policy
    assert "unsafe" not in policy


def test_the_headers_keep_the_token_here() -> None:
    """The address holds a token: nothing is cached, framed or passed on, and the form goes home only."""
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert SECURITY_HEADERS["Referrer-Policy"] == "no-referrer"
    assert SECURITY_HEADERS["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("foreground", "background"),
    [("#1b1b1b", "#ffffff"), ("#4a4a4a", "#f1f6f4"), ("#ffffff", "#0b5345"), ("#b35900", "#ffffff")],
)
def test_contrast_is_enough(foreground: str, background: str) -> None:
    """The pairs of colours in use reach 4.5:1 (WCAG 2.2, 1.4.3)."""
    style = _Reader(render_question("accept", "ar", FACTS)).style
    assert foreground in style
    assert background in style
    assert _contrast(foreground, background) >= 4.5
    assert _contrast("#999999", "#ffffff") < 4.5


@given(st.text(max_size=80))
def test_a_title_brings_no_elements(title: str) -> None:
    """Whatever an institution calls its course, the page keeps its own elements and closes them all."""
    plain = _Reader(render_question("accept", "ar", [("Course", "B2")]))
    nasty = _Reader(render_question("accept", "ar", [("Course", title)]))
    assert nasty.elements == plain.elements
    assert nasty.open == []


def test_markup_in_a_title_is_shown_as_written() -> None:
    """A title with HTML in it is text; without escaping it would be an element (the control reads it raw)."""
    title = "<script>alert(1)</script>"
    assert _Reader(title).all("script") == [{}]
    assert _Reader(render_question("accept", "ar", [("Course", title)])).all("script") == []


def test_a_page_stands_on_its_own() -> None:
    """A page put together by hand is rendered like any other."""
    html = render(Page("en", "Hello", ("One.",), (), None, 200))
    assert re.search(r"<h1>Hello</h1>\s*<p>One\.</p>", html)
    assert "<dl>" not in html


def _hash(style: str) -> str:
    return b64encode(sha256(style.encode()).digest()).decode()


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
