"""Webhooks: which there are, how one does, and trying again."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.notifications.domain.push import Push, PushState
from services.notifications.domain.webhook import Circuit, Webhook
from services.notifications.handlers.webhooks import push_again
from services.notifications.store import Store
from shared.kit.command import AsJson, on_database, services, works_of
from shared.kit.database import Database
from shared.kit.errors import Problem
from shared.kit.sentences import Unable
from shared.kit.showing import screen
from shared.kit.work import Work

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Addresses to which public facts are pushed, and how they answer.")
console = Console()

_SHOWN = 20
_RETRIED = 10_000


@app.command("list")
def list_webhooks(institution: str | None = None, as_json: AsJson = False) -> None:
    """List webhooks with their states and what waits for them."""

    async def look(work: Work[Store]) -> list[dict[str, Any]]:
        return [await _row(one, work.store) for one in await work.store.webhooks.of(institution)]

    _show(_done(look), ("id", "state", "reason", "waiting", "given_up"), as_json, "There are no webhooks.")


@app.command("show")
def show_webhook(webhook_id: str, as_json: AsJson = False) -> None:
    """Show one webhook, how its address answers, and the newest of what was pushed to it."""

    async def look(work: Work[Store]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        found = await work.store.webhooks.webhook(webhook_id)
        if found is None:
            raise typer.BadParameter(f"there is no webhook '{webhook_id}'")
        pushes = [_push_row(one) for one in await work.store.pushes.page(webhook_id, count=_SHOWN)]
        return await _row(found, work.store), pushes

    row, pushes = _done(look)
    if as_json:
        typer.echo(json.dumps({**row, "deliveries": pushes}, ensure_ascii=False, default=str))
        return
    for name, value in row.items():
        typer.echo(f"{name}: {value}")
    _show(pushes, ("id", "state", "attempts", "last_outcome"), as_json, "Nothing was pushed yet.")


@app.command("retry")
def retry(id_: str) -> None:
    """Have one delivery tried again at once, or all that a webhook has given up, by its id."""

    async def release(work: Work[Store]) -> int:
        one = await work.store.pushes.push(id_)
        if one is None and await work.store.webhooks.webhook(id_) is None:
            raise Unable(f"there is no delivery and no webhook '{id_}'; `album webhooks list` shows what there is")
        given_up = await work.store.pushes.page(id_, state=PushState.given_up, count=_RETRIED) if one is None else [one]
        for push in given_up:
            await push_again(push.webhook_id, push.id, work)
        return len(given_up)

    console.print(f"{_done(release)} to be tried again by the running service")


def _done(do: Callable[[Work[Store]], Awaitable[T]]) -> T:
    service = services()["notifications"]

    async def run(database: Database) -> T:
        async with works_of(service, database)() as work:
            return await do(work)

    try:
        return on_database(service, run)
    except Problem as problem:
        raise typer.BadParameter(problem.detail) from problem


async def _row(one: Webhook, store: Store) -> dict[str, Any]:
    circuit = await store.webhooks.circuit(one.id) or Circuit()
    counts = await store.pushes.counts([one.id])
    return {
        "id": one.id,
        "institution": one.institution,
        "state": one.state.value,
        "reason": one.reason,
        # What comes behind the path may be a password of the receiver's own.
        "url": one.url.partition("?")[0],
        "waiting": counts.get((one.id, PushState.waiting), 0),
        "given_up": counts.get((one.id, PushState.given_up), 0),
        "failing_since": circuit.failing_since,
        "resting_until": circuit.open_until,
    }


def _push_row(one: Push) -> dict[str, Any]:
    shown = ("id", "message_id", "type", "attempts", "last_outcome", "not_before")
    return {"state": one.state.value, **{name: getattr(one, name) for name in shown}}


def _show(rows: list[dict[str, Any]], shown: tuple[str, ...], as_json: bool, nothing: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
    elif not rows:
        console.print(nothing)
    else:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for name in shown:
            table.add_column(name, overflow="fold", no_wrap=name == "id")  # a cut id could not be asked about
        for row in rows:
            table.add_row(*("" if row[name] is None else str(row[name]) for name in shown))
        screen().print(table)
