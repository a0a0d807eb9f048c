"""The OpenAPI documents as they are committed: `python -m shared.kit.documents` writes them.

With `release` it also freezes them as what the next release is compared with; a frozen one is never broken.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from shared.contract.openapi import Document, breaks
from shared.kit.command import services
from shared.kit.http import application
from shared.kit.node import Node, Service

FOLDER = Path(__file__).parents[2] / "docs" / "api"
RELEASED = FOLDER / "released"


def document(service: Service) -> Document:
    """Give the document of a service; nothing of the service runs."""
    node = SimpleNamespace(service=service, works=None, settings=service.settings())
    return application(cast("Node[Any]", node)).openapi()


def render(service: Service) -> str:
    """Give the document of a service as it is committed."""
    return json.dumps(document(service), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def place(name: str, *, released: bool = False) -> Path:
    """Give the file of a service's document."""
    return (RELEASED if released else FOLDER) / f"{name}.json"


def refusals(old: Document, new: Document) -> list[str]:
    """Say why a document may not be released after another one."""
    if old == new:
        return []
    faults = breaks(old, new)
    if _version(new) <= _version(old):
        faults.append(f"{new['info']['title']}: it changed, and its version is still {new['info']['version']}")
    return faults


def _version(document: Document) -> tuple[int, ...]:
    return tuple(int(part) for part in document["info"]["version"].split("."))


def write(*, release: bool = False) -> list[str]:
    """Write every document; with `release` freeze them too, all or none; give what speaks against it."""
    texts = {name: render(service) for name, service in services().items()}
    for name, text in texts.items():
        place(name).write_text(text, "utf-8")
    faults = [
        fault
        for name, text in texts.items()
        if place(name, released=True).exists()
        for fault in refusals(json.loads(place(name, released=True).read_text("utf-8")), json.loads(text))
    ]
    if release and not faults:
        for name, text in texts.items():
            place(name, released=True).write_text(text, "utf-8")
    return faults if release else []


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    RELEASED.mkdir(exist_ok=True)
    sys.exit("\n".join(write(release="release" in sys.argv[1:])) or None)
