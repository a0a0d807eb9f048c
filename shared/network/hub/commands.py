"""`album hub`, and `album network acl`: the office makes its hub, says who may come in, and has its rules judged."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from shared.kit.sentences import place_of
from shared.kit.settings import is_redis_address
from shared.network.commanding import is_authority

if TYPE_CHECKING:
    from shared.network.hub.acl_check import Judgement
    from shared.network.hub.certificate import Ends
    from shared.network.hub.hub import HubFolder
    from shared.network.hub.tls import Certificates

T = TypeVar("T")
hub = typer.Typer(no_args_is_help=True, help="The office's hub: its server's settings and who may do what there.")
console = Console()

Folder = Annotated[Path, typer.Option("--dir", envvar="ALBUM_HUB_DIR", help="Where the office keeps its hub.")]


def _address(given: str) -> str:
    if given and not is_redis_address(given):
        raise typer.BadParameter("it must be an address such as rediss://hub.example.org:6380")
    return given


def _authority(given: str) -> str:
    if not is_authority(given):
        raise typer.BadParameter(f"{given} is not there; it is a file, or the PEM itself")
    return given


Address = Annotated[
    str,
    typer.Option("--hub", envvar="ALBUM_HUB", help="rediss://host:port, else one on this machine.", callback=_address),
]
Authority = Annotated[
    str,
    typer.Option("--ca", envvar="ALBUM_HUB_CA", help="Who signed its certificate: a file or PEM.", callback=_authority),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_NO_HUB = "no hub, for ALBUM_HUB_DIR is not set, but a server of its own on the rules of a network of thirteen"


@hub.command("init")
def init(
    folder: Folder,
    tls: Annotated[bool, typer.Option("--tls", help="Take connections over TLS only.")] = False,
    host: Annotated[list[str] | None, typer.Option(help="A name or address of the hub, for its certificate.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Your own certificate (PEM) instead of a new one.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    ca: Annotated[Path | None, typer.Option(help="Who signed it (PEM).")] = None,
    roots: Annotated[int, typer.Option(min=1, max=9, help="How many root keys to make.")] = 1,
    bind: str = "0.0.0.0",  # noqa: S104 - a hub is there to be reached; nobody comes in without a user of its own
    port: int | None = None,
    at: Annotated[str | None, typer.Option(help="Where the server sees `server/`, e.g. in its container.")] = None,
    memory: Annotated[str, typer.Option(help="How much the hub may hold before it refuses to take more.")] = "1gb",
    keep: Annotated[bool, typer.Option("--keep", help="Leave a hub that is there already as it is.")] = False,
) -> None:
    """Write a new hub: redis.conf, users.acl, certificates, and the root keys that sign the roster."""
    from shared.network.hub.hub import HubFolder, make_hub  # noqa: PLC0415 - keeps `album` quick

    made = HubFolder(folder)
    if keep and made.acl.exists():
        console.print(f"There is a hub in {folder} already; nothing was changed.")
        return
    certificates = _certificates(tls, host or ["localhost", "127.0.0.1"], certificate, key, ca)
    try:
        make_hub(
            made, random=os.urandom, certificates=certificates, roots=roots, bind=bind, port=port, at=at, memory=memory
        )
    except FileExistsError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"Written to {folder}. Start the hub with: redis-server {made.conf}")
    console.print(f"Keep {made.office} safe, and a copy of it elsewhere: its root keys say who is who in the network.")


def _certificates(
    tls: bool, hosts: list[str], certificate: Path | None, key: Path | None, ca: Path | None
) -> "Certificates | None":
    from shared.network.hub.tls import Certificates, make_certificates  # noqa: PLC0415 - keeps `album` quick

    if not all(hosts):
        raise typer.BadParameter("--host is empty: under which name do the partners reach the hub?")
    if certificate and key and ca and tls:
        return Certificates(ca.read_bytes(), certificate.read_bytes(), key.read_bytes())
    if certificate or key or ca:
        raise typer.BadParameter("--tls, --certificate, --key and --ca go together")
    return make_certificates(hosts, datetime.now(UTC)) if tls else None


@hub.command("acl")
def acl(folder: Folder, address: Address = "", ca: Authority = "", as_json: AsJson = False) -> None:
    """Write the access rules anew from what the office knows, and have the hub read them."""
    from shared.network.hub import keeping as hub_keeping  # noqa: PLC0415 - keeps `album` quick
    from shared.network.hub.hub import HubFolder  # noqa: PLC0415 - as above

    kept = HubFolder(folder)
    access = _or_exit(lambda: hub_keeping.known_access(kept))
    changed = _or_exit(lambda: hub_keeping.load_rules(kept, address, ca, access))
    users = 1 + len(access.members) + len(access.invited)
    if as_json:
        typer.echo(json.dumps({"users": users, "changed": changed}))
    else:
        console.print(f"{users} users{', as before' if not changed else ''}; the hub has read them.")


@hub.command("check")
def check(folder: Folder, address: Address = "", ca: Authority = "", as_json: AsJson = False) -> None:
    """Ask the running hub whether its rules allow exactly what they should; exits with 1 where they do not."""
    from shared.network.hub import keeping as hub_keeping  # noqa: PLC0415 - keeps `album` quick
    from shared.network.hub.hub import HubFolder  # noqa: PLC0415 - as above

    kept = HubFolder(folder)
    judgement = _or_exit(lambda: hub_keeping.judge_hub(kept, address, ca, hub_keeping.known_access(kept)))
    _tell(judgement, _hub_asked(address), as_json)


@hub.command("certificate")
def certificate(
    folder: Folder,
    renew: Annotated[bool, typer.Option("--renew", help="Make a new one for the same names.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say until when the hub's certificate and its authority are valid, or make a new certificate."""
    from shared.network.hub import certificate as kept  # noqa: PLC0415 - keeps `album` quick
    from shared.network.hub.hub import HubFolder  # noqa: PLC0415 - as above

    place, now = HubFolder(folder), datetime.now(UTC)
    before = _or_exit(lambda: kept.ends_of(place))
    ends = _or_exit(lambda: kept.renew(place, now)) if renew else before
    if as_json:
        until = {"server": ends.server.isoformat(), "authority": ends.authority.isoformat()}
        typer.echo(json.dumps({"names": ends.names, **until, "ours": ends.ours, "renewed": renew}))
        return
    typer.echo(f"The hub's certificate for {', '.join(ends.names)} is valid until {_day(ends.server)}.")
    typer.echo(f"Its authority, which all nodes trust, is valid until {_day(ends.authority)}.")
    if renew:
        _say_renewed(place, before, ends)
    elif not ends.ours:
        typer.echo("It was brought with --certificate; a new one comes from where this one came from.")
    elif min(ends.server, ends.authority) - now < kept.SOON:
        typer.echo("Make a new one: album hub certificate --renew")


def _say_renewed(folder: "HubFolder", before: "Ends", after: "Ends") -> None:
    typer.echo("The hub takes it when it is restarted: docker compose restart hub. The nodes wait, and catch up.")
    if after.authority != before.authority:
        typer.echo(
            f"The authority is new as well, with the same key. Send {folder.ca} to all nodes, for the file that their "
            f"ALBUM_HUB_CA names; those that still have the old one are shut out from {_day(before.authority)} on."
        )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def acl_command(
    judge: Annotated[bool, typer.Option("--check", help="Have a server judge them.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", envvar="ALBUM_HUB_DIR", help="The office's hub.")] = None,
    address: Address = "",
    ca: Authority = "",
    as_json: AsJson = False,
) -> None:
    """Show the hub's access rules, or have them judged: all users x keys x commands.

    Without a hub here, a server of its own judges the rules of a network of thirteen.
    """
    from shared.network.hub import keeping as hub_keeping  # noqa: PLC0415 - keeps `album` quick
    from shared.network.hub.acl import acl_file  # noqa: PLC0415 - as above
    from shared.network.hub.hub import HubFolder  # noqa: PLC0415 - as above

    kept = None if folder is None else HubFolder(folder)
    access = hub_keeping.thirteen() if kept is None else _or_exit(lambda: hub_keeping.known_access(kept))
    if not judge:
        typer.echo(acl_file(access), nl=False)
    elif kept is None:
        _tell(hub_keeping.judge_thirteen(), _NO_HUB, as_json)
    else:
        _tell(_or_exit(lambda: hub_keeping.judge_hub(kept, address, ca, access)), _hub_asked(address), as_json)


def _hub_asked(address: str) -> str:
    return f"the hub at {place_of(address)}" if address else "the hub on this machine"


def _or_exit(do: Callable[[], T]) -> T:
    """Say in one line what is missing: the folder, the hub, or its trust in us."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - keeps `album` quick

    from shared.network.refusal import Refused  # noqa: PLC0415 - as above

    try:
        return do()
    except (RedisError, OSError, Refused) as error:
        typer.echo(f"not done: {error}", err=True)
        raise typer.Exit(1) from error


def _tell(judgement: "Judgement", asked: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"asked": asked, "checks": judgement.checks, "violations": judgement.violations}))
    else:
        for violation in judgement.violations:
            console.print(violation)
        typer.echo(f"Asked: {asked}.")
        typer.echo(f"{judgement.checks} checks, {judgement.wrong} violations")
    if judgement.wrong:
        raise typer.Exit(1)
