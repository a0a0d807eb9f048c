"""What a flooding partner sends: messages of nearly 64 KiB, every second one wrong in one of several ways."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

SIZE = 64 * 1024 - 700
"""Bytes of an event that is sent; told on, it gets a longer id and a time."""
FAULTS = ("foreign", "unknown", "state", "large", "broken")


def event(institution: str, number: int, size: int = SIZE) -> dict[str, Any]:
    """Give a good event about a run of one's own, filled up to a size with dated lessons."""
    day = datetime(2027, 3, 1, 8, tzinfo=UTC)
    picture: dict[str, Any] = {
        "run_id": f"run_flood{number:07}",
        "offer_id": f"offer_flood{number:07}",
        "number": f"F-{number}",
        "title": "Deutsch in der Flut",
        "kind": "other",
        "state": "published",
        "capacity": 20,
        "availability": {"free": 20, "waiting": "0", "as_of": day.isoformat()},
        "sessions": [],
    }
    lesson = {"starts": day.isoformat(), "ends": (day + timedelta(hours=4)).isoformat(), "room": "R" * 200}
    whole = {
        "specversion": "1.0",
        "id": f"flood-{number}",
        "source": "/flood",
        "type": "courses.run.published.v1",
        "data": {"institution": institution, "version": 1, "picture": picture},
    }
    room = size - len(json.dumps(whole))
    picture["sessions"] = [lesson] * max(0, room // (len(json.dumps(lesson)) + 2))
    return whole


def is_good(number: int) -> bool:
    """Tell whether the message with a number is good: every second one is."""
    return number % 2 == 0


def body(institution: str, number: int, size: int = SIZE) -> bytes:
    """Give the bytes of the message with a number."""
    whole = event(institution, number, size)
    fault = None if is_good(number) else FAULTS[number // 2 % len(FAULTS)]
    if fault == "foreign":
        whole["data"]["institution"] = "office"
    elif fault == "unknown":
        whole["type"] = "song.of.somebody"
    elif fault == "state":
        whole["data"]["picture"]["state"] = "draft"
    elif fault == "large":
        whole["data"]["picture"]["title"] = "x" * 2000
    written = json.dumps(whole).encode()
    return b"[" + written[1:] if fault == "broken" else written


def batch(institution: str, numbers: list[int], size: int = SIZE) -> bytes:
    """Give the bytes of a batch; what is no JSON would spoil all of it, and is sent as a word instead."""
    parts = [body(institution, number, size) for number in numbers]
    return b"[" + b",".join(part if part[:1] == b"{" else b'"broken"' for part in parts) + b"]"
