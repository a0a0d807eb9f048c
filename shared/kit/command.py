"""The operator's command `album`: what every service has in common, and what each adds of its own."""

import asyncio
import getpass
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from random import SystemRandom
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
import structlog
import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit import migrate, parking, schema, tables
from shared.kit.clock import Ids, SystemClock
from shared.kit.database import Database
from shared.kit.node import Service
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.sentences import Unable, database_named, in_one_line, place_of
from shared.kit.settings import Settings, secrets_from_files
from shared.kit.showing import show
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


def on_database(service: Service, do: Callable[[Database], Awaitable[T]], *, or_empty: bool = False) -> T:
    """Do something on a service's database and close it; `or_empty` as for `with_database`."""
    return asyncio.run(with_database(service, do, or_empty=or_empty))


async def with_database(
    service: Service, do: Callable[[Database], Awaitable[T]], *, or_empty: bool = False, make: bool = False
) -> T:
    """Do something on a service's database and close it, where a command does more than that.

    Where there is none yet: `make` makes it, `or_empty` takes an empty one that is gone afterwards; else Unable is
    raised, for a wrong address must not look like a node where nothing has happened.
    """
    url = service.settings().database_of(service.name)
    if or_empty and not migrate.is_made(url):
        with tempfile.TemporaryDirectory(prefix="album-") as place:
            async with opened(service, f"sqlite+aiosqlite:///{place}/empty.db", make=True) as database:
                return await do(database)
    async with opened(service, url, make=make) as database:
        return await do(database)


@asynccontextmanager
async def opened(service: Service, url: str, *, make: bool = False) -> AsyncIterator[Database]:
    """Open a service's database at this release's schema; raises Unable where there is none."""
    if not make and not migrate.is_made(url):
        place = place_of(url)
        raise Unable(
            f"there is no database of {service.name} at {place}: is ALBUM_DATABASE right? `album migrate` makes one"
        )
    with database_named(service.name, url):
        database = Database(url)
    try:
        with database_named(service.name, url):
            ready = await schema.is_newest(service, database) or (make and await migrate.ready(service, database))
        if not ready:
            raise Unable(f"run `album migrate` first: the database of {service.name} has another schema")
        yield database
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
        url = service.settings().database_of(name)
        with database_named(name, url):
            done = migrate.upgrade_now(service, url)
        console.print(f"{name}: {', '.join(done) if done else 'nothing to do'}")


@parked_app.command("list")
def parked_list(as_json: AsJson = False) -> None:
    """List what is parked in every service, grouped by cause."""
    rows = []
    for name, service in services().items():
        for row in on_database(service, _counted):
            rows.append({"service": name, **row})
    show(rows, "Nothing is parked.", as_json=as_json)


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

    show(on_database(_service(service), look), "Nothing is parked.", as_json=as_json)


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
            await _check_open(connection, service, ids or [], code)
            return await parking.ask_retry(connection, ids=ids or (), code=code)

    console.print(f"{on_database(_service(service), ask)} to be tried again by the running service")


async def _check_open(connection: AsyncConnection, service: str, ids: list[int], code: str | None = None) -> None:
    """Refuse, before anything is changed, what waits nowhere: a mistyped number must not look like success."""
    waits = tables.parked.c.state.in_(parking.OPEN)
    found = await connection.execute(sa.select(tables.parked.c.id).where(waits, tables.parked.c.id.in_(ids)))
    if missing := sorted({*ids} - {*found.scalars()}):
        numbers = ", ".join(map(str, missing))
        raise Unable(f"nothing is parked in {service} as {numbers}; `album parked show {service}` lists what is")
    if code is None:
        return
    of_code = await connection.execute(
        sa.select(tables.parked.c.id).where(waits, tables.parked.c.code == code).limit(1)
    )
    if of_code.first() is None:
        raise Unable(f"nothing is parked in {service} for '{code}'; `album parked list` gives the causes")


@parked_app.command("discard")
def parked_discard(
    service: str,
    id_: int,
    why: Annotated[str | None, typer.Option(help="Kept with your name; asked for if left out.")] = None,
) -> None:
    """Give up one parked message, with a reason; what waited behind it goes on."""

    async def look(database: Database) -> None:
        async with database.reading() as connection:
            await _check_open(connection, service, [id_])

    async def give_up(database: Database) -> bool:
        async with database.transaction() as connection:
            return await parking.discard(connection, id_, by=getpass.getuser(), why=said, now=SystemClock().now())

    on_database(_service(service), look)
    said = (typer.prompt("Why") if why is None else why).strip()
    if not said:
        raise Unable("a reason is needed: --why")
    if not on_database(_service(service), give_up):
        raise Unable(f"{id_} is not parked any more")
    console.print(f"{id_} is discarded")


@app.command("streams")
def streams_command(as_json: AsJson = False) -> None:
    """Show where every stream ends, and how far each service is behind."""
    show(asyncio.run(stream_rows()), "No service has read a stream yet.", as_json=as_json)


async def stream_rows() -> list[dict[str, Any]]:
    """Give a row for every stream that a service reads: its end, the reader's place, and the lag."""
    rows: list[dict[str, Any]] = []
    redis = connect(Settings().redis)
    try:
        for name, service in services().items():
            cursors = await with_database(service, _cursors)
            heads = await RedisStreams(redis).heads([row.stream for row in cursors]) if cursors else []
            rows += [_stream_row(name, row, head) for row, head in zip(cursors, heads, strict=True) if head != START]
    finally:
        await redis.aclose()
    return rows


async def _cursors(database: Database) -> list[sa.Row[Any]]:
    async with database.reading() as connection:
        return list(await connection.execute(sa.select(tables.cursor).order_by(tables.cursor.c.stream)))


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


def main() -> None:
    """Run the command with what the installed services add to it; warnings go to stderr, results to stdout."""
    with in_one_line():
        _run()


def _run() -> None:
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
