"""What the office says on the command line: who is invited and admitted, whose keys count, who is out."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from shared.kit.sentences import Unable
from shared.kit.settings import is_redis_address
from shared.kit.showing import show
from shared.network.commanding import AsJson, Slug, console, on_members, run, settings

if TYPE_CHECKING:
    from shared.kit.database import Database
    from shared.network.office.office import Office
    from shared.network.roster import Roster

T = TypeVar("T")


def invite(
    slug: Slug,
    address: Annotated[str, typer.Option("--hub-address", help="The hub as the partner reaches it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Invite an institution: prints a code that works once, for seven days (office)."""
    from shared.network.hub.hub import HubFolder, authority  # noqa: PLC0415 - keeps `album` quick

    told = settings()
    if address and not is_redis_address(address):
        raise typer.BadParameter("--hub-address must be an address such as rediss://hub.example.org:6380")

    async def do(office: "Office") -> str:
        ca = authority(HubFolder(Path(told.hub_dir)), told.hub_ca)
        return (await office.invite(slug, address or told.hub, ca)).code

    code = _in_office(do)
    if as_json:
        typer.echo(json.dumps({"slug": slug, "code": code}))
        return
    console.print(f"Send this to '{slug}' on a way that you trust. They run: album network join <code>", style="dim")
    typer.echo(code)


def requests(as_json: AsJson = False) -> None:
    """List who waits for the office: to be admitted, or to have new keys named (office)."""
    from shared.kit.clock import SystemClock  # noqa: PLC0415 - keeps `album` quick
    from shared.network.office.admitting import admission_url  # noqa: PLC0415 - as above

    told, now = settings(), SystemClock().now()
    asking = _in_office(lambda office: office.asking())
    links = {one.slug: admission_url(told, one, now) for one in asking if one.what == "join"}
    if as_json:
        typer.echo(json.dumps([{**vars(one), "admit": links.get(one.slug)} for one in asking]))
        return
    show([vars(one) for one in asking], "Nobody waits.")
    for slug, link in links.items():
        console.print(f"Admit '{slug}' with one click:")
        typer.echo(link)


def admit(slug: Slug) -> None:
    """Admit an institution that has run `album network join` (office)."""
    _said(_in_office(lambda office: office.admit(slug)), f"'{slug}' is admitted")


def revoke(
    slug: Slug, kid: Annotated[str, typer.Option(help="The key's id; `album network status` shows them.")]
) -> None:
    """End a key: what it signed so far stays, nothing new of it is taken (office)."""
    _said(_in_office(lambda office: office.revoke(slug, kid)), f"the key {kid} of '{slug}' is revoked")


def suspend(slug: Slug) -> None:
    """Take nothing new of an institution; what it said stays (office)."""
    _said(_in_office(lambda office: office.suspend(slug)), f"'{slug}' is suspended")


def reinstate(slug: Slug) -> None:
    """Take a suspended institution again; its streams go on where they waited (office)."""
    _said(_in_office(lambda office: office.reinstate(slug)), f"'{slug}' takes part again")


def leave(slug: Slug) -> None:
    """Let an institution go; what it said stays (office)."""
    _said(_in_office(lambda office: office.leave(slug)), f"'{slug}' has left")


def _in_office(do: "Callable[[Office], Awaitable[T]]") -> T:
    """Do something as the office: on its node's database, with its root keys, on its hub."""
    from shared.kit.clock import SystemClock  # noqa: PLC0415 - keeps `album` quick
    from shared.network.office.turn import is_kept_here, open_office  # noqa: PLC0415 - as above

    told = settings()
    if not is_kept_here(told):
        raise typer.BadParameter("this is for the office: set ALBUM_HUB_DIR and ALBUM_HUB")
    if not Path(told.hub_dir, "office").is_dir():
        raise Unable(f"there is no hub in {told.hub_dir}, which ALBUM_HUB_DIR names; `album hub init` makes one")

    async def opened(database: "Database") -> T:
        async with open_office(database, told, SystemClock()) as office:
            return await do(office)

    return run(lambda: on_members(opened))


def _said(roster: "Roster", sentence: str) -> None:
    console.print(f"{sentence}; the roster stands at version {roster.version}.")
