"""What the commands of `album network` have in common: where they run, what they say, how they end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

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
        typer.echo(_wrong_here(error) or f"the hub does not answer, or does not let us in: {error}", err=True)
    raise typer.Exit(1)


def _wrong_here(error: Exception) -> str | None:
    """Say what is wrong on this machine, for which the hub is not to blame; None where nothing is."""
    ca = str(settings().hub_ca)
    if not is_authority(ca):
        return f"ALBUM_HUB_CA names {ca}, which is not there: it is a file, or the PEM itself"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, PermissionError) else None


def is_authority(ca: str) -> bool:
    """Tell whether somebody may be found who signed the hub's certificate: none, PEM, or a file that is there."""
    return not ca or "BEGIN CERTIFICATE" in ca or Path(ca).is_file()


async def on_members(do: "Callable[[Database], Awaitable[T]]", *, make: bool = False) -> T:
    """Do something on the database of members; `make` makes it where there is none yet."""
    from shared.kit.command import services, with_database  # noqa: PLC0415 - keeps `album` quick

    return await with_database(services()["members"], do, make=make)


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
