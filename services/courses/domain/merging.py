"""What an import would change, field by field, without losing what was edited here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.courses.domain.catalogue import KEPT_FIELDS, BrokenRow, CatalogueRow, Entry, Finding
from services.courses.domain.findings import findings, first_of_each
from services.courses.domain.guessing import GUESSED, said_or_guessed

MERGED_FIELDS: tuple[str, ...] = tuple(name for name in KEPT_FIELDS if name != "number")


_GUESSABLE = (*GUESSED, "quarter")


@dataclass(frozen=True, slots=True)
class Known:
    """A course that an earlier import brought: `base` as it was in that file, `local` as it stands now."""

    base: CatalogueRow
    local: CatalogueRow


@dataclass(frozen=True, slots=True)
class Merged:
    """A course after an import.

    `changed` are the fields that take the file's value, `kept` those that the file changed too but that stay as they
    were edited here. `base` is what the next import is compared with: keep it even if nothing changed.
    """

    row: CatalogueRow
    base: CatalogueRow
    changed: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do; `gone` are numbers that an earlier file had and this one has not."""

    new: tuple[CatalogueRow, ...]
    changed: tuple[Merged, ...]
    unchanged: tuple[Merged, ...]
    gone: tuple[str, ...]
    findings: tuple[Finding, ...]


def completed(base: CatalogueRow, incoming: CatalogueRow) -> CatalogueRow:
    """Give a row with the values of the file before where this file has no place for them."""
    return replace(incoming, **{name: getattr(base, name) for name in incoming.unstated}, unstated=())


def merge(base: CatalogueRow, local: CatalogueRow, incoming: CatalogueRow) -> Merged:
    """Take from the file what nobody edited here; where both changed, the local value stays and is named."""
    incoming = completed(base, incoming)
    taken: dict[str, object] = {}
    kept = []
    for name in MERGED_FIELDS:
        before, here, there = getattr(base, name), getattr(local, name), getattr(incoming, name)
        if here == there:
            continue
        if here == before:
            taken[name] = there
        elif there != before:
            kept.append(name)
    row = replace(local, **taken)  # type: ignore[arg-type]  # the values come from the same fields of another row
    changed, kept = ([name for name in names if _is_news(name, base, local, incoming)] for names in (taken, kept))
    return Merged(row, incoming, tuple(changed), tuple(kept))


def _is_news(name: str, base: CatalogueRow, local: CatalogueRow, incoming: CatalogueRow) -> bool:
    """Tell whether a file says something else; to state what was guessed before is to say the same."""
    if name not in _GUESSABLE:
        return True
    here = getattr(local, name)
    return bool((said_or_guessed(base)[name] if here is None else here) != said_or_guessed(incoming)[name])


def compare(known: Mapping[str, Known], entries: Iterable[Entry]) -> Preview:
    """Sort a file's courses into new, changed, unchanged and gone, with all that is odd about them.

    `known` holds the courses of earlier imports from the same source by number. Of a number that comes twice the
    first counts. A course that could not be read is not gone; after a file that broke off, nothing is.
    """
    entries = tuple(entries)
    rows, _ = first_of_each(entry for entry in entries if isinstance(entry, CatalogueRow))
    merged = [merge(known[row.number].base, known[row.number].local, row) for row in rows if row.number in known]
    gone, withheld = _gone(known, entries)
    return Preview(
        new=tuple(row for row in rows if row.number not in known),
        changed=tuple(each for each in merged if each.changed),
        unchanged=tuple(each for each in merged if not each.changed),
        gone=gone,
        findings=findings(entries) + withheld,
    )


def _gone(known: Mapping[str, Known], entries: tuple[Entry, ...]) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    present = {entry.number for entry in entries}
    missing = tuple(number for number in known if number not in present)
    broken = [entry for entry in entries if isinstance(entry, BrokenRow)]
    if not missing or not any(entry.number is None for entry in broken):
        return missing, ()
    # A row without a number, or the part after a break, may be any of the missing courses: calling one gone could
    # take a running course out of everybody's sight.
    reason = "could not be read to its end" if any(entry.ends_file for entry in broken) else "has a row without number"
    sentence = f"The file {reason}, so the {len(missing)} courses that are missing in it are not taken as gone."
    return (), (Finding("gone_withheld", missing, sentence),)
