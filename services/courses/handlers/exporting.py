"""The runs of the network go out, page by page, as they were last heard of."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

from services.courses.domain.formats.exporting import Export
from services.courses.domain.formats.writing import Heading, Shown, Writer
from services.courses.store import Seen, Store, Wanted
from shared.contract.courses import RunPicture
from shared.kit.directory import known_institutions
from shared.kit.work import Works

PAGE = 100
NETWORK = "Netzwerk ALBuM"


async def mark(export: Export, institution: str | None, store: Store) -> str:
    """Give a word that changes whenever the export of a format would."""
    figures = await store.newest(institution)
    names = sorted((await known_institutions(store.connection)).items())
    return sha256(repr((export.suffix, institution, figures, names)).encode()).hexdigest()[:32]


async def pieces(export: Export, institution: str | None, base: str, works: Works[Store]) -> AsyncIterator[bytes]:
    """Write an export piece by piece; each page is a look of its own, so that a slow reader holds no connection."""
    async with works.looking() as store:
        names = await known_institutions(store.connection)
    title = names.get(institution, institution) if institution else NETWORK
    url = f"{base}/exports/runs.{export.suffix}" + (f"?institution={institution}" if institution else "")
    writer = export.writer(Heading(title, base, url, institution, works.clock.now()))
    yield writer.begin().encode()
    position: tuple[str, str] | None = ("", "")
    while position is not None:
        async with works.looking() as store:
            page = await store.seen(Wanted(institution), position, PAGE)
        # A page of many sessions takes a while of computing; other requests go on meanwhile.
        yield await asyncio.to_thread(_written, writer, page, names)
        position = (page[-1].picture["run_id"], page[-1].institution) if len(page) == PAGE else None
    yield writer.end().encode()


def _written(writer: Writer, page: list[Seen], names: dict[str, str]) -> bytes:
    return "".join(writer.add(_shown(seen, names)) for seen in page).encode()


def _shown(seen: Seen, names: dict[str, str]) -> Shown:
    picture = RunPicture.model_validate(seen.picture)
    return Shown(seen.institution, names.get(seen.institution, seen.institution), seen.version, seen.seen_at, picture)
