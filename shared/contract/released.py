"""The frozen history of released messages; `python -m shared.contract.released` freezes new ones."""

import json
from pathlib import Path
from typing import Any

from shared.contract.catalogue import CATALOGUE
from shared.contract.compatible import Part, unread
from shared.contract.envelope import Message, type_of
from shared.contract.samples import sample

HISTORY = Path(__file__).with_name("history")


def frozen() -> dict[str, dict[str, Any]]:
    """Give what is frozen, by type: `schema` and `samples`."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(HISTORY.glob("*.json"))}


def freeze() -> list[str]:
    """Freeze every message that has no history yet; a frozen one is never written again."""
    new = []
    for word, message in CATALOGUE.items():
        path = HISTORY / f"{word}.json"
        if not path.exists():
            body = {"schema": message.model_json_schema(), "samples": [sample(message)]}
            path.write_text(json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
            new.append(word)
    return new


def breaks(message: type[Message], schema: dict[str, Any]) -> list[str]:
    """Say how a message class broke its released schema: readers of then must read it, and it must read what was told.

    Within a version only optional fields may be added.
    """
    before, after = Part(schema, schema), message.model_json_schema()
    new = Part(after, after)
    word = type_of(message)
    return sorted({*unread(new, before, word, "reader"), *unread(before, new, word, "writer")})


if __name__ == "__main__":
    freeze()
