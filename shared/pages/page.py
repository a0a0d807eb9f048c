"""Lays out a page as HTML: no script, nothing remote, one form that posts to the address it came from."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from markupsafe import Markup

from shared.pages.links import Purpose
from shared.pages.wording import Fact, Outcome, Page, answer, question
from shared.texts import texts_for, without_isolates
from shared.texts.templates import template

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8")
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
    }
)
"""Sent with every page: the address holds a token, so it must not be cached, framed, indexed or passed on."""


def render(page: Page) -> str:
    """Return the page as HTML, the German one below where there is one."""
    parts = [page] if page.german is None else [page, page.german]
    return template(_FOLDER / "page.html.j2").render(
        page=page,
        parts=[(part, texts_for(part.language)) for part in parts],
        title=without_isolates(page.heading),
        style=Markup(_STYLE),  # noqa: S704 - our own file; the policy allows exactly these bytes
    )


def render_question(purpose: Purpose, language: str, facts: Sequence[Fact] = ()) -> str:
    """Return the HTML that GET shows."""
    return render(question(purpose, language, facts))


def render_answer(purpose: Purpose | None, outcome: Outcome, language: str, facts: Sequence[Fact] = ()) -> str:
    """Return the HTML that follows a POST, or stands in place of the question."""
    return render(answer(purpose, outcome, language, facts))
