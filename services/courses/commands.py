"""An operator's hand in: `album import kufer|ics|csv FILE --institution X`, `album export FORMAT`."""

import json
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.courses.domain.catalogue import Entry
from services.courses.domain.findings import count_findings
from services.courses.domain.formats.exporting import EXPORTS, Export, ExportName
from services.courses.domain.formats.reading import Format, read
from services.courses.handlers import exporting, importing
from services.courses.handlers.importing import Report
from shared.contract.words import SLUG
from shared.kit.clock import SystemClock
from shared.kit.command import on_database, works_of
from shared.kit.database import Database
from shared.kit.directory import known_institutions
from shared.kit.node import Service
from shared.kit.sentences import Unable

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A catalogue file.")]
Institution = Annotated[str, typer.Option(help="Whose courses these are, such as vhs-hannover.")]
Preview = Annotated[bool, typer.Option("--preview", help="Say what would happen, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Form = Annotated[ExportName, typer.Argument(help="The format.")]
OfOne = Annotated[str | None, typer.Option("--institution", help="Only this institution's runs.")]
Out = Annotated[Path | None, typer.Option(dir_okay=False, help="Write into this file, not to the screen.")]
FORMATS: dict[Format, str] = {
    "kufer": "an export of KuferSQL (XML)",
    "ics": "a calendar, in which each event with all its dates is one course",
    "csv": "a table with one course in each line",
}


def app_for(service: Callable[[], Service]) -> typer.Typer:
    """Give the commands that work on the service's database; no running service is needed."""
    app = typer.Typer()
    imports = typer.Typer(no_args_is_help=True, help="Bring a course catalogue in.")
    app.add_typer(imports, name="import")
    for form, what in FORMATS.items():
        imports.command(form, help=f"Import {what}. {_HOW}")(_importer(form, service))

    @app.command("export")
    def export(form: Form, institution: OfOne = None, out: Out = None) -> None:
        """Write the runs of the whole network, or of one institution, in a format that others read."""
        _check(institution)
        chosen = service()
        on_database(chosen, lambda database: _exported(chosen, database, EXPORTS[form], institution, out))

    return app


_HOW = (
    "New runs are published, known ones keep what was edited here. Rows that cannot be read or kept are named and "
    "stop nothing else; a file without any course ends with 1."
)


def _importer(form: Format, service: Callable[[], Service]) -> Callable[..., None]:
    def bring_in(file: File, institution: Institution, preview: Preview = False, as_json: AsJson = False) -> None:
        _check(institution)
        with file.open("rb") as stream:
            entries = read(form, stream, institution, SystemClock().now())
        chosen = service()
        report, known = on_database(
            chosen, lambda database: _imported(chosen, database, form, institution, entries, preview), or_empty=preview
        )
        if as_json:
            typer.echo(json.dumps(importing.as_json(report), ensure_ascii=False))
        else:
            _show(report, preview)
            if not known:
                typer.echo(f"'{institution}' is not known here yet; is that its slug?", err=True)
        if not report.courses:
            raise typer.Exit(1)

    return bring_in


def _check(institution: str | None) -> None:
    if institution is not None and not re.fullmatch(SLUG, institution):
        raise typer.BadParameter(f"'{institution}' is no slug of an institution, such as vhs-hannover")


def _check_known(institution: str, known: Collection[str]) -> None:
    """Refuse a slug that nobody has: what was published under it would be everywhere, and nobody's."""
    if institution in known:
        return
    if not known:
        raise Unable("courses knows no institution yet: `album institutions add` makes one, the services tell courses")
    near = get_close_matches(institution, known) or sorted(known)[:20]
    raise Unable(f"'{institution}' is not known here; there are {', '.join(near)}")


async def _exported(
    service: Service, database: Database, export: Export, institution: str | None, out: Path | None
) -> None:
    base = service.settings().link_url(service.name)
    works = works_of(service, database)
    if institution is not None:
        async with works.looking() as store:
            _check_known(institution, await known_institutions(store.connection))
    pieces = exporting.pieces(export, institution, base, works)
    if out is None:
        async for piece in pieces:
            typer.echo(piece, nl=False)
        return
    # Whoever reads the file, such as a web server, never finds half of it.
    part = out.with_name(f"{out.name}.part")
    with part.open("wb") as file:
        async for piece in pieces:
            file.write(piece)
    part.replace(out)


async def _imported(
    service: Service, database: Database, form: Format, institution: str, entries: tuple[Entry, ...], preview: bool
) -> tuple[Report, bool]:
    """Import or preview; tell as well whether the institution is known, without which nothing is imported."""
    works = works_of(service, database)
    async with works.looking() as store:
        known = await known_institutions(store.connection)
        if preview:
            return await importing.preview(institution, form, entries, store), institution in known
    _check_known(institution, known)
    return await importing.import_all(institution, form, entries, works), True


def _show(report: Report, preview: bool) -> None:
    console = Console()
    compared = report.preview
    found = (*compared.findings, *report.failed)
    if found:
        # Every sentence names its courses: a column of their numbers would cost the room that the sentence needs.
        table = Table("kind", "what to look at", box=SIMPLE_HEAD)
        for finding in found:
            table.add_row(finding.kind, finding.sentence)
        console.print(table)
    for merged in compared.changed + compared.unchanged:
        if merged.kept:
            console.print(f"Course {merged.row.number}: edited here and kept: {', '.join(merged.kept)}")
    if compared.gone:
        console.print(f"Not in the file any more, left as they are: {', '.join(compared.gone)}")
    counts = {kind: count for kind, count in count_findings(compared.findings).items() if count}
    if counts:
        console.print(f"Findings: {', '.join(f'{kind} {count}' for kind, count in counts.items())}")
    would = "would be" if preview else "are"
    console.print(
        f"{report.courses} courses with {report.sessions} sessions: {len(compared.new)} {would} new, "
        f"{len(compared.changed)} {would} changed, {len(compared.unchanged)} are as before, "
        f"{len(compared.gone)} are gone, {len(report.failed)} could not be kept."
    )
