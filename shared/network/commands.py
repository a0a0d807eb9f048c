"""`album network …`: two commands to join, one to admit; new keys, suspension, departure; how things stand."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from shared.network.hub_commands import acl_command

if TYPE_CHECKING:
    from shared.kit.database import Database
    from shared.network.identity import Identity
    from shared.network.joining import Joined
    from shared.network.office import Office
    from shared.network.roster import Roster

T = TypeVar("T")
network = typer.Typer(no_args_is_help=True, help="Who takes part in the network, each on a node of its own.")
network.command("acl")(acl_command)
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Slug = Annotated[str, typer.Argument(help="The institution's short name, such as 'kargah'.")]


@network.command("invite")
def invite(
    slug: Slug,
    address: Annotated[str, typer.Option("--hub-address", help="The hub as the partner reaches it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Invite an institution: prints a code that works once, for seven days (office)."""
    from shared.network.office_turn import ca_of  # noqa: PLC0415 - keeps `album` quick

    settings = _settings()
    ca = ca_of(settings)
    known = Path(ca).read_text("utf-8") if ca and Path(ca).exists() else None
    invitation = _in_office(lambda office: office.invite(slug, address or settings.hub, known))
    if as_json:
        typer.echo(json.dumps({"slug": slug, "code": invitation.code}))
    else:
        console.print(
            f"Send this to '{slug}' on a way that you trust. They run: album network join <code>", style="dim"
        )
        typer.echo(invitation.code)


@network.command("join")
def join(
    code: str,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the office admits.")] = True,
    as_json: AsJson = False,
) -> None:
    """Join with the office's code: makes this node's keys, asks, and waits to be admitted."""
    from shared.network.invitation import Invitation  # noqa: PLC0415 - keeps `album` quick

    invitation = _or_exit(lambda: Invitation.read(code))
    joined = asyncio.run(_run(lambda: _join(invitation, wait=wait)))
    if joined is None:
        console.print("Asked. Run the same command again once the office has admitted you.")
        return
    said = _environment(invitation, joined)
    if as_json:
        typer.echo(json.dumps({"slug": invitation.slug, "kid": joined.identity.kid, "environment": said}))
        return
    console.print(f"[green]'{invitation.slug}' is in the network.[/] Give the services these settings and start them:")
    for name, value in said.items():
        typer.echo(f"{name}={value}")


async def _join(invitation: Any, *, wait: bool) -> "Joined | None":
    from shared.network import joining  # noqa: PLC0415 - keeps `album` quick

    folder = _settings().identities
    identity = joining.keys_for(invitation, folder)
    if invitation.ca:
        (folder / "hub-ca.pem").write_text(invitation.ca, "utf-8")
    asked = False
    while True:
        joined = await _look(invitation, identity)
        if joined is not None:
            await _on_members(partial(_pin, joined=joined))
            return joined
        if not asked:
            async with _counter(invitation, f"join-{invitation.slug}", invitation.secret) as counter:
                await joining.ask_to_join(invitation, identity, counter)
            asked = True
            console.print(f"Asked the office to admit '{invitation.slug}' with the key {identity.kid}.", style="dim")
        if not wait:
            return None
        await asyncio.sleep(joining.ASK_EACH)


async def _look(invitation: Any, identity: "Identity") -> "Joined | None":
    """Look with the node's own password first: it opens the hub as soon as the office has admitted."""
    from shared.network import joining  # noqa: PLC0415 - keeps `album` quick
    from shared.network.hub_streams import HubRefuses  # noqa: PLC0415 - as above

    try:
        async with _counter(invitation, invitation.slug, identity.password) as counter:
            return await joining.look_for_admission(invitation, identity, counter)
    except HubRefuses:  # it knows no such user, or not this password, yet
        return None


async def _pin(database: "Database", *, joined: "Joined") -> None:
    from shared.network.link_store import LinkStore  # noqa: PLC0415 - keeps `album` quick

    await LinkStore(database, _no_fence()).keep_held(joined.held)


def _environment(invitation: Any, joined: "Joined") -> dict[str, str]:
    folder = _settings().identities
    said = {"ALBUM_HUB": invitation.hub, "ALBUM_HOSTED": invitation.slug, "ALBUM_OFFICE": invitation.office}
    said["ALBUM_IDENTITIES"] = str(folder)
    if invitation.ca:
        said["ALBUM_HUB_CA"] = str(folder / "hub-ca.pem")
    return said


@network.command("requests")
def requests(as_json: AsJson = False) -> None:
    """List who waits for the office: to be admitted, or to have new keys named (office)."""
    from shared.kit.clock import SystemClock  # noqa: PLC0415 - keeps `album` quick
    from shared.network.admitting import admission_url  # noqa: PLC0415 - as above

    settings, now = _settings(), SystemClock().now()
    asking = _in_office(lambda office: office.asking())
    links = {one.slug: admission_url(settings, one, now) for one in asking if one.what == "join"}
    if as_json:
        typer.echo(json.dumps([{**vars(one), "admit": links.get(one.slug)} for one in asking]))
        return
    _show([vars(one) for one in asking], as_json, "Nobody waits.")
    for slug, link in links.items():
        console.print(f"Admit '{slug}' with one click:")
        typer.echo(link)


@network.command("admit")
def admit(slug: Slug) -> None:
    """Admit an institution that has run `album network join` (office)."""
    _said(_in_office(lambda office: office.admit(slug)), f"'{slug}' is admitted")


@network.command("rotate")
def rotate(
    slug: Slug,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the roster names the new keys.")] = True,
) -> None:
    """Change this node's keys: makes new ones, has the office name them, then signs with them."""
    kid = asyncio.run(_run(lambda: _rotate(slug, wait=wait)))
    console.print(
        f"'{slug}' signs with {kid} from now on." if kid else "Asked; run it again to see whether it is done."
    )


async def _rotate(slug: str, *, wait: bool) -> str | None:
    from shared.network import joining  # noqa: PLC0415 - keeps `album` quick
    from shared.network.identity import Identity  # noqa: PLC0415 - as above

    settings = _settings()
    old = Identity.load(joining.identity_path(settings.identities, slug))
    async with _counter(settings, slug, old.password) as counter:
        new = await joining.ask_for_new_keys(old, settings.identities, counter)
    while True:
        held = await _on_members(_held)
        member = held.roster.member(slug) if held and held.roster else None
        if member is not None and member.key(new.kid) is not None:
            return joining.take_new_keys(settings.identities, slug).kid
        if not wait:
            return None
        await asyncio.sleep(joining.ASK_EACH)


@network.command("revoke")
def revoke(
    slug: Slug, kid: Annotated[str, typer.Option(help="The key's id; `album network status` shows them.")]
) -> None:
    """End a key: what it signed so far stays, nothing new of it is taken (office)."""
    _said(_in_office(lambda office: office.revoke(slug, kid)), f"the key {kid} of '{slug}' is revoked")


@network.command("suspend")
def suspend(slug: Slug) -> None:
    """Take nothing new of an institution; what it said stays (office)."""
    _said(_in_office(lambda office: office.suspend(slug)), f"'{slug}' is suspended")


@network.command("reinstate")
def reinstate(slug: Slug) -> None:
    """Take a suspended institution again; its streams go on where they waited (office)."""
    _said(_in_office(lambda office: office.reinstate(slug)), f"'{slug}' takes part again")


@network.command("leave")
def leave(slug: Slug) -> None:
    """Let an institution go; what it said stays (office)."""
    _said(_in_office(lambda office: office.leave(slug)), f"'{slug}' has left")


@network.command("status")
def status(as_json: AsJson = False) -> None:
    """Show who is in the network as this node holds it, and what waits at its border."""
    found = asyncio.run(_run(lambda: _on_members(_status)))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["version"] == 0:
        console.print("This node holds no roster: it is alone, or has not joined yet.")
        return
    console.print(f"Roster {found['version']} of '{found['office']}', valid until {found['expires']}")
    _show(found["institutions"], as_json=False, nothing="Nobody is in it yet.")
    _show(found["waiting"], as_json=False, nothing="Nothing waits at the border.")


@network.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Check every entry on the hub: signatures, hash chains, states and heartbeats; exits with 1 where one fails."""
    from shared.network.verifying import verify_hub  # noqa: PLC0415 - keeps `album` quick

    async def run() -> list[dict[str, Any]]:
        settings = _settings()
        held = await _on_members(_held)
        if held is None or held.roster is None:
            raise typer.BadParameter("this node holds no roster; it has not joined yet")
        return await verify_hub(held.roster, settings)

    rows = asyncio.run(_run(run))
    _show(rows, as_json, "There is nothing on the hub yet.")
    if any(row["fault"] for row in rows):
        raise typer.Exit(1)


async def _held(database: "Database") -> Any:
    from shared.network.link_store import LinkStore  # noqa: PLC0415 - keeps `album` quick

    return await LinkStore(database, _no_fence()).held()


async def _status(database: "Database") -> dict[str, Any]:
    from shared.network.link_store import LinkStore  # noqa: PLC0415 - keeps `album` quick
    from shared.network.office_store import OfficeStore  # noqa: PLC0415 - as above
    from shared.network.roster_document import parse_roster  # noqa: PLC0415 - as above

    store = LinkStore(database, _no_fence())
    held = await store.held()
    roster = held.roster if held else None
    if roster is None:
        async with database.reading() as connection:
            newest = await OfficeStore(connection).newest()
        roster = parse_roster(newest.document) if newest else None
    if roster is None:
        return {"version": 0, "office": "", "expires": None, "institutions": [], "waiting": []}
    waiting = [
        {"stream": one.stream, "position": str(one.position), "code": one.code, "reason": one.reason}
        for one in (await store.waiting()).values()
    ]
    return {
        "version": roster.version,
        "office": roster.office,
        "expires": roster.expires.isoformat(),
        "institutions": _institutions(roster),
        "waiting": waiting,
    }


def _institutions(roster: "Roster") -> list[dict[str, Any]]:
    return [
        {
            "slug": one.slug,
            "status": one.status.value,
            "keys": [key.kid for key in one.keys if key.revoked_from is None],
            "revoked": [key.kid for key in one.keys if key.revoked_from is not None],
        }
        for one in roster.institutions
    ]


def _in_office(do: "Callable[[Office], Awaitable[T]]") -> T:
    """Do something as the office: on its node's database, with its root keys, on its hub."""
    from shared.kit.clock import SystemClock  # noqa: PLC0415 - keeps `album` quick
    from shared.network.office_turn import is_kept_here, open_office  # noqa: PLC0415 - as above

    settings = _settings()
    if not is_kept_here(settings):
        raise typer.BadParameter("this is for the office: set ALBUM_HUB_DIR and ALBUM_HUB")

    async def run(database: "Database") -> T:
        async with open_office(database, settings, SystemClock()) as office:
            return await do(office)

    return asyncio.run(_run(lambda: _on_members(run)))


async def _run(do: "Callable[[], Awaitable[T]]") -> T:
    """Run something; what the network refuses, and a hub that is away, end the command with a sentence."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - keeps `album` quick

    from shared.kit.errors import Transient  # noqa: PLC0415 - as above
    from shared.network.refusal import Refused  # noqa: PLC0415 - as above

    try:
        return await do()
    except Refused as error:
        typer.echo(f"{error} ({error.code})", err=True)
    except (RedisError, Transient, OSError) as error:
        typer.echo(f"the hub does not answer, or does not let us in: {error}", err=True)
    raise typer.Exit(1)


def _or_exit(do: Callable[[], T]) -> T:
    async def run() -> T:
        return do()

    return asyncio.run(_run(run))


async def _on_members(do: "Callable[[Database], Awaitable[T]]") -> T:
    from shared.kit.command import services, with_database  # noqa: PLC0415 - keeps `album` quick

    return await with_database(services()["members"], do)


def _counter(place: Any, user: str, password: str) -> Any:
    """Open the hub as a node sees it; `place` has its address and who signed its certificate."""
    from contextlib import asynccontextmanager  # noqa: PLC0415 - keeps `album` quick

    from shared.network.redis_desk import RedisCounter  # noqa: PLC0415 - as above
    from shared.network.redis_hub import connect_hub  # noqa: PLC0415 - as above

    ca = place.ca if hasattr(place, "ca") else place.hub_ca

    @asynccontextmanager
    async def opened() -> Any:
        client = connect_hub(place.hub, user, password, ca or None)
        try:
            yield RedisCounter(client)
        finally:
            await client.aclose()

    return opened()


def _no_fence() -> Any:
    class Nobody:
        async def confirm(self, connection: Any) -> bool:
            """Refuse what only a leading link may write."""
            return False

    return Nobody()


def _settings() -> Any:
    from shared.kit.command import services  # noqa: PLC0415 - keeps `album` quick

    return services()["members"].settings()


def _said(roster: "Roster", sentence: str) -> None:
    console.print(f"{sentence}; the roster stands at version {roster.version}.")


def _show(rows: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows))
    elif not rows:
        console.print(nothing)
    else:
        table = Table(*rows[0].keys())
        for row in rows:
            table.add_row(*(", ".join(value) if isinstance(value, list) else str(value) for value in row.values()))
        console.print(table)
