"""One click admits: a page behind a signed link that shows who asks, with which key, and has one button."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from itsdangerous import BadData, URLSafeSerializer

from shared.kit.errors import NotFound
from shared.kit.http import node_of
from shared.kit.node import Node
from shared.network.office import Asking, Office
from shared.network.office_turn import is_kept_here, open_office
from shared.network.refusal import Refused
from shared.pages.page import SECURITY_HEADERS, render
from shared.pages.wording import Page

LINK_LIVES = timedelta(days=7)
_SALT = "album.network.admit.v1"


@dataclass(frozen=True)
class Admission:
    """What a link admits: this institution with this key, and no other one that asked meanwhile."""

    slug: str
    kid: str
    until: datetime


def admission_url(settings: Any, asking: Asking, now: datetime) -> str:
    """Give the address at which the office admits an institution with one click."""
    token = _serializer(settings).dumps([asking.slug, asking.kid, int((now + LINK_LIVES).timestamp())])
    return f"{settings.link_url('members')}/network/admit/{token!s}"


def _read(settings: Any, token: str, now: datetime) -> Admission | None:
    try:
        slug, kid, until = _serializer(settings).loads(token)
    except (BadData, ValueError, TypeError):
        return None
    found = Admission(slug, kid, datetime.fromtimestamp(until, UTC))
    return found if now < found.until else None


def _serializer(settings: Any) -> URLSafeSerializer:
    return URLSafeSerializer(settings.secret.get_secret_value(), salt=_SALT, signer_kwargs={"digest_method": _digest()})


def _digest() -> Callable[..., object]:
    return sha256


router = APIRouter(prefix="/network/admit", include_in_schema=False)


async def _admission(token: str, request: Request) -> Admission | None:
    node = node_of(request)
    return _read(node.settings, token, node.works.clock.now())


Admitted = Annotated[Admission | None, Depends(_admission)]


@router.get("/{token}")
async def show(admission: Admitted, request: Request) -> HTMLResponse:
    """Show who asks; nothing is done, because programs open links by themselves."""
    if admission is None:
        return _html(_page("Dieser Link gilt nicht mehr", "Holen Sie mit `album network requests` einen neuen.", 410))
    async with _office(node_of(request)) as office:
        return _html(await _question(office, admission))


async def _question(office: Office, admission: Admission) -> Page:
    if await _asks(office, admission):
        sentence = "Vergleichen Sie den Schlüssel mit dem, den die Organisation Ihnen nennt."
        return _page(f"'{admission.slug}' aufnehmen?", sentence, 200, kid=admission.kid, button="Aufnehmen")
    roster = await office.roster()
    member = roster.member(admission.slug) if roster else None
    if member is not None and member.key(admission.kid) is not None:
        return _page(f"'{admission.slug}' ist aufgenommen", "Es ist nichts mehr zu tun.", 200, kid=admission.kid)
    return _page(f"'{admission.slug}' fragt nicht mehr an", "Vielleicht hat die Organisation neu angefragt.", 410)


async def _asks(office: Office, admission: Admission) -> bool:
    return any(one.slug == admission.slug and one.kid == admission.kid for one in await office.asking())


@router.post("/{token}")
async def admit(admission: Admitted, request: Request) -> HTMLResponse:
    """Admit the institution, if it still asks with this key."""
    if admission is None:
        return await show(admission, request)
    async with _office(node_of(request)) as office:
        if await _asks(office, admission):
            try:
                await office.admit(admission.slug)
            except Refused as error:
                return _html(_page("Das ging nicht", str(error), 409))
        return _html(await _question(office, admission))


def _office(node: Node[Any]) -> Any:
    settings: Any = node.settings
    if not is_kept_here(settings):
        raise NotFound("Not Found")
    return open_office(node.database, settings, node.works.clock)


def _page(heading: str, sentence: str, status: int, *, kid: str = "", button: str | None = None) -> Page:
    facts = (("Schlüssel", kid),) if kid else ()
    return Page("de", heading, (sentence,), facts, button, status)


def _html(page: Page) -> HTMLResponse:
    return HTMLResponse(render(page), page.status, headers=dict(SECURITY_HEADERS))
