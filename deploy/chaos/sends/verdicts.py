"""When the life after a death is as good as one without: equal, or differing only in what a kill may leave unknown."""

import json
from collections.abc import Callable
from email import message_from_string
from typing import Any

from deploy.chaos.sends.judging import Picture

Verdict = Callable[[Picture, Picture], list[str]]
_MAIL_TABLES = {"delivery", "delivery_attempt"}
_PUSH_TABLES = {"push", "push_attempt"}


def equal(found: Picture, wanted: Picture, *, without: frozenset[str] = frozenset()) -> list[str]:
    """Say where two pictures differ, and what is wrong with both; mails and pushes have judges of their own."""
    if "fault" in found or "fault" in wanted:
        return [str(found.get("fault") or wanted.get("fault"))]
    words = [f"parked: {row}" for row in found["tables"]["parked"]]
    words += [f"{name}: {fault}" for name, one in found["streams"].items() for fault in one["faults"]]
    words += _differences("table", _but(found["tables"], without), _but(wanted["tables"], without))
    words += _differences("stream", found["streams"], wanted["streams"])
    for url, told in wanted["told"].items():
        words += _differences("told", found["told"][url], told)
    if found["answers"] != wanted["answers"]:
        words.append(f"answered: {found['answers']} instead of {wanted['answers']}")
    return words


def _but(tables: dict[str, Any], without: frozenset[str]) -> dict[str, Any]:
    return {name: rows for name, rows in tables.items() if name not in without}


def _differences(kind: str, found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    names = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    return [f"{kind} {name}: {_short(found.get(name))} instead of {_short(wanted.get(name))}" for name in names]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 1500 else f"{text[:1500]}…"


def mails(found: Picture, wanted: Picture) -> list[str]:
    """Each mail is handed over and came once, or is uncertain and came at most once.

    A cancellation is sent once more where its first fate is unknown, as the same mail.
    """
    words = equal(found, wanted, without=frozenset(_MAIL_TABLES))
    if words:
        return words
    arrived = [str(message_from_string(one)["Message-ID"]) for one in found["mails"]]
    rows, theirs = ([json.loads(row) for row in one["tables"]["delivery"]] for one in (found, wanted))
    if sorted(row["id"] for row in rows) != sorted(row["id"] for row in theirs):
        return ["other deliveries"]
    states = {row["id"]: row["state"] for row in theirs}
    words = [word for row in rows for word in _of_one(row, states[row["id"]], arrived)]
    strange = [one for one in arrived if not any(row["id"] in one for row in rows)]
    return words + [f"nobody sent {one}" for one in strange]


def _of_one(row: dict[str, Any], unharmed: str, arrived: list[str]) -> list[str]:
    times, once_more = sum(row["id"] in one for one in arrived), bool(row["sent_once_more"])
    allowed = {"handed_over": range(1, 2 + once_more), "uncertain": range(2)}.get(row["state"], range(1))
    known = row["state"] == unharmed or (unharmed == "handed_over" and row["state"] == "uncertain")
    return [] if known and times in allowed else [f"{row['kind']}: {row['state']} and {times} mails, not {unharmed}"]


def pushes(found: Picture, wanted: Picture) -> list[str]:
    """Every message is pushed and taken; one whose answer was lost comes again under the same name and bytes."""
    words = equal(found, wanted, without=frozenset(_PUSH_TABLES))
    states = sorted(json.loads(row)["state"] for row in found.get("tables", {}).get("push", ()))
    if states != sorted(json.loads(row)["state"] for row in wanted["tables"]["push"]):
        words.append(f"pushes are {states}")
    if len(found["pushes"]) != len(wanted["pushes"]):
        words.append(f"{len(found['pushes'])} messages came instead of {len(wanted['pushes'])}")
    words += [f"{name}: other bytes" for name, text in found["pushes"].items() if len(set(text.splitlines())) > 1]
    return words


VERDICTS: dict[str, Verdict] = {"equal": equal, "mails": mails, "pushes": pushes}


def uncertain(found: Picture) -> bool:
    """Tell whether a death left a mail of which nobody knows whether it arrived."""
    rows = found.get("tables", {}).get("delivery", ())
    return any(json.loads(row)["state"] == "uncertain" for row in rows)
