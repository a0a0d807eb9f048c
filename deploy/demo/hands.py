"""The hands of the demo: what staff, partners and participants do, over HTTP and through the links in their mails."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from deploy.demo.platform import CaughtMail, Platform

T = TypeVar("T")
PATIENCE = 90.0


class Institution:
    """An institution's software: speaks with its own key."""

    def __init__(self, slug: str, key: str, platform: Platform, http: httpx.AsyncClient) -> None:
        self.slug = slug
        self.key = key
        self.urls = platform.place_of(slug).urls
        self._http = http

    async def post(self, service: str, path: str, body: Any = None, *, office: bool = False, **more: Any) -> Any:
        """Ask for something; a refusal ends the demo with the problem's own words."""
        prefix = "" if office else f"/institutions/{self.slug}"
        url = f"{self.urls[service]}{prefix}{path}"
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = await self._http.post(url, json=body, headers=headers, **more)
        if answer.is_error:
            raise SystemExit(f"POST {url} was refused with {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None

    async def get(self, service: str, path: str) -> Any:
        """Look at something of one's own."""
        url = f"{self.urls[service]}/institutions/{self.slug}{path}"
        answer = await self._http.get(url, headers={"Authorization": f"Bearer {self.key}"})
        answer.raise_for_status()
        return answer.json()

    async def may_write(self, service: str) -> bool:
        """Tell whether the service knows the key and the institution yet."""
        url = f"{self.urls[service]}/institutions/{self.slug}/key"
        answer = await self._http.get(url, headers={"Authorization": f"Bearer {self.key}"})
        return answer.status_code == 200 and bool(answer.json()["may_write"])


async def issue_key(platform: Platform, slug: str, *scopes: str) -> str:
    """Have the operator issue a key for an institution."""
    words = ["keys", "issue", "--institution", slug, "--json"]
    for scope in scopes:
        words += ["--scope", scope]
    printed = await asyncio.to_thread(platform.place_of(slug).album, *words)
    return str(json.loads(printed.strip().splitlines()[-1])["key"])


async def until(what: str, look: Callable[[], Awaitable[T | None]], patience: float = PATIENCE) -> T:
    """Wait until something is so; ends the demo with its name if it never is."""
    try:
        async with asyncio.timeout(patience):
            while True:
                found = await look()
                if found is not None:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise SystemExit(f"waited {patience:.0f} seconds in vain: {what}") from None


def links_in(mail: CaughtMail) -> list[str]:
    """Give the links of a mail's plain text: each stands alone on its line, in both languages the same."""
    body = mail.message.get_body(("plain",))
    text = body.get_content() if body else ""
    return list(dict.fromkeys(re.findall(r"^(https?://\S+/l/\S+)\r?$", text, re.MULTILINE)))


async def follow(http: httpx.AsyncClient, link: str) -> str:
    """Open a link and press its button, as a person does; give the answer's page."""
    shown = await http.get(link)
    shown.raise_for_status()
    if "<form" not in shown.text:
        raise SystemExit(f"the page behind {link} has no button")
    done = await http.post(link)
    done.raise_for_status()
    return done.text
