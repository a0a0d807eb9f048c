"""Rows for a person or a program: whole in a pipe, folded in a terminal, never cut."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDEST = 100_000
MANY = 5
"""So many columns still can be read when they are folded into a narrow terminal."""


def show(
    rows: Sequence[Mapping[str, Any]], nothing: str, *, as_json: bool = False, console: Console | None = None
) -> None:
    """Print rows as a table or as JSON; `nothing` is said where there are none."""
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
        return
    console = console or screen()
    if not rows:
        console.print(nothing)
        return
    table = _table(rows)
    if len(rows[0]) > MANY and _width(table, console) > console.width:
        _print_one_by_one(rows, console)
        return
    console.print(table)


def screen() -> Console:
    """Give where to print: as wide as the terminal, and without an end in a pipe, where a name that is cut is lost."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDEST
    return console


def _width(table: Table, console: Console) -> int:
    return console.measure(table, options=console.options.update(width=WIDEST)).maximum


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _print_one_by_one(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    for row in rows:
        one = Table(box=None, show_header=False)
        one.add_column(no_wrap=True)
        one.add_column(overflow="fold")
        for heading, value in row.items():
            one.add_row(heading, _cell(value))
        console.print(one)
        console.print()


def _cell(value: Any) -> Text:
    # Plain: what stands in brackets in a reason or a body is no markup.
    return Text(", ".join(map(str, value)) if isinstance(value, list) else str(value))
