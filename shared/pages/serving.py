"""Serves the small pages of a service: GET shows, POST acts, and every refusal is a page in the reader's language."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from shared.contract.words import Place
from shared.kit.applying import is_transient
from shared.kit.errors import Conflict, NotFound, Unavailable, words_of
from shared.kit.http import node_of
from shared.kit.work import Work
from shared.pages.links import Link, LinkExpired, LinkInvalid, Links, Purpose
from shared.pages.page import SECURITY_HEADERS, render
from shared.pages.wording import Fact, Outcome, Page, answer, question

log = structlog.get_logger()


@dataclass(frozen=True)
class Look:
    """What a link is about; `outcome` where asking makes no sense any more."""

    facts: Sequence[Fact]
    outcome: Outcome | None


Looking = Callable[[Purpose, str, datetime, Any], Awaitable[Look]]
"""From purpose, subject, now and the service's store; does nothing, raises NotFound."""
Acting = Callable[[Purpose, str, Work[Any]], Awaitable[tuple[Purpose, Outcome]]]
"""From purpose, subject and a unit of work; gives what to answer, raises NotFound or Conflict."""


@dataclass(frozen=True)
class SmallPages:
    """The pages of one service: the purposes of its links, what they would do and what they do."""

    service: str
    purposes: Sequence[Purpose]
    look: Looking
    act: Acting

    def router(self) -> APIRouter:
        """Give the two routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/l/{token}", self._shown, methods=["GET"])
        router.add_api_route("/l/{token}", self._acted, methods=["POST"])
        return router

    async def _shown(self, token: str, request: Request) -> HTMLResponse:
        # Nothing is done here: mail programs open links by themselves.
        link = self._read(token, request)
        return _html(link if isinstance(link, Page) else await _in_time(self._question(link, request), link))

    async def _question(self, link: Link, request: Request) -> Page:
        try:
            seen = await self._seen(link.purpose, link, request)
        except NotFound:
            return _unknown(request, link.language)
        if seen.outcome is not None:
            return answer(link.purpose, seen.outcome, link.language, seen.facts)
        return question(link.purpose, link.language, seen.facts)

    async def _acted(self, token: str, request: Request) -> HTMLResponse:
        link = self._read(token, request)
        return _html(link if isinstance(link, Page) else await _in_time(self._answer(link, request), link))

    async def _answer(self, link: Link, request: Request) -> Page:
        # What a restored service does not know yet is not unknown.
        await node_of(request).works.be_sure()
        try:
            purpose, outcome = await self._done(link, request)
            seen = await self._seen(purpose, link, request)
        except NotFound:
            return _unknown(request, link.language)
        return answer(purpose, outcome, link.language, seen.facts)

    async def _done(self, link: Link, request: Request) -> tuple[Purpose, Outcome]:
        try:
            async with node_of(request).works() as work:
                return await self.act(link.purpose, link.subject, work)
        except Conflict as conflict:
            return link.purpose, outcome_of(conflict)

    async def _seen(self, purpose: Purpose, link: Link, request: Request) -> Look:
        works = node_of(request).works
        async with works.looking() as store:
            return await self.look(purpose, link.subject, works.clock.now(), store)

    def _read(self, token: str, request: Request) -> Link | Page:
        """Read a link, or give the page that says why it does not work."""
        node = node_of(request)
        links = Links(node.settings.secret.get_secret_value(), node.settings.link_url(self.service))
        try:
            link = links.read(token, node.works.clock.now())
        except LinkExpired as expired:
            return answer(None, "expired_link", expired.link.language)
        except LinkInvalid:
            return _unknown(request)
        return link if link.purpose in self.purposes else _unknown(request, link.language)


def outcome_of(conflict: Conflict) -> Outcome:
    """Say a refusal in the words of the pages."""
    if conflict.code == "already_done":
        return "already_done"
    return "full" if conflict.code == "full" else "too_late"


def where(place: Place) -> list[Fact]:
    """Say a place as a fact, if anything is known of it."""
    said = ", ".join(part for part in (place.name, place.room, place.street, place.town) if part)
    return [("Where", said)] if said else []


def own_place(offered_until: datetime | None, place_in_queue: int | None) -> list[Fact]:
    """Say until when an offer stands, and the number on the waiting list."""
    facts: list[Fact] = []
    if offered_until is not None:
        facts.append(("Please answer before", offered_until))
    if place_in_queue is not None:
        facts.append(("Your number on the waiting list", str(place_in_queue)))
    return facts


async def _in_time(page: Awaitable[Page], link: Link) -> Page:
    """Give a page, or the one that asks to come again where something does not answer at the moment."""
    try:
        return await page
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("page_not_shown", purpose=link.purpose, reason=f"{type(error).__name__}: {words_of(error)}")
        return answer(None, "not_now", link.language)


def _unknown(request: Request, language: str | None = None) -> Page:
    preferred = request.headers.get("accept-language", "de").split(",")[0].split(";")[0].strip()
    return answer(None, "unknown_link", language or preferred or "de")


def _html(page: Page) -> HTMLResponse:
    come_again = Unavailable.headers if page.status == Unavailable.status else {}
    return HTMLResponse(render(page), page.status, headers={**SECURITY_HEADERS, **come_again})
