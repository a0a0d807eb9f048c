"""Lays out the blocks of a letter as text and as HTML; both come from the same blocks."""

from functools import cache
from pathlib import Path

from css_inline import CSSInliner

from services.notifications.domain.wording import Block, Fact
from shared.texts.templates import template

SEPARATOR = "-" * 40
_LETTER = Path(__file__).parent / "letter.html.j2"
_RIGHT_TO_LEFT_MARK = "\u200f"


def as_text(blocks: tuple[Block, ...]) -> str:
    """Return the letter as plain text, one part per language, each link alone on its line."""
    return f"\n\n{SEPARATOR}\n\n".join(_text_of(block, several=len(blocks) > 1) for block in blocks) + "\n"


def _text_of(block: Block, several: bool) -> str:
    paragraphs = [
        [block.texts.name] if several else [],
        [block.greeting],
        list(block.sentences),
        [line for fact in block.facts for line in _fact_lines(fact)],
        *([f"{action.label}:", action.url] for action in block.actions),
        list(block.notes),
        [block.closing[0]],
        list(block.closing[1:]),
    ]
    return "\n\n".join("\n".join(_turned(line, block) for line in lines) for lines in paragraphs if lines)


def _fact_lines(fact: Fact) -> list[str]:
    if len(fact.lines) == 1:
        return [f"{fact.label}: {fact.lines[0]}"]
    return [f"{fact.label}:", *(f"- {line}" for line in fact.lines)]


def _turned(line: str, block: Block) -> str:
    # Plain text has no `dir`: a line takes its direction from its first letter outside the isolates, so give it one.
    is_link = any(line == action.url for action in block.actions)
    return line if is_link or block.texts.direction == "ltr" else f"{_RIGHT_TO_LEFT_MARK}{line}"


def as_html(blocks: tuple[Block, ...], subject: str) -> str:
    """Return the letter as one HTML page with inline styles, without scripts, images or anything remote."""
    return _inliner().inline(template(_LETTER).render(blocks=blocks, first=blocks[0].texts, subject=subject))


@cache
def _inliner() -> CSSInliner:
    return CSSInliner(load_remote_stylesheets=False)
