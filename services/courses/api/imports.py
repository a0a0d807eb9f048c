"""A catalogue file of an institution, sent over."""

import asyncio

from fastapi import APIRouter, Request, UploadFile

from services.courses.api.answers import ImportOut
from services.courses.api.models import InstitutionPath
from services.courses.domain.kufer import read_kufer
from services.courses.handlers import importing
from shared.kit.http import WriteKey, node_of

router = APIRouter(prefix="/institutions/{institution}", tags=["imports"])


@router.post("/imports", status_code=200)
async def import_kufer(
    institution: InstitutionPath, file: UploadFile, request: Request, key: WriteKey, preview: bool = False
) -> ImportOut:
    """Import a KuferSQL export, or say what it would do."""
    works = node_of(request).works
    # Parsing a large file takes seconds of computing; other requests go on meanwhile.
    entries = await asyncio.to_thread(lambda: tuple(read_kufer(file.file)))
    if preview:
        async with works.looking() as store:
            report = await importing.preview(institution, importing.KUFER, entries, store)
    else:
        report = await importing.import_all(institution, importing.KUFER, entries, works)
    return ImportOut.model_validate(importing.as_json(report))
