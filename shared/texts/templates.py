"""Opens the HTML templates of letters and pages: escaped by default, and an unknown name is an error."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from shared.texts.direction import markup


@cache
def template(path: Path) -> Template:
    """Return a template with the filter `markup`, which escapes a text and isolates its variables."""
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markup"] = markup
    return environment.get_template(path.name)
