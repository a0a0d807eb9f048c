"""Keeps every inserted value in its own direction: isolates in text, `<bdi>` in HTML."""

import re
import unicodedata

from markupsafe import Markup, escape

FIRST_STRONG_ISOLATE = "\u2068"
POP_ISOLATE = "\u2069"

# Joiners shape Persian words and emoji; the marks repair a direction and cannot open anything that must be closed.
_HARMLESS_FORMATS = frozenset("\u200c\u200d\u200e\u200f\u061c")
_DROPPED = frozenset({"Cf", "Cs", "Co", "Cn"})
_SPACED = frozenset({"Cc", "Zl", "Zp", "Zs"})
_URL_AT_END = re.compile(r"https?://\S+$")
_ISOLATES = re.compile(f"[{FIRST_STRONG_ISOLATE}{POP_ISOLATE}]")


def cleaned(value: object) -> str:
    """Return the value as one line without control, direction-changing or unpaired characters."""
    return " ".join("".join(_harmless(sign) for sign in str(value)).split())


def _harmless(sign: str) -> str:
    category = unicodedata.category(sign)
    if category in _SPACED:
        return " "
    if category in _DROPPED and sign not in _HARMLESS_FORMATS:
        return ""
    return sign


def isolated(value: object) -> str:
    """Return the cleaned value between U+2068 and U+2069, so that it cannot turn the words around it."""
    line = cleaned(value)
    # A mail program would take the closing isolate into an address that ends here, and the link would be broken.
    gap = " " if _URL_AT_END.search(line) else ""
    return f"{FIRST_STRONG_ISOLATE}{line}{gap}{POP_ISOLATE}"


def markup(text: str) -> Markup:
    """Return a text as HTML: escaped, each isolate as `<bdi>`."""
    # After escaping only: the isolates are ours, because `cleaned` takes them out of every value.
    html = str(escape(text)).replace(FIRST_STRONG_ISOLATE, "<bdi>").replace(POP_ISOLATE, "</bdi>")
    return Markup(html)  # noqa: S704 - the text was escaped one line above


def without_isolates(text: str) -> str:
    """Return the text without isolates, for places that take no markup and one direction only."""
    return _ISOLATES.sub("", text)
