"""What a node says on the command line: it joins, changes its keys, and looks at the network as it holds it."""

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from shared.kit.sentences import Unable
from shared.kit.showing import show
from shared.network.commanding import AsJson, Slug, Wait, console, counter, on_members, run, settings

if TYPE_CHECKING:
    from shared.kit.database import Database
    from shared.network.held import Held
    from shared.network.identity import Identity
    from shared.network.link.store import LinkStore
    from shared.network.office.invitation import Invitation
    from shared.network.office.joining import Joined
    from shared.network.roster import Roster


def join(code: str, wait: Wait = True, as_json: AsJson = False) -> None:
    """Join with the office's code: makes this node's keys, asks, and waits to be admitted."""
    from shared.network.office.invitation import Invitation  # noqa: PLC0415 - keeps `album` quick

    async def do() -> "tuple[Invitation, Joined | None]":
        invitation = Invitation.read(code)
        return invitation, await _join(invitation, wait=wait)

    invitation, joined = run(do)
    if joined is None:
        console.print("Asked. Run the same command again once the office has admitted you.")
        return
    said = _environment(invitation)
    if as_json:
        typer.echo(json.dumps({"slug": invitation.slug, "kid": joined.identity.kid, "environment": said}))
        return
    console.print(f"[green]'{invitation.slug}' is in the network.[/] Give the services these settings and start them:")
    for name, value in said.items():
        typer.echo(f"{name}={value}")


async def _join(invitation: "Invitation", *, wait: bool) -> "Joined | None":
    from shared.network.office import joining  # noqa: PLC0415 - keeps `album` quick

    folder = settings().identities
    identity = joining.keys_for(invitation, folder)
    if invitation.ca:
        (folder / "hub-ca.pem").write_text(invitation.ca, "utf-8")
    asked = False
    while True:
        joined = await _look(invitation, identity)
        if joined is not None:
            await on_members(partial(_pin, joined=joined), make=True)
            return joined
        if not asked:
            await _ask(invitation, identity)
            asked = True
            console.print(f"Asked the office to admit '{invitation.slug}' with the key {identity.kid}.", style="dim")
        if not wait:
            return None
        await asyncio.sleep(joining.ASK_EACH)


async def _ask(invitation: "Invitation", identity: "Identity") -> None:
    from shared.network.office import joining  # noqa: PLC0415 - keeps `album` quick

    user = f"join-{invitation.slug}"
    async with counter(invitation.hub, invitation.ca, user, invitation.secret) as opened:
        await joining.ask_to_join(invitation, identity, opened)


async def _look(invitation: "Invitation", identity: "Identity") -> "Joined | None":
    """Look with the node's own password first: it opens the hub as soon as the office has admitted."""
    from shared.network.hub.streams import HubRefuses  # noqa: PLC0415 - as above
    from shared.network.office import joining  # noqa: PLC0415 - keeps `album` quick

    try:
        async with counter(invitation.hub, invitation.ca, invitation.slug, identity.password) as opened:
            return await joining.look_for_admission(invitation, identity, opened)
    except HubRefuses:  # it knows no such user, or not this password, yet
        return None


async def _pin(database: "Database", *, joined: "Joined") -> None:
    await _store(database).keep_held(joined.held)


def _environment(invitation: "Invitation") -> dict[str, str]:
    folder = settings().identities
    said = {"ALBUM_HUB": invitation.hub, "ALBUM_HOSTED": invitation.slug, "ALBUM_OFFICE": invitation.office}
    said["ALBUM_IDENTITIES"] = str(folder)
    if invitation.ca:
        said["ALBUM_HUB_CA"] = str(folder / "hub-ca.pem")
    return said


def rotate(slug: Slug, wait: Wait = True) -> None:
    """Change this node's keys: makes new ones, has the office name them, then signs with them."""
    kid = run(lambda: _rotate(slug, wait=wait))
    console.print(
        f"'{slug}' signs with {kid} from now on." if kid else "Asked; run it again to see whether it is done."
    )


async def _rotate(slug: str, *, wait: bool) -> str | None:
    from shared.network.identity import Identity  # noqa: PLC0415 - as above
    from shared.network.office import joining  # noqa: PLC0415 - keeps `album` quick

    told = settings()
    path = joining.identity_path(told.identities, slug)
    if not path.is_file():
        raise Unable(f"this node has no keys of '{slug}' in {told.identities}, which ALBUM_IDENTITIES names")
    _check_hub(told)
    try:
        old = Identity.load(path)
    except ValueError as error:
        raise Unable(str(error)) from error
    async with counter(told.hub, told.hub_ca, slug, old.password) as opened:
        new = await joining.ask_for_new_keys(old, told.identities, opened)
    while True:
        held = await on_members(_held)
        member = held.roster.member(slug) if held and held.roster else None
        if member is not None and member.key(new.kid) is not None:
            return joining.take_new_keys(told.identities, slug).kid
        if not wait:
            return None
        await asyncio.sleep(joining.ASK_EACH)


def _check_hub(told: Any) -> None:
    if not told.hub:
        raise Unable("ALBUM_HUB is not set: no hub was asked")


def status(as_json: AsJson = False) -> None:
    """Show who is in the network as this node holds it, and what waits at its border."""
    found = run(lambda: on_members(_status))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["version"] == 0:
        console.print("This node holds no roster: it is alone, or has not joined yet.")
        return
    console.print(f"Roster {found['version']} of '{found['office']}', valid until {found['expires']}")
    show(found["institutions"], "Nobody is in it yet.")
    show(found["waiting"], "Nothing waits at the border.")


def verify(as_json: AsJson = False) -> None:
    """Check every entry on the hub: signatures, hash chains, states and heartbeats; exits with 1 where one fails."""
    from shared.network.verifying import verify_hub  # noqa: PLC0415 - keeps `album` quick

    async def do() -> list[dict[str, Any]]:
        held = await on_members(_held)
        if held is None or held.roster is None:
            raise typer.BadParameter("this node holds no roster; it has not joined yet")
        told = settings()
        _check_hub(told)
        if not any(told.identities.glob("*.json")):
            raise Unable(f"no keys lie in {told.identities}, which ALBUM_IDENTITIES names: no hub was asked")
        return await verify_hub(held.roster, told)

    rows = run(do)
    show(rows, "There is nothing on the hub yet.", as_json=as_json)
    if any(row["fault"] for row in rows):
        raise typer.Exit(1)


async def _held(database: "Database") -> "Held | None":
    return await _store(database).held()


async def _status(database: "Database") -> dict[str, Any]:
    store = _store(database)
    roster = await _roster(database, store)
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


async def _roster(database: "Database", store: "LinkStore") -> "Roster | None":
    """Give the roster that the link holds; on the office's node before it has joined, the newest one issued."""
    from shared.network.office.store import OfficeStore  # noqa: PLC0415 - keeps `album` quick
    from shared.network.roster_document import parse_roster  # noqa: PLC0415 - as above

    held = await store.held()
    if held and held.roster:
        return held.roster
    async with database.reading() as connection:
        newest = await OfficeStore(connection).newest()
    return parse_roster(newest.document) if newest else None


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


def _store(database: "Database") -> "LinkStore":
    from shared.network.link.store import LinkStore  # noqa: PLC0415 - keeps `album` quick

    return LinkStore(database, _Nobody())


class _Nobody:
    """Leads no link: what only a leading one may write is refused."""

    async def confirm(self, connection: Any) -> bool:
        """Refuse it."""
        return False
