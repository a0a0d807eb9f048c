"""Requests as data: what a case asks for, with the ids that its preparation brought to light."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx

from shared.kit.idempotency import KeyInUse
from shared.pages.links import Links, Purpose

HOUSE, OTHER, OFFICE = "vhs-nord", "kargah", "office"
SECRET = "a secret of more than sixteen characters"  # noqa: S105 - of nobody
# Far away and fixed: who asks again sends the very same address, and with it the same token.
_UNTIL = datetime(2035, 1, 1, tzinfo=UTC)
_LINK = re.compile(r"\{link:(\w+):(\w+)\}")
_TIMES, _PAUSE = 400, 0.02


@dataclass(frozen=True)
class Ask:
    """A request; `keep` names parts of its answer for later ones, `again` is what a second asking may be answered."""

    method: str
    path: str
    body: Any = None
    keep: Mapping[str, str] = field(default_factory=dict)
    who: str = HOUSE
    file: bytes | None = None
    again: tuple[int, ...] = ()
    keyed: bool = True

    async def send(self, api: httpx.AsyncClient, known: dict[str, str], key: str, *, before: bool) -> list[Any]:
        """Send it, with patience while the same is being worked on; gives status and answer, raises where refused."""
        answer = await self._sent(api, known, key)
        if not answer.is_success and not (before and answer.status_code in self.again):
            raise RuntimeError(f"{self.method} {self.path}: {answer.status_code} {answer.text}")
        is_json = bool(answer.content) and "json" in answer.headers.get("content-type", "")
        said = answer.json() if is_json else answer.text
        for name, place in self.keep.items() if answer.is_success else ():
            known[name] = _at(said, place)
        # Only what is asked for with a key is answered alike; a change that was made already changes nothing.
        return [answer.status_code, said] if self.method == "POST" and self.keyed and not self.again else []

    async def _sent(self, api: httpx.AsyncClient, known: dict[str, str], key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.who}", **({"Idempotency-Key": key} if self.keyed else {})}
        files = {"file": ("catalogue", self.file, "application/octet-stream")} if self.file else None
        path, body = filled(_with_link(self.path, known), known), filled(self.body, known)
        for _ in range(_TIMES):
            answer = await api.request(self.method, path, json=body, headers=headers, files=files)
            # The database may still be at work on the last words of whoever died.
            if answer.status_code != KeyInUse.status or answer.json().get("code") != KeyInUse.code:
                break
            await asyncio.sleep(_PAUSE)
        return answer


def _with_link(path: str, known: Mapping[str, str]) -> str:
    def link(found: re.Match[str]) -> str:
        return Links(SECRET, "").url(cast("Purpose", found[1]), known[found[2]], "de", _UNTIL)

    return _LINK.sub(link, path)


def _at(said: Any, place: str) -> str:
    for part in place.split("."):
        said = said[int(part) if part.lstrip("-").isdigit() else part]
    return str(said)


def filled(value: Any, known: Mapping[str, str]) -> Any:
    """Put what is known in the place of `{name}`, in texts and whatever holds them."""
    if isinstance(value, str):
        for name, word in known.items():
            value = value.replace(f"{{{name}}}", word)
        return value
    if isinstance(value, Mapping):
        return {name: filled(each, known) for name, each in value.items()}
    return [filled(each, known) for each in value] if isinstance(value, list | tuple) else value


def post(path: str, body: Any = None, who: str = HOUSE, again: tuple[int, ...] = (), **keep: str) -> Ask:
    """Ask for something of an institution's own; `keep` is name=place in the answer."""
    return Ask("POST", f"/institutions/{who}/{path}", body, keep, who, again=again)


def patch(path: str, body: Any, who: str = HOUSE) -> Ask:
    """Change something of an institution's own."""
    return Ask("PATCH", f"/institutions/{who}/{path}", body, who=who)


def get(path: str, who: str = HOUSE, **keep: str) -> Ask:
    """Look something of an institution's own up."""
    return Ask("GET", f"/institutions/{who}/{path}", None, keep, who)


def delete(path: str, who: str = HOUSE) -> Ask:
    """Have something of an institution's own removed; asked again, it is gone."""
    return Ask("DELETE", f"/institutions/{who}/{path}", who=who, again=(404, 409, 410))


def press(purpose: Purpose, subject: str) -> Ask:
    """Press the button behind a link in a mail; a browser sends no key, and the second time it is done already."""
    return Ask("POST", f"{{link:{purpose}:{subject}}}", keyed=False)


def days(number: int) -> str:
    """Give a day from now on, as it is sent."""
    return (datetime.now(UTC) + timedelta(days=number)).date().isoformat()


def at(number: int, hour: int = 8) -> str:
    """Give a moment of a day from now on, as it is sent."""
    return f"{days(number)}T{hour:02}:00:00Z"
