"""Mails: why one is where it is, and which are in which state."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.notifications.domain.addresses import masked
from services.notifications.domain.attempts import Attempt
from services.notifications.domain.delivery import Delivery, State
from services.notifications.domain.explaining import explained
from services.notifications.store import Store
from shared.kit.command import AsJson, on_database, services
from shared.kit.database import Database

app = typer.Typer(no_args_is_help=True, help="Mails to participants: where they stand and why.")
console = Console()

_SHOWN = ("id", "institution", "kind", "state", "reason", "participant_id", "attempts", "changed_at")


@app.command("why")
def why(delivery_id: str, as_json: AsJson = False) -> None:
    """Tell in words what became of a mail."""

    async def look(database: Database) -> tuple[Delivery, list[Attempt]] | None:
        async with database.reading() as connection:
            deliveries = Store(connection).deliveries
            found = await deliveries.delivery(delivery_id)
            return None if found is None else (found, await deliveries.attempts(delivery_id))

    found = on_database(services()["notifications"], look)
    if found is None:
        raise typer.BadParameter(f"there is no delivery '{delivery_id}'")
    delivery, attempts = found
    if as_json:
        made = [asdict(attempt) for attempt in attempts]
        typer.echo(json.dumps({**_row(delivery), "attempts_made": made}, ensure_ascii=False, default=str))
    else:
        typer.echo("\n".join(explained(delivery, attempts)))


@app.command("list")
def list_mails(
    state: Annotated[State | None, typer.Option(help="Only mails in this state.")] = None,
    institution: Annotated[str | None, typer.Option(help="Only mails of this institution.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="So many, the newest first.")] = 200,
    as_json: AsJson = False,
) -> None:
    """List mails, the newest first."""

    async def look(database: Database) -> list[Delivery]:
        async with database.reading() as connection:
            return await Store(connection).deliveries.page(
                institution, state=state.value if state else None, count=count
            )

    rows = [_row(one) for one in on_database(services()["notifications"], look)]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
    elif not rows:
        console.print("There are no such mails.")
    else:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for name in ("id", "kind", "state", "changed"):
            table.add_column(name, overflow="fold", no_wrap=name != "state")  # a cut id could not be asked about
        for row in rows:
            told = " ".join(filter(None, (row["state"], row["reason"])))
            table.add_row(row["id"], row["kind"], told, f"{row['changed_at']:%d.%m %H:%M}")
        console.print(table)


def _row(one: Delivery) -> dict[str, Any]:
    return {**{name: getattr(one, name) for name in _SHOWN}, "address": masked(one.address)}
