"""A service that has just started may know less than it told, if its database is a backup: so commands wait."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.kit.work import Works

_LOOKS = {"GET", "HEAD", "OPTIONS"}
_THESE_DO_NOT = ("/l/", "/hub/")
"""Small pages wait by themselves, for they answer in the reader's language; what services of a node ask each other
about the hub is part of finding out."""


class CommandsWait:
    """Has commands wait for a moment: what was lost may be the very thing that they name, and 404 would be for ever."""

    def __init__(self, app: ASGIApp, works: Works[Any]) -> None:
        self._app = app
        self._works = works

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises Unsure for a command that has waited in vain."""
        looks = scope["type"] != "http" or scope["method"] in _LOOKS
        if not looks and not scope["path"].startswith(_THESE_DO_NOT):
            await self._works.be_sure()
        await self._app(scope, receive, send)
