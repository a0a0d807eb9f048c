"""`ETag`, `If-None-Match` and 304 for everything that is read as JSON; one ETag names one representation.

A single thing's route gives the tag of its state (`shared/kit/matching.py`); the hash of the answer is put behind it.
So the tag changes with everything that is seen, and `If-Match` compares the part that somebody can have edited.
"""

import re
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TAG = re.compile(r'"[^"]*"')


class Tagged:
    """Tags the answers to GET, and answers 304 where the caller has the same one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; an answer that streams, says `no-store` or has a weak tag goes out as it is."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        begun: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and _is_taggable(message):
                begun = message  # held until its body is there
                return
            if begun is None:
                await send(message)
                return
            start, begun = begun, None
            for part in _answer(start, message, asked):
                await send(part)

        await self._app(scope, receive, tagged)


def _is_taggable(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return (
        start["status"] == 200
        and headers.get("content-type", "").startswith("application/json")
        # Without a length the answer comes in pieces, and is as long as it likes.
        and "content-length" in headers
        and "no-store" not in headers.get("cache-control", "")
        and not headers.get("etag", "").startswith("W/")
    )


def _answer(start: Message, body: Message, asked: Headers) -> tuple[Message, Message]:
    headers = MutableHeaders(raw=list(start["headers"]))
    of_body = sha256(body.get("body", b"")).hexdigest()[:32]
    state = headers.get("etag", "").strip('"')
    headers["ETag"] = f'"{state}.{of_body}"' if state else f'"{of_body}"'
    is_private = "authorization" in asked
    headers["Cache-Control"] = "private, no-cache" if is_private else "no-cache"
    if is_private:
        headers.add_vary_header("Authorization")
    if not is_known(headers["ETag"], asked):
        return {**start, "headers": headers.raw}, body
    for name in ("content-type", "content-length"):
        del headers[name]
    return {**start, "status": 304, "headers": headers.raw}, {"type": "http.response.body", "body": b""}


def is_known(tag: str, asked: Headers) -> bool:
    """Tell whether `If-None-Match` names a tag, by the weak comparison of RFC 9110."""
    known = ",".join(asked.getlist("if-none-match"))
    return known.strip() == "*" or tag.removeprefix("W/") in _TAG.findall(known)
