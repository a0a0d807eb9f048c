"""A catalogue file of an institution, sent over."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, UploadFile

from services.courses.api.answers import ImportOut
from services.courses.api.models import InstitutionPath
from services.courses.domain.formats.reading import Format, read
from services.courses.handlers import importing
from shared.kit.errors import Invalid
from shared.kit.http import WriteKey, node_of

router = APIRouter(prefix="/institutions/{institution}", tags=["imports"])


@router.post("/imports")
async def import_catalogue(
    institution: InstitutionPath,
    file: UploadFile,
    request: Request,
    key: WriteKey,
    preview: bool = False,
    form: Annotated[
        Format, Query(alias="format", description="An export of KuferSQL, a calendar, or a table")
    ] = "kufer",
) -> ImportOut:
    """Import a catalogue, or say what it would do; broken rows are named and stop nothing else."""
    works = node_of(request).works
    # Parsing a large file takes seconds of computing; other requests go on meanwhile.
    entries = await asyncio.to_thread(read, form, file.file, institution, works.clock.now())
    if preview:
        async with works.looking() as store:
            report = await importing.preview(institution, form, entries, store)
    else:
        report = await importing.import_all(institution, form, entries, works)
    if report.unreadable:
        raise Invalid(report.unreadable, code="no_catalogue")
    return ImportOut.model_validate(importing.as_json(report))
