"""What is told of a measurement: a table with the goals, or JSON; and a file under var/."""

import json
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from shared.embedded.origin import Origin

VAR = Path(__file__).parents[2] / "var" / "bench"
Row = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """What a figure should be."""

    figure: str
    words: str
    reached: Callable[[Any], bool]


def _at_least(figure: str, least: float) -> Goal:
    return Goal(figure, f">= {least:g}", lambda value: value >= least)


def _at_most(figure: str, most: float) -> Goal:
    return Goal(figure, f"<= {most:g}", lambda value: value <= most)


def _all_at_most(figure: str, most: float) -> Goal:
    return Goal(
        figure, f"all <= {most:g}", lambda value: all(r <= most for each in value.values() for r in each.values())
    )


GOALS: dict[str, tuple[Goal, ...]] = {
    "propagate": (
        _at_least("ratio_naive", 40),
        _at_least("ratio_floor", 0.5),
        _at_least("reader_ratio_floor", 0.75),
        Goal("ratio_peer", "> 1", lambda value: value > 1),
    ),
    "latency": (_at_most("ratio_p50", 2), _at_most("ratio_p99", 5)),
    "join": (_at_most("ratio", 6),),
    "seats": (_at_least("ratio", 0.5), _at_most("oversold", 0), _at_least("control_oversold", 1)),
    "growth": (_all_at_most("per_message_ratio", 1.5),),
}


def show(name: str, rows: list[Row], origins: Iterable[Origin]) -> None:
    """Print a figure in each line, with its goal and whether it is reached."""
    table = Table("figure", *(row["database"] for row in rows), "goal", title=f"album bench {name}")
    goals = {goal.figure: goal for goal in GOALS[name]}
    for figure in (key for key in rows[0] if key != "database"):
        goal = goals.get(figure)
        cells = [_cell(row[figure], goal) for row in rows]
        table.add_row(figure, *cells, goal.words if goal else "")
    console = Console()
    console.print(table)
    console.print(f"on {', '.join(map(str, origins))}; {os.cpu_count()} cores, Python {platform.python_version()}")


def _cell(value: Any, goal: Goal | None) -> str:
    text = json.dumps(value) if isinstance(value, dict) else f"{value}"
    if goal is None:
        return text
    return f"[green]{text} ✓[/]" if goal.reached(value) else f"[red]{text} ✗[/]"


def keep(name: str, rows: list[Row], origins: Iterable[Origin]) -> Path:
    """Write the figures into var/bench, with what they were measured on."""
    VAR.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = VAR / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    on = {"at": now.isoformat(), "cores": os.cpu_count(), "servers": [str(each) for each in origins]}
    path.write_text(json.dumps({"bench": name, **on, "figures": rows}, indent=2) + "\n", "utf-8")
    return path
