"""The frozen history of released messages; `python -m shared.contract.released` freezes new ones."""

import json
from pathlib import Path
from typing import Any

from shared.contract.catalogue import CATALOGUE
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
    """Say how a message class broke its released schema: within a version only optional fields may be added."""
    return sorted(set(_faults(schema, message.model_json_schema(), type_of(message))))


def _faults(old: dict[str, Any], new: dict[str, Any], word: str) -> list[str]:
    found = []
    shapes: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {word: (old, new)}
    shapes |= {name: (shape, new.get("$defs", {}).get(name)) for name, shape in old.get("$defs", {}).items()}
    for name, (before, after) in shapes.items():
        if after is None:
            found.append(f"{name} is gone")
            continue
        found += [
            f"{name}.{field} is gone" for field in before.get("properties", {}).keys() - after.get("properties", {})
        ]
        required = set(after.get("required", ())) - set(before.get("required", ()))
        found += [f"{name}.{field} is required now" for field in required]
        found += [f"{name} lost the word {value}" for value in set(before.get("enum", ())) - set(after.get("enum", ()))]
        found += _changed_fields(name, before, after)
    return found


def _changed_fields(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Say which fields mean something else: another type, a tighter bound."""
    silent = ("title", "description", "default")
    fields = before.get("properties", {})
    new = after.get("properties", {})

    def bare(field: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in field.items() if key not in silent}

    return [f"{name}.{field} changed" for field in fields if field in new and bare(fields[field]) != bare(new[field])]


if __name__ == "__main__":
    freeze()
