"""Periods of the rules, as data with the day since when they count."""

import json
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Period:
    """A number of some rule, from a day on."""

    name: str
    since: date
    value: int
    source: str


@cache
def periods() -> tuple[Period, ...]:
    """Give all periods, the newest of each name last."""
    stored = json.loads(Path(__file__).with_name("periods.json").read_text("utf-8"))
    found = [Period(each["name"], date.fromisoformat(each["since"]), each["value"], each["source"]) for each in stored]
    return tuple(sorted(found, key=lambda period: period.since))


def level_valid_months(on: date) -> int:
    """Give for how many months an assessed level counts; the oldest rule stands for days before it."""
    known = [period for period in periods() if period.name == "level_valid_months"]
    return next((period.value for period in reversed(known) if period.since <= on), known[0].value)


def months_later(day: date, months: int) -> date:
    """Give the same day some months later, or the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
