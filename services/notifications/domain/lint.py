"""Looks at a finished letter once more before it may leave."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser

from services.notifications.domain.layout import SEPARATOR

LONGEST_LINE = 998
"""Octets in a line of a mail, without its end (RFC 5322, 2.1.1)."""

_ISOLATED = re.compile("\u2068[^\u2069]*\u2069")
_PLACEHOLDER = re.compile(r"\{\w*\}|\{\{|\{%")
_TORN_URL = re.compile("https?://[^\\s]*[\u2066-\u2069]")
_FORBIDDEN = frozenset({"script", "img", "iframe", "link", "object", "form"})
_NOT_OURS = frozenset({"bdi", "title"})


@dataclass(frozen=True)
class Rendered:
    """A finished letter: what is read, and `mime`, the bytes that are handed to SMTP as they are."""

    subject: str
    text: str
    html: str
    calendar: bytes | None
    mime: bytes
    languages: tuple[str, ...]


def lint(rendered: Rendered) -> list[str]:
    """Return in plain words what is wrong with a finished letter; empty if it may leave."""
    return [*_bytes_findings(rendered.mime), *_text_findings(rendered), *_html_findings(rendered)]


def _bytes_findings(mime: bytes) -> list[str]:
    findings = []
    if not mime.isascii():
        findings.append("the message is not 7-bit")
    if max(map(len, mime.split(b"\r\n"))) > LONGEST_LINE:
        findings.append(f"a line is longer than {LONGEST_LINE} octets")
    if mime.count(b"\n") != mime.count(b"\r\n"):
        findings.append("a line does not end with CR LF")
    return findings


def _text_findings(rendered: Rendered) -> list[str]:
    findings = []
    if not rendered.subject or re.search(r"[\r\n]", rendered.subject):
        findings.append("the subject is not one line")
    # What stands between isolates was written by people and may hold braces of its own.
    ours = _ISOLATED.sub("", f"{rendered.subject}\n{rendered.text}")
    if _PLACEHOLDER.search(ours):
        findings.append("the text has an unfilled placeholder")
    if _TORN_URL.search(rendered.text):
        findings.append("an isolate stands inside a URL")
    if len(rendered.text.split(f"\n{SEPARATOR}\n")) != len(rendered.languages):
        findings.append("the text has not one block per language")
    return findings


def _html_findings(rendered: Rendered) -> list[str]:
    page = _Page()
    page.feed(rendered.html)
    page.close()
    findings = []
    if _PLACEHOLDER.search("".join(page.ours)):
        findings.append("the HTML has an unfilled placeholder")
    if any(re.search("[\u2066-\u2069<]", url) for url in page.links):
        findings.append("an isolate stands inside a link")
    if tuple(page.blocks) != rendered.languages:
        findings.append("the HTML has not one block per language")
    if page.elements & _FORBIDDEN:
        findings.append("the HTML loads or runs something")
    return findings


class _Page(HTMLParser):
    """Collects what the lint asks about: blocks with language and direction, links, elements, our own words."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.ours: list[str] = []
        self._isolated = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.add(tag)
        if tag == "div" and given.get("lang") and given.get("dir") in {"ltr", "rtl"}:
            self.blocks.append(str(given["lang"]))
        if tag == "a":
            self.links.append(given.get("href") or "")
        # The title repeats the subject, which the text findings have looked at.
        self._isolated = self._isolated or tag in _NOT_OURS

    def handle_endtag(self, tag: str) -> None:
        if tag in _NOT_OURS:
            self._isolated = False

    def handle_data(self, data: str) -> None:
        if not self._isolated:
            self.ours.append(data)
