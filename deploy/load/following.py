"""A partner system that follows the change feeds all the time and keeps every message it was given."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

EVERY = 0.5


class Follower:
    """Reads the feed of one service behind its cursor; `seen` counts the ids of messages."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = f"{url}/changes"
        self._http = http
        self._since = ""
        self.seen: Counter[str] = Counter()

    async def begin(self) -> None:
        """Start at the end of today: what was told before is somebody else's."""
        answer = await self._http.get(self._url, params={"since": "now"})
        answer.raise_for_status()
        self._since = answer.json()["next"]

    async def read(self) -> bool:
        """Read a page; True where there is more already."""
        answer = await self._http.get(self._url, params={"since": self._since, "limit": 500})
        answer.raise_for_status()
        page = answer.json()
        self.seen.update(str(one["message"]["id"]) for one in page["items"])
        self._since = page["next"]
        return bool(page["more"] or page["items"])

    async def catch_up(self) -> None:
        """Read until there is nothing more."""
        while await self.read():
            pass


@asynccontextmanager
async def following(followers: Sequence[Follower]) -> AsyncIterator[None]:
    """Have them follow until the block ends; a service that is away is asked again."""

    async def follow(one: Follower) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await one.catch_up()
            await asyncio.sleep(EVERY)

    tasks = [asyncio.create_task(follow(one)) for one in followers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
