"""The operator's command `album`: what every service has in common, and what each adds of its own."""

import asyncio
import getpass
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from random import SystemRandom
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
import structlog
import typer
from rich.console import Console
from rich.table import Table

from shared.kit import migrate, parking, tables
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.node import Service
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.settings import Settings, secrets_from_files
from shared.kit.streams import START, Position
from shared.kit.work import Works

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
parked_app = typer.Typer(no_args_is_help=True, help="Messages that could not be used, with their reasons.")
app.add_typer(parked_app, name="parked")
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def services() -> dict[str, Service]:
    """Give the services that are installed here; an image of one service knows no other."""
    found: dict[str, Service] = {}
    for point in entry_points(group="album.services"):
        try:
            found[point.name] = point.load()
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith(f"services.{point.name}"):
                raise
    return found


def on_database(service: Service, do: Callable[[Database], Awaitable[T]]) -> T:
    """Do something on a service's database and close it."""
    return asyncio.run(with_database(service, do))


async def with_database(service: Service, do: Callable[[Database], Awaitable[T]]) -> T:
    """Do something on a service's database and close it, where a command does more than that."""
    database = Database(service.settings().database_of(service.name))
    try:
        if not await migrate.ready(service, database):
            raise typer.BadParameter(f"run `album migrate` first: the database of {service.name} has another schema")
        return await do(database)
    finally:
        await database.close()


def works_of(service: Service, database: Database) -> Works[Any]:
    """Give what opens the units of work of a command; the relay of the running service publishes what was told."""
    clock = SystemClock()
    return Works(database, service.store, clock, Ids(SystemRandom(), clock), service.settings())


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database of every installed service to this release's schema."""
    for name, service in services().items():
        done = migrate.upgrade_now(service, service.settings().database_of(name))
        console.print(f"{name}: {', '.join(done) if done else 'nothing to do'}")


@parked_app.command("list")
def parked_list(as_json: AsJson = False) -> None:
    """List what is parked in every service, grouped by cause."""
    rows = []
    for name, service in services().items():
        for row in on_database(service, _counted):
            rows.append({"service": name, **row})
    _show(rows, as_json, "Nothing is parked.")


async def _counted(database: Database) -> list[dict[str, Any]]:
    async with database.reading() as connection:
        return [
            {
                "code": row.code,
                "stream": row.stream,
                "messages": row.messages,
                "things": row.keys,
                "reason": row.reason,
                "since": str(row.since),
            }
            for row in await parking.counted(connection)
        ]


@parked_app.command("show")
def parked_show(service: str, code: str | None = None, as_json: AsJson = False) -> None:
    """Show the parked messages of a service with their ids; bodies of own streams stay out, they hold contacts."""

    async def look(database: Database) -> list[dict[str, Any]]:
        query = sa.select(tables.parked).where(tables.parked.c.state.in_(parking.OPEN))
        query = query if code is None else query.where(tables.parked.c.code == code)
        async with database.reading() as connection:
            return [_parked_row(row) for row in await connection.execute(query.order_by(tables.parked.c.id).limit(200))]

    _show(on_database(_service(service), look), as_json, "Nothing is parked.")


def _parked_row(row: sa.Row[Any]) -> dict[str, Any]:
    public = row.stream.startswith("album:1:pub:")
    shown = {name: getattr(row, name) for name in ("id", "stream", "seq", "key", "type", "state", "code", "reason")}
    body = row.payload.decode("utf-8", "replace")[:500] if public else f"({len(row.payload)} bytes, own stream)"
    return {**shown, "body": body}


@parked_app.command("retry")
def parked_retry(
    service: str, ids: Annotated[list[int] | None, typer.Argument()] = None, code: str | None = None
) -> None:
    """Have the running service try again: the given ids, all of one cause, or everything."""

    async def ask(database: Database) -> int:
        async with database.transaction() as connection:
            return await parking.ask_retry(connection, ids=ids or (), code=code)

    console.print(f"{on_database(_service(service), ask)} to be tried again by the running service")


@parked_app.command("discard")
def parked_discard(
    service: str, id_: int, why: Annotated[str, typer.Option(prompt=True, help="Kept with your name.")]
) -> None:
    """Give up one parked message, with a reason; what waited behind it goes on."""

    async def give_up(database: Database) -> bool:
        async with database.transaction() as connection:
            return await parking.discard(connection, id_, by=getpass.getuser(), why=why, now=SystemClock().now())

    if not why.strip() or not on_database(_service(service), give_up):
        raise typer.BadParameter("a parked message with this id and a reason are needed")
    console.print(f"{id_} is discarded")


@app.command("streams")
def streams_command(as_json: AsJson = False) -> None:
    """Show where every stream ends, and how far each service is behind."""
    _show(asyncio.run(stream_rows()), as_json, "No service has read a stream yet.")


async def stream_rows() -> list[dict[str, Any]]:
    """Give a row for every stream that a service reads: its end, the reader's place, and the lag."""
    rows: list[dict[str, Any]] = []
    redis = connect(Settings().redis)
    try:
        for name, service in services().items():
            database = Database(service.settings().database_of(name))
            try:
                async with database.reading() as connection:
                    cursors = list(await connection.execute(sa.select(tables.cursor).order_by(tables.cursor.c.stream)))
            finally:
                await database.close()
            heads = await RedisStreams(redis).heads([row.stream for row in cursors]) if cursors else []
            rows += [_stream_row(name, row, head) for row, head in zip(cursors, heads, strict=True) if head != START]
    finally:
        await redis.aclose()
    return rows


def _stream_row(service: str, row: sa.Row[Any], head: Position) -> dict[str, Any]:
    at = Position(row.epoch, row.seq)
    return {"reader": service, "stream": row.stream, "head": str(head), "at": str(at), "lag": max(0, head.seq - at.seq)}


@app.command("rebuild")
def rebuild(service: str) -> None:
    """Throw a service's copies of the network away; the running service rebuilds them from snapshot and tail."""
    chosen = _service(service)

    async def throw_away(database: Database) -> int:
        async with database.transaction() as connection:
            # The cursors go first: their locks hold the readers back until all of it is gone.
            public = tables.cursor.c.stream.like("album:1:pub:%")
            streams = (await connection.execute(sa.delete(tables.cursor).where(public))).rowcount
            for table in (*chosen.copies, tables.institution):
                await connection.execute(sa.delete(table))
            # What is parked would keep the newest state behind it; what is still bad is parked again.
            waiting = tables.parked.c.stream.like("album:1:pub:%") & tables.parked.c.state.in_(parking.OPEN)
            await connection.execute(sa.delete(tables.parked).where(waiting))
            return streams

    console.print(f"{service}: {on_database(chosen, throw_away)} streams are read again from their snapshots")


def _service(name: str) -> Service:
    found = services()
    if name not in found:
        raise typer.BadParameter(f"'{name}' is not installed here; there are {', '.join(found)}")
    return found[name]


def _show(rows: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
    elif not rows:
        console.print(nothing)
    else:
        table = Table(*rows[0].keys())
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        console.print(table)


def main() -> None:
    """Run the command with what the installed services add to it; warnings go to stderr, results to stdout."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    secrets_from_files()
    for service in services().values():
        if service.commands is not None:
            app.add_typer(service.commands)
    for point in entry_points(group="album.commands"):
        try:
            app.add_typer(point.load())
        except ModuleNotFoundError as error:
            # What only a checkout has, an installed image has not.
            if error.name is None or not error.name.startswith("deploy"):
                raise
    app()
