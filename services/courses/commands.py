"""An operator's hand in: `album import kufer FILE --institution X`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.courses.domain.catalogue import Entry
from services.courses.domain.kufer import read_kufer
from services.courses.handlers import importing
from services.courses.handlers.importing import Report
from services.courses.store import Store
from shared.contract.words import SLUG
from shared.kit.clock import Ids, SystemClock
from shared.kit.command import on_database
from shared.kit.database import Database
from shared.kit.node import Service
from shared.kit.work import Works

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="An export of KuferSQL.")]
Institution = Annotated[str, typer.Option(help="Whose courses these are, such as vhs-hannover.")]
Preview = Annotated[bool, typer.Option("--preview", help="Say what would happen, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def app_for(service: Callable[[], Service]) -> typer.Typer:
    """Give the commands that work on the service's database; no running service is needed."""
    app = typer.Typer()
    imports = typer.Typer(no_args_is_help=True, help="Bring a course catalogue in.")
    app.add_typer(imports, name="import")

    # With one command alone, typer would drop its name: `album import kufer FILE` must stay.
    @imports.callback()
    def _named() -> None: ...

    @imports.command("kufer")
    def kufer(file: File, institution: Institution, preview: Preview = False, as_json: AsJson = False) -> None:
        """Import a course catalogue from KuferSQL: new runs are published, known ones keep what was edited here."""
        if not re.fullmatch(SLUG, institution):
            raise typer.BadParameter(f"'{institution}' is no slug of an institution, such as vhs-hannover")
        with file.open("rb") as stream:
            entries = tuple(read_kufer(stream))
        chosen = service()
        report = on_database(chosen, lambda database: _imported(chosen, database, institution, entries, preview))
        if as_json:
            typer.echo(json.dumps(importing.as_json(report), ensure_ascii=False))
        else:
            _show(report, preview)

    return app


async def _imported(
    service: Service, database: Database, institution: str, entries: tuple[Entry, ...], preview: bool
) -> Report:
    clock = SystemClock()
    works: Works[Store] = Works(database, Store, clock, Ids(SystemRandom(), clock), service.settings())
    if not preview:
        return await importing.import_all(institution, importing.KUFER, entries, works)
    async with works.looking() as store:
        return await importing.preview(institution, importing.KUFER, entries, store)


def _show(report: Report, preview: bool) -> None:
    console = Console()
    compared = report.preview
    found = (*compared.findings, *report.failed)
    if found:
        table = Table("kind", "courses", "what to look at", title="Findings")
        for finding in found:
            table.add_row(finding.kind, ", ".join(finding.numbers), finding.sentence)
        console.print(table)
    for merged in compared.changed + compared.unchanged:
        if merged.kept:
            console.print(f"Course {merged.row.number}: edited here and kept: {', '.join(merged.kept)}")
    if compared.gone:
        console.print(f"Not in the file any more, left as they are: {', '.join(compared.gone)}")
    would = "would be" if preview else "are"
    console.print(
        f"{report.courses} courses with {report.sessions} sessions: {len(compared.new)} {would} new, "
        f"{len(compared.changed)} {would} changed, {len(compared.unchanged)} are as before, "
        f"{len(compared.gone)} are gone, {len(report.failed)} could not be kept."
    )
