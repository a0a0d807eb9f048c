"""The last page: what every institution now sees, the streams with their lags, and the mails as they arrived."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from deploy.demo.platform import Place
from deploy.demo.story import Story
from shared.embedded.ports import free_port

_PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(["html"]))
_SHOWN = 60


class _Server(uvicorn.Server):
    """A web server that leaves Ctrl-C to the demo, which has four services to end first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


async def snapshot(story: Story) -> str:
    """Give the page as it is now."""
    runs = await _network(story, "courses", "/runs")
    meetings = await _network(story, "events", "/meetings")
    places = story.platform.places()
    streams = [row for place in places for row in await asyncio.to_thread(_streams, place)]
    mails = [
        {"number": number, "to": mail.recipient, "subject": str(mail.message["Subject"]), "at": mail.arrived_at}
        for number, mail in enumerate(await asyncio.to_thread(story.platform.mails))
    ]
    views = [
        {
            "slug": slug,
            "runs": [one for one in runs if one["institution"] != slug],
            "meetings": [one for one in meetings if one["institution"] != slug],
        }
        for slug in story.known
    ]
    template = _PAGES.get_template("page.html")
    return template.render(views=views, streams=streams, mails=mails, figures=story.figures, shown=_SHOWN)


def _streams(place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(place.album("streams", "--json"))
    return found


@asynccontextmanager
async def serve(story: Story) -> AsyncIterator[str]:
    """Serve the page until the block ends; give its address."""
    app = FastAPI(openapi_url=None)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return await snapshot(story)

    @app.get("/mails/{number}", response_class=HTMLResponse)
    async def mail(number: int) -> str:
        found = story.platform.mails()[number].message.get_body(("html", "plain"))
        return str(found.get_content()) if found else ""

    port = free_port()
    server = _Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    task = asyncio.create_task(server.serve())
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        await task


async def _network(story: Story, service: str, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        params = {"limit": "200", "after": after}
        page = (await story.http.get(f"{story.platform.places()[0].urls[service]}{path}", params=params)).json()
        found += page["items"]
        if not (after := page["next"] or ""):
            return found
