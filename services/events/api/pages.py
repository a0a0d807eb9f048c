"""The small pages behind the links in mails: GET shows, POST acts, in the reader's language."""

from typing import get_args

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.events.domain.registration import LinkOutcome, LinkPurpose
from services.events.handlers import pages as handlers
from services.events.handlers.pages import Look
from services.events.store import Store
from shared.kit.errors import Conflict, NotFound
from shared.kit.http import node_of
from shared.kit.work import Works
from shared.pages import (
    SECURITY_HEADERS,
    Fact,
    Link,
    LinkExpired,
    LinkInvalid,
    Links,
    Page,
    answer,
    question,
    render,
)

router = APIRouter(include_in_schema=False)
_PURPOSES: tuple[LinkPurpose, ...] = get_args(LinkPurpose)


def _read(token: str, request: Request) -> Link | Page:
    """Read a link, or give the page that says why it does not work."""
    node = node_of(request)
    links = Links(node.settings.secret.get_secret_value(), node.settings.link_url("events"))
    try:
        link = links.read(token, node.works.clock.now())
    except LinkExpired as expired:
        return answer(None, "expired_link", expired.link.language)
    except LinkInvalid:
        return _unknown(request)
    return link if link.purpose in _PURPOSES else _unknown(request, link.language)


def _unknown(request: Request, language: str | None = None) -> Page:
    preferred = request.headers.get("accept-language", "de").split(",")[0].split(";")[0].strip()
    return answer(None, "unknown_link", language or preferred or "de")


@router.get("/l/{token}")
async def show(token: str, request: Request) -> HTMLResponse:
    """Show what a link would do; nothing is done, because mail programs open links by themselves."""
    link = _read(token, request)
    return _html(link if isinstance(link, Page) else await _question(link, request))


async def _question(link: Link, request: Request) -> Page:
    works = node_of(request).works
    try:
        async with works.looking() as store:
            seen = await handlers.look(_purpose(link), link.subject, works.clock.now(), store)
    except NotFound:
        return _unknown(request, link.language)
    facts = _facts(seen)
    if seen.outcome is not None:
        return answer(link.purpose, seen.outcome, link.language, facts)
    return question(link.purpose, link.language, facts)


@router.post("/l/{token}")
async def act(token: str, request: Request) -> HTMLResponse:
    """Do what the link is for."""
    link = _read(token, request)
    return _html(link if isinstance(link, Page) else await _answer(link, request))


async def _answer(link: Link, request: Request) -> Page:
    works = node_of(request).works
    purpose = _purpose(link)
    try:
        purpose, outcome = await _acted(purpose, link.subject, works)
        async with works.looking() as store:
            facts = _facts(await handlers.look(purpose, link.subject, works.clock.now(), store))
    except NotFound:
        return _unknown(request, link.language)
    return answer(purpose, outcome, link.language, facts)


async def _acted(purpose: LinkPurpose, subject: str, works: Works[Store]) -> tuple[LinkPurpose, LinkOutcome]:
    try:
        async with works() as work:
            return await handlers.act(purpose, subject, work)
    except Conflict as conflict:
        return purpose, handlers.outcome_of(conflict)


def _purpose(link: Link) -> LinkPurpose:
    return next(purpose for purpose in _PURPOSES if purpose == link.purpose)


def _facts(seen: Look) -> list[Fact]:
    meeting, registration = seen.meeting, seen.registration
    facts: list[Fact] = [("Meeting", meeting.title), ("Institution", seen.host), ("When", meeting.starts)]
    place = meeting.place
    if where := ", ".join(filter(None, (place.name, place.room, place.street, place.town))):
        facts.append(("Where", where))
    if registration.offered_until is not None:
        facts.append(("Please answer before", registration.offered_until))
    if seen.place_in_queue is not None:
        facts.append(("Your number on the waiting list", str(seen.place_in_queue)))
    return facts


def _html(page: Page) -> HTMLResponse:
    return HTMLResponse(render(page), page.status, headers=dict(SECURITY_HEADERS))
