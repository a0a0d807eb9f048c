"""One click admits: a page behind a signed link that shows who asks, with which key, and has one button."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from itsdangerous import BadData, URLSafeSerializer
from redis.exceptions import RedisError

from shared.kit.errors import NotFound
from shared.kit.http import node_of
from shared.network.hub.streams import HubAway
from shared.network.office.office import Asking, Office
from shared.network.office.turn import is_kept_here, open_office
from shared.network.refusal import Refused
from shared.pages.page import SECURITY_HEADERS, render
from shared.pages.wording import Page

log = structlog.get_logger()

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


_COMPARE = (
    "Die Organisation hat Ihre Einladung benutzt. Sie möchte mit diesem Schlüssel im Netz sprechen.",
    "Bitte vergleichen Sie den Schlüssel mit dem, den die Organisation Ihnen nennt, zum Beispiel am Telefon.",
    "Sie haben diese Seite aus Versehen geöffnet? Dann schließen Sie sie. Es ändert sich nichts.",
)
_AGAIN = "Bitte laden Sie die Seite neu."
_WHY_NOT = {
    "invitation_ended": "Die Einladung ist abgelaufen. Bitte laden Sie die Organisation neu ein.",
    "not_invited": "Es gibt keine offene Einladung für diese Organisation.",
    "too_few_roots": "Es fehlen Schlüssel der Koordinierungsstelle. Mehrere müssen zusammen unterschreiben.",
}

router = APIRouter(prefix="/network/admit", include_in_schema=False)


async def _admission(token: str, request: Request) -> Admission | None:
    node = node_of(request)
    return _read(node.settings, token, node.works.clock.now())


Admitted = Annotated[Admission | None, Depends(_admission)]


@router.get("/{token}")
async def show(admission: Admitted, request: Request) -> HTMLResponse:
    """Show who asks; nothing is done, because programs open links by themselves."""
    return await _shown(admission, request, _question)


@router.post("/{token}")
async def admit(admission: Admitted, request: Request) -> HTMLResponse:
    """Admit the institution, if it still asks with this key."""
    return await _shown(admission, request, _admitted)


async def _shown(
    admission: Admission | None, request: Request, do: Callable[[Office, Admission], Awaitable[Page]]
) -> HTMLResponse:
    """Do something as the office and show the page; what cannot be done is said in words, too."""
    node = node_of(request)
    if admission is None:
        told = ("Der Befehl zeigt Ihnen einen neuen Link.",)
        page = _page("Dieser Link gilt nicht mehr", told, 410, Befehl="album network requests")
    elif not is_kept_here(node.settings):
        raise NotFound("Not Found")
    else:
        try:
            async with open_office(node.database, node.settings, node.works.clock) as office:
                page = await do(office, admission)
        except Refused as error:
            page = _page("Das ging nicht", (_WHY_NOT.get(error.code, _AGAIN),), 409, Grund=error.code)
        except (HubAway, RedisError, OSError) as error:
            log.warning("admission_waits", reason=type(error).__name__)
            page = _page("Das Netz antwortet gerade nicht", ("Bitte versuchen Sie es später noch einmal.",), 503)
    return HTMLResponse(render(page), page.status, headers=dict(SECURITY_HEADERS))


async def _question(office: Office, admission: Admission) -> Page:
    slug, key = f"„{admission.slug}“", {"Schlüssel": admission.kid}
    if await _asks(office, admission):
        return _page(f"{slug} aufnehmen?", _COMPARE, 200, button="Ja, aufnehmen", **key)
    roster = await office.roster()
    member = roster.member(admission.slug) if roster else None
    if member is not None and member.key(admission.kid) is not None:
        return _page(f"{slug} ist aufgenommen", ("Sie müssen nichts mehr tun.",), 200, **key)
    return _page(f"{slug} fragt nicht mehr an", ("Vielleicht hat die Organisation neu angefragt.",), 410, **key)


async def _admitted(office: Office, admission: Admission) -> Page:
    if await _asks(office, admission):
        await office.admit(admission.slug)
    return await _question(office, admission)


async def _asks(office: Office, admission: Admission) -> bool:
    return any(one.slug == admission.slug and one.kid == admission.kid for one in await office.asking())


def _page(heading: str, sentences: tuple[str, ...], status: int, *, button: str | None = None, **facts: str) -> Page:
    return Page("de", heading, sentences, tuple(facts.items()), button, status)
