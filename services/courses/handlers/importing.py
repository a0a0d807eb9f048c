"""A catalogue file becomes runs: new ones are published, known ones changed field by field, missing ones reported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from services.courses.domain.catalogue import BrokenRow, CatalogueRow, Entry, Finding
from services.courses.domain.findings import count_findings, first_of_each
from services.courses.domain.imported import CANCELLED_BY_FILE, Imported, plan_of, told_otherwise, updated_plan
from services.courses.domain.merging import Known, Merged, Preview, compare, completed, merge
from services.courses.domain.refusal import Refused
from services.courses.domain.run import OVER, Offer, Run, change, planned, reaches_minimum, step
from services.courses.handlers.runs import cancel, change_plan
from services.courses.handlers.telling import tell_new_state
from services.courses.store import SeatBook, Store
from shared.contract.envelope import MessageRefused
from shared.kit.errors import Problem
from shared.kit.work import Work, Works

PAGE = 50


@dataclass(frozen=True)
class Report:
    """What an import did, or would do: the comparison, the rows that were read, and those that could not be kept.

    `elsewhere` are the numbers of runs that came by another way and are left as they are.
    """

    preview: Preview
    courses: int
    sessions: int
    broken: tuple[BrokenRow, ...]
    failed: tuple[Finding, ...] = ()
    elsewhere: frozenset[str] = frozenset()

    @property
    def unreadable(self) -> str | None:
        """Say why the file gave no course at all, if it is no catalogue; None for one with courses or broken rows."""
        ends = [each for each in self.broken if each.ends_file]
        return ends[0].findings[0].sentence if ends and len(ends) == len(self.broken) and not self.courses else None


async def preview(institution: str, source: str, entries: Sequence[Entry], store: Store) -> Report:
    """Say what an import would do, and do nothing; `source` is the format, whose rows are compared among themselves."""
    known = await store.imported(institution, source)
    rows = _rows(entries)
    elsewhere = await _elsewhere(institution, [row for row in rows if row.number not in known], store)
    rest = [entry for entry in entries if isinstance(entry, BrokenRow) or entry.number not in elsewhere]
    compared = compare({number: Known(each.base, each.local) for number, each in known.items()}, rest)
    same = tuple(Merged(row, row, (), ()) for row in rows if elsewhere.get(row.number) == ())
    others = tuple(_left_alone(number, wrong) for number, wrong in elsewhere.items() if wrong)
    compared = replace(compared, unchanged=compared.unchanged + same, findings=compared.findings + others)
    broken = tuple(entry for entry in entries if isinstance(entry, BrokenRow))
    return Report(compared, len(rows), sum(len(row.sessions) for row in rows), broken, elsewhere=frozenset(elsewhere))


async def _elsewhere(institution: str, rows: Sequence[CatalogueRow], store: Store) -> dict[str, tuple[str, ...]]:
    """Find the rows whose runs came by another way, each with what it tells otherwise.

    Publishing them again would show one course twice to everybody.
    """
    runs = await store.runs_numbered(institution, [row.number for row in rows])
    found = [(row, runs[row.number]) for row in rows if row.number in runs]
    return {row.number: min((_differences(row, run) for run in same), key=len) for row, same in found}


def _differences(row: CatalogueRow, run: Run) -> tuple[str, ...]:
    try:
        return told_otherwise(row, run)
    except ValidationError as error:
        return tuple(str(part) for part in error.errors(include_input=False)[0]["loc"]) or ("place",)


def _left_alone(number: str, wrong: Sequence[str]) -> Finding:
    sentence = f"Course {number} is here by another way and differs in {', '.join(wrong)}; it is left as it is."
    return Finding("known_elsewhere", (number,), sentence, tuple(wrong))


async def import_all(institution: str, source: str, entries: Sequence[Entry], works: Works[Store]) -> Report:
    """Import a file in pages of their own, so that a large one blocks nobody and a fault costs one page."""
    async with works.looking() as store:
        report = await preview(institution, source, entries, store)
    failed: list[Finding] = []
    for page in _pages([row for row in _rows(entries) if row.number not in report.elsewhere]):
        async with works() as work:
            failed += await keep_page(institution, source, page, work)
    return replace(report, failed=tuple(failed))


def _rows(entries: Sequence[Entry]) -> tuple[CatalogueRow, ...]:
    rows, _ = first_of_each(entry for entry in entries if isinstance(entry, CatalogueRow))
    return rows


def _pages(rows: Sequence[CatalogueRow]) -> Iterator[Sequence[CatalogueRow]]:
    for start in range(0, len(rows), PAGE):
        yield rows[start : start + PAGE]


async def keep_page(institution: str, source: str, rows: Sequence[CatalogueRow], work: Work[Store]) -> list[Finding]:
    """Keep some rows, each for itself; give what could not be kept."""
    known = await work.store.imported_rows(institution, source, [row.number for row in rows])
    failed: list[Finding] = []
    # Known runs are locked in the order of their ids, as everywhere, so that two imports never wait for each other.
    for row in sorted(rows, key=lambda row: known[row.number].run_id if row.number in known else "~"):
        told = work.mark()
        try:
            async with work.store.attempt():
                await _keep_row(institution, source, row, known.get(row.number), work)
        except (Refused, Problem, MessageRefused, ValidationError) as error:
            work.take_back(told)
            failed.append(_failure(row, error))
    return failed


def _failure(row: CatalogueRow, error: Exception) -> Finding:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        reason = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    else:
        reason = str(error)
    return Finding("unreadable_row", (row.number,), f"Course {row.number} could not be kept: {reason}.")


async def _keep_row(
    institution: str, source: str, row: CatalogueRow, known: Imported | None, work: Work[Store]
) -> None:
    if known is None:
        await _keep_new(institution, source, row, work)
    elif completed(known.base, row) != known.base:
        await _keep_known(known.run_id, row, work)


async def _keep_new(institution: str, source: str, row: CatalogueRow, work: Work[Store]) -> None:
    plan = plan_of(row)
    run_id = work.ids.new("run")
    run = planned(Run(id=run_id, institution=institution, offer_id=await _offer(institution, plan, work), **plan))
    run = tell_new_state(step(run, "publish"), work)
    if not row.cancelled and reaches_minimum(run, work.now):
        run = tell_new_state(step(run, "confirm"), work)
    await work.store.add_run(run)
    await work.store.add_imported(institution, source, Imported(run_id, row.number, row, row))
    if row.cancelled:
        await cancel(run_id, institution, CANCELLED_BY_FILE, work)


async def _offer(institution: str, plan: dict[str, object], work: Work[Store]) -> str:
    names = ("title", "kind", "from_level", "to_level", "ue", "description")
    wanted = Offer(id=work.ids.new("offer"), institution=institution, **{name: plan[name] for name in names})  # type: ignore[arg-type]  # the names decide the types
    found = await work.store.offer_like(wanted)
    if found is None:
        await work.store.add_offer(wanted)
    return (found or wanted).id


async def _keep_known(run_id: str, row: CatalogueRow, work: Work[Store]) -> None:
    book = await SeatBook.opened(work.store, run_id, work.now)
    # Read again behind the lock: staff may have edited the run while the file was compared.
    known = await work.store.imported_run(run_id)
    if known is None:
        return
    merged = merge(known.base, known.local, row)
    await work.store.keep_imported(replace(known, base=merged.base, local=merged.row))
    if merged.changed:
        await _change(book, known, merged, work)


async def _change(book: SeatBook, known: Imported, merged: Merged, work: Work[Store]) -> None:
    if merged.row.cancelled and not known.local.cancelled and book.run.state not in OVER:
        await cancel(book.run.id, None, CANCELLED_BY_FILE, work)
        return
    after = change(book.run, updated_plan(book.run, known, merged))
    if after != book.run:
        await change_plan(book, after, work)


def as_json(report: Report) -> dict[str, object]:
    """Give the report as JSON values: counts, the findings by kind, and a sentence for whatever needs eyes."""
    found = (*report.preview.findings, *report.failed)
    return {
        "courses": report.courses,
        "sessions": report.sessions,
        "new": len(report.preview.new),
        "changed": len(report.preview.changed),
        "gone": len(report.preview.gone),
        "findings": count_findings(report.preview.findings),
        "unchanged": len(report.preview.unchanged),
        "failed": len(report.failed),
        "gone_numbers": list(report.preview.gone),
        "kept_local": {each.row.number: list(each.kept) for each in _merged(report.preview) if each.kept},
        "sentences": [{"kind": each.kind, "numbers": list(each.numbers), "sentence": each.sentence} for each in found],
    }


def _merged(compared: Preview) -> tuple[Merged, ...]:
    return compared.changed + compared.unchanged
