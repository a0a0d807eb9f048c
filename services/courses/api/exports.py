"""The runs of the whole network in the formats of others, for everybody."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from services.courses.domain.formats.exporting import BY_SUFFIX, EXPORTS, Suffix
from services.courses.handlers import exporting
from shared.contract.words import Slug
from shared.kit.http import node_of

router = APIRouter(tags=["exports"])
_KINDS = {each.media_type.split(";")[0] for each in EXPORTS.values()}
_CONTENT = {kind: {"schema": {} if kind.endswith("json") else {"type": "string"}} for kind in sorted(_KINDS)}


@router.get(
    "/exports/runs.{form}",
    response_class=StreamingResponse,
    responses={
        200: {"content": _CONTENT, "description": "All runs"},
        304: {"description": "As it was at If-None-Match"},
    },
)
async def export_runs(
    form: Suffix,
    request: Request,
    institution: Slug | None = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Give all runs as a calendar, schema.org, MOOChub, a table, or open-Q-cat; with an ETag."""
    node, export = node_of(request), BY_SUFFIX[form]
    async with node.works.looking() as store:
        tag = f'W/"{await exporting.mark(export, institution, store)}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and (if_none_match.strip() == "*" or tag in (each.strip() for each in if_none_match.split(","))):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="album-runs.{export.suffix}"'
    found = exporting.pieces(export, institution, node.settings.link_url(node.service.name), node.works)
    return StreamingResponse(found, headers=headers, media_type=export.media_type)
