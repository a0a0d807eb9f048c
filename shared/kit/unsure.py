"""A service that has just started may know less than it told, if its database is a backup: so commands wait."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.kit.work import Works

_LOOKS = {"GET", "HEAD", "OPTIONS"}
PAGES = "/l/"
"""Where small pages begin: they wait by themselves, for they answer in the reader's language."""


class CommandsWait:
    """Has commands wait for a moment: what was lost may be the very thing that they name, and 404 would be for ever."""

    def __init__(self, app: ASGIApp, works: Works[Any]) -> None:
        self._app = app
        self._works = works

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises Unsure for a command that has waited in vain."""
        if scope["type"] == "http" and scope["method"] not in _LOOKS and not scope["path"].startswith(PAGES):
            await self._works.be_sure()
        await self._app(scope, receive, send)
