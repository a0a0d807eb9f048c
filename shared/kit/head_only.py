"""HEAD wherever there is GET (RFC 9110, 9.3.2): link checkers and `curl -I` ask so."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadOnly:
    """Answers HEAD as GET, without what would follow the head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; a live view hears at once that nobody listens any more."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, head)
