"""What an operator adds to `album`: institutions and API keys, straight on the database of members."""

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.members.domain.institution import Institution, is_reserved
from services.members.domain.key import SCOPES, ApiKey, Scope
from services.members.handlers import institutions as of_institutions
from services.members.handlers import keys as of_keys
from services.members.store import Store
from shared.kit.command import on_database, services, works_of
from shared.kit.database import Database
from shared.kit.errors import Problem
from shared.kit.sentences import Unable
from shared.kit.showing import screen
from shared.kit.work import Work
from shared.network.commands import network
from shared.network.hub.commands import hub

T = TypeVar("T")
app = typer.Typer()
institutions = typer.Typer(no_args_is_help=True, help="Who is in the network; kept on the office's node.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the institutions that this node hosts.")
app.add_typer(institutions, name="institutions")
app.add_typer(keys, name="keys")
app.add_typer(hub, name="hub")
app.add_typer(network, name="network")
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@institutions.command("add")
def add(
    slug: str,
    name: Annotated[str, typer.Option(help="As people read it.")],
    about: str | None = None,
    website: str | None = None,
    field: Annotated[list[str] | None, typer.Option(help="A field of action, in the network's words.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="A language spoken there: de, tr, ar …")] = None,
    district: Annotated[str | None, typer.Option(help="Stadtbezirk")] = None,
    quarter: Annotated[str | None, typer.Option(help="Stadtteil")] = None,
    active: Annotated[bool, typer.Option("--active", help="Is a member already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add an institution: as an application, or at once as an active member."""
    if is_reserved(slug):
        raise Unable(f"'{slug}' cannot be an institution: on the network's hub, `default` and `join-…` are other users")
    said = {"name": name, "about": about, "website": website, "district": district, "quarter": quarter}
    profile: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    profile |= {"fields_of_action": tuple(field or ()), "languages": tuple(language or ())}
    do = of_institutions.add_active if active else of_institutions.apply
    added = _work(lambda work: do(slug, profile, work))
    _show([added.picture.model_dump(mode="json")] if as_json else [_institution_row(added)], as_json)


@institutions.command("list")
def list_institutions(as_json: AsJson = False) -> None:
    """List the institutions that are kept here."""
    found = _work(lambda work: work.store.institutions())
    _show([one.picture.model_dump(mode="json") if as_json else _institution_row(one) for one in found], as_json)


@keys.command("issue")
def issue(
    institution: Annotated[str, typer.Option(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help=f"May be given again: {', '.join(SCOPES)}")],
    as_json: AsJson = False,
) -> None:
    """Issue an API key and show it, this once: only its SHA-256 is kept."""
    scopes = [_scope(word) for word in scope]
    key, secret = _work(lambda work: of_keys.issue(institution, scopes, secrets.token_urlsafe(32), work))
    if as_json:
        typer.echo(json.dumps({**_key_row(key), "key": secret}))
    else:
        typer.echo(secret)


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys that were issued here; none can be shown again."""
    _show([_key_row(key) for key in _work(lambda work: work.store.keys())], as_json)


@keys.command("revoke")
def revoke(key_id: str) -> None:
    """Take a key out of use everywhere on the node."""
    key = _work(lambda work: of_keys.revoke(key_id, work))
    typer.echo(f"{key.key_id} of '{key.institution}' is revoked")


def _work(do: Callable[[Work[Store]], Awaitable[T]]) -> T:
    """Do something in one unit of work; the relay of the running service publishes what was told."""
    service = services()["members"]

    async def run(database: Database) -> T:
        async with works_of(service, database)() as work:
            return await do(work)

    try:
        return on_database(service, run)
    except Problem as problem:
        typer.echo(f"{problem.detail} ({problem.code})", err=True)
        raise typer.Exit(1) from problem


def _scope(word: str) -> Scope:
    for scope in SCOPES:
        if word == scope:
            return scope
    raise typer.BadParameter(f"'{word}' is no scope; there are {', '.join(SCOPES)}")


def _institution_row(one: Institution) -> dict[str, Any]:
    picture = one.picture
    return {"slug": picture.slug, "name": picture.name, "state": picture.state.value, "quarter": picture.quarter}


def _key_row(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "institution": key.institution,
        "scopes": list(key.scopes),
        "issued_at": key.issued_at.isoformat(timespec="seconds"),
        "revoked_at": key.revoked_at.isoformat(timespec="seconds") if key.revoked_at else None,
    }


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    elif not rows:
        console.print("There is nothing yet.")
    else:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for heading in rows[0]:
            # A cut or broken key id could not be revoked.
            table.add_column(heading, overflow="fold", no_wrap=heading in ("key_id", "institution"))
        for row in rows:
            table.add_row(*(_word(heading, value) for heading, value in row.items()))
        screen().print(table)


def _word(heading: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    # The day is enough to tell keys apart; the JSON has the second.
    return str(value or "")[:10] if heading.endswith("_at") else str(value or "")
