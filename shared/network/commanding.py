"""What the commands of `album network` have in common: where they run, what they say, how they end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from shared.kit.database import Database
    from shared.network.office.desk import RedisCounter

T = TypeVar("T")
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Slug = Annotated[str, typer.Argument(help="The institution's short name, such as 'kargah'.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the office has answered.")]


def settings() -> Any:
    """Give what members is told by the operator."""
    from shared.kit.command import services  # noqa: PLC0415 - keeps `album` quick

    return services()["members"].settings()


def run(do: Callable[[], Awaitable[T]]) -> T:
    """Run something; what the network refuses, and a hub that is away, end the command with a sentence."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - keeps `album` quick

    from shared.kit.errors import Transient  # noqa: PLC0415 - as above
    from shared.network.refusal import Refused  # noqa: PLC0415 - as above

    async def begun() -> T:
        return await do()

    try:
        return asyncio.run(begun())
    except Refused as error:
        typer.echo(f"{error} ({error.code})", err=True)
    except (RedisError, Transient, OSError) as error:
        typer.echo(f"the hub does not answer, or does not let us in: {error}", err=True)
    raise typer.Exit(1)


async def on_members(do: "Callable[[Database], Awaitable[T]]") -> T:
    """Do something on the database of members."""
    from shared.kit.command import services, with_database  # noqa: PLC0415 - keeps `album` quick

    return await with_database(services()["members"], do)


@asynccontextmanager
async def counter(hub: str, ca: str | None, user: str, password: str) -> "AsyncIterator[RedisCounter]":
    """Open the hub as a node sees it; `ca` is who signed its certificate, a file or PEM."""
    from shared.network.hub.on_redis import connect_hub  # noqa: PLC0415 - as above
    from shared.network.office.desk import RedisCounter  # noqa: PLC0415 - keeps `album` quick

    client = connect_hub(hub, user, password, ca or None)
    try:
        yield RedisCounter(client)
    finally:
        await client.aclose()


def show(rows: list[dict[str, Any]], nothing: str, *, as_json: bool = False) -> None:
    """Print rows as a table or as JSON; `nothing` is said where there are none."""
    if as_json:
        typer.echo(json.dumps(rows))
    elif not rows:
        console.print(nothing)
    else:
        table = Table(*rows[0].keys())
        for row in rows:
            table.add_row(*(", ".join(value) if isinstance(value, list) else str(value) for value in row.values()))
        console.print(table)
